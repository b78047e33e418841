# shellcheck shell=bash
# Where the local cluster keeps things, which addresses it uses and which versions it runs. Sourced, never run.

kubernetes_version=v1.36.1

# Components built from Go modules: name, whether C is linked, build tags, module folder, package.
# Versions and checksums are in modules/*/go.mod and go.sum.
components() {
  cat <<'LIST'
kubectl 0 - kubernetes k8s.io/kubernetes/cmd/kubectl
helm 0 netgo helm helm.sh/helm/v3/cmd/helm
etcd 0 - kubernetes go.etcd.io/etcd/server/v3
kube-apiserver 0 - kubernetes k8s.io/kubernetes/cmd/kube-apiserver
kube-controller-manager 0 - kubernetes k8s.io/kubernetes/cmd/kube-controller-manager
kube-scheduler 0 - kubernetes k8s.io/kubernetes/cmd/kube-scheduler
kwok 0 netgo kwok sigs.k8s.io/kwok/cmd/kwok
kube-proxy 0 - kubernetes k8s.io/kubernetes/cmd/kube-proxy
kubelet 0 - kubernetes k8s.io/kubernetes/cmd/kubelet
coredns 0 - coredns .
containerd 0 netgo containerd github.com/containerd/containerd/v2/cmd/containerd
containerd-shim-runc-v2 0 netgo containerd github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2
ctr 0 netgo containerd github.com/containerd/containerd/v2/cmd/ctr
runc 1 seccomp runc github.com/opencontainers/runc
LIST
}
client_components="kubectl helm"
control_plane_components="kubectl helm etcd kube-apiserver kube-controller-manager kube-scheduler kwok"

digest() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c1-"${1:-16}"; }

cache=${MANYWORLDS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/manyworlds}
versions_digest=$({ components; cat "$here"/modules/*/go.mod "$here"/modules/*/*.go; echo "$kubernetes_version"; } | digest 16)
bin=$cache/cluster/$versions_digest/bin

# A real and a fake cluster can run side by side: each has its own folder and ports. Only one real one fits on a machine,
# because its pods' network and its node's name are the machine's.
default_directory=/tmp/manyworlds-cluster
default_port_base=6440
if [ "${flavour:-real}" = fake ]; then
  default_directory=/tmp/manyworlds-cluster-fake
  default_port_base=6540
fi
directory=${MANYWORLDS_CLUSTER_DIR:-$default_directory}
port_base=${MANYWORLDS_CLUSTER_PORT_BASE:-$default_port_base}

# shellcheck disable=SC2034 # the files that are sourced after this one use them
{
  apiserver_port=$((port_base + 3))
  etcd_port=$((port_base + 4))
  etcd_peer_port=$((port_base + 5))
  controller_manager_port=$((port_base + 6))
  scheduler_port=$((port_base + 7))
  kubelet_port=$((port_base + 8))
  kubelet_health_port=$((port_base + 9))
  proxy_health_port=$((port_base + 10))
  proxy_metrics_port=$((port_base + 11))
  dns_port=$((port_base + 12))

  service_range=${MANYWORLDS_SERVICE_RANGE:-10.96.0.0/16}
  service_prefix=${service_range%.*.*}
  pod_range=${MANYWORLDS_POD_RANGE:-10.88.0.0/16}
  dns_address=$service_prefix.0.10

  fake_node_cpu=${MANYWORLDS_FAKE_NODE_CPU:-32}
  fake_node_memory=${MANYWORLDS_FAKE_NODE_MEMORY:-128Gi}
  fake_node_storage=${MANYWORLDS_FAKE_NODE_STORAGE:-2Ti}
  fake_node_pods=${MANYWORLDS_FAKE_NODE_PODS:-250}

  kind_name=${MANYWORLDS_KIND_NAME:-manyworlds}
}
