# shellcheck shell=bash
# One real node, node-1: containerd, kubelet, kube-proxy and CoreDNS as processes of this machine. Needs Linux and root.
# Sourced, never run.

masquerade=(POSTROUTING -s "$pod_range" ! -d "$pod_range" -m comment --comment "manyworlds-cluster" -j MASQUERADE)

node() {
  mkdir -p "$directory"/{containerd,kubelet,cni}
  pod_network
  containerd_settings
  kubelet_settings
  dns_settings
  define containerd "$bin/containerd" -c "$directory/containerd.toml"
  define kubelet "$bin/kubelet" --config "$directory/kubelet.yaml" --kubeconfig "$directory/kubelet.kubeconfig" \
    --root-dir "$directory/kubelet" --cert-dir "$directory/pki" --hostname-override node-1 --node-ip "$node_address"
  define proxy "$bin/kube-proxy" --kubeconfig "$directory/proxy.kubeconfig" --cluster-cidr "$pod_range" --hostname-override node-1 \
    --proxy-mode iptables --healthz-bind-address "127.0.0.1:$proxy_health_port" --metrics-bind-address "127.0.0.1:$proxy_metrics_port" \
    --conntrack-max-per-core 0 --conntrack-tcp-timeout-established 0 --conntrack-tcp-timeout-close-wait 0
  define coredns "$bin/coredns" -conf "$directory/Corefile"
  start containerd
  wait_for containerd 30 containerd_answers
  pause_image
  start kubelet
  start proxy
  start coredns
  dns_service
  wait_for "the node" 60 node_is_ready
  storage
}

containerd_answers() { "$bin/ctr" -a "$directory/containerd.sock" version; }
node_is_ready() { kube wait --for=condition=Ready node/node-1 --timeout=1s; }

# Every pod is a point-to-point link of the host, so that the kernel routes (and translates) what pods of one node send
# to each other; over a bridge that would need a kernel module.
pod_network() {
  cat >"$directory/cni/10-manyworlds.conflist" <<NETWORK
{"cniVersion": "1.0.0", "name": "manyworlds", "plugins": [{"type": "ptp",
  "ipam": {"type": "host-local", "dataDir": "$directory/cni/addresses", "ranges": [[{"subnet": "$pod_range"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
NETWORK
  echo 1 >/proc/sys/net/ipv4/ip_forward
  iptables -t nat -C "${masquerade[@]}" 2>/dev/null || iptables -t nat -A "${masquerade[@]}"
  # A machine that also runs a container engine drops by default what it forwards.
  forward_rules -C 2>/dev/null || forward_rules -I
}

forward_rules() {
  iptables "$1" FORWARD -s "$pod_range" -m comment --comment manyworlds-cluster -j ACCEPT &&
    iptables "$1" FORWARD -d "$pod_range" -m comment --comment manyworlds-cluster -j ACCEPT
}

# restrict_oom_score_adj: a sandboxed root may lack CAP_SYS_RESOURCE, and then lowering oom_score_adj would fail every pod.
# The other folders are named so that nothing is left on the machine when the cluster is taken down.
containerd_settings() {
  cat >"$directory/containerd.toml" <<SETTINGS
version = 3
root = "$directory/containerd/root"
state = "$directory/containerd/state"
[grpc]
  address = "$directory/containerd.sock"
[plugins.'io.containerd.internal.v1.opt']
  path = "$directory/containerd/opt"
[plugins.'io.containerd.nri.v1.nri']
  disable = true
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "docker.io/local/pause:1"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "$directory/cni"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = "$bin/runc"
SETTINGS
}

kubelet_settings() {
  cat >"$directory/kubelet.yaml" <<SETTINGS
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $node_address
port: $kubelet_port
healthzBindAddress: 127.0.0.1
healthzPort: $kubelet_health_port
failCgroupV1: false
failSwapOn: false
cgroupDriver: cgroupfs
nodeLeaseDurationSeconds: 20
nodeStatusUpdateFrequency: 5s
tlsCertFile: $directory/pki/kubelet.crt
tlsPrivateKeyFile: $directory/pki/kubelet.key
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $directory/pki/ca.crt}}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix://$directory/containerd.sock
clusterDNS: ["$dns_address"]
clusterDomain: cluster.local
podLogsDir: $directory/pod-logs
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: 200Mi, imagefs.available: 200Mi}
volumePluginDir: $directory/volume-plugins
maxPods: 250
registryPullQPS: 0
serializeImagePulls: false
SETTINGS
}

# Names outside the cluster are asked of the machine's own resolvers.
dns_settings() {
  cat >"$directory/Corefile" <<SETTINGS
.:$dns_port {
  bind $node_address
  errors
  cache 5
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    kubeconfig $directory/kubeconfig
    fallthrough in-addr.arpa ip6.arpa
  }
  forward . /etc/resolv.conf
}
SETTINGS
}

# CoreDNS runs on the host; a Service with a hand-made EndpointSlice gives it the cluster's DNS address.
dns_service() {
  kube apply -f - >/dev/null <<SERVICE
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec: {clusterIP: $dns_address, ports: [{name: dns, port: 53, protocol: UDP, targetPort: $dns_port}, {name: dns-tcp, port: 53, protocol: TCP, targetPort: $dns_port}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns-host, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
addressType: IPv4
ports: [{name: dns, port: $dns_port, protocol: UDP}, {name: dns-tcp, port: $dns_port, protocol: TCP}]
endpoints: [{addresses: ["$node_address"]}]
SERVICE
}

pause_image() {
  local folder
  folder=$(mktemp -d)
  cc -static -Os -s -o "$folder/pause" "$here/pause.c"
  oci_archive "$folder" docker.io/local/pause:1 /pause "$directory/pause.tar"
  rm -rf "$folder"
  import_image "$directory/pause.tar"
}

import_image() {
  "$bin/ctr" -a "$directory/containerd.sock" -n k8s.io images import --local "$1" >"$directory/log/import.log" 2>&1 ||
    fail "$1 could not be imported: $(tail -n 1 "$directory/log/import.log")"
}

# Ends the pods with the node: what they leave (containers, mounts, links, addresses, rules) goes too.
node_down() {
  local ctr=("$bin/ctr" -a "$directory/containerd.sock" -n k8s.io) task
  stop kubelet
  if running containerd; then
    for task in $("${ctr[@]}" tasks ls -q 2>/dev/null); do "${ctr[@]}" tasks kill -s KILL "$task" >/dev/null 2>&1 || true; done
    wait_for "the end of the containers" 10 no_task_runs || true
    for task in $("${ctr[@]}" tasks ls -q 2>/dev/null); do "${ctr[@]}" tasks rm "$task" >/dev/null 2>&1 || true; done
  fi
  stop coredns
  stop proxy
  stop containerd
  stop_shims
  awk -v folder="$directory/" 'index($2, folder) == 1 {print $2}' /proc/mounts | sort -r | xargs -r umount -l
  network_down
  # The kubelet and containerd name these themselves, whatever their settings say; a folder that others use stays.
  find /var/log/containers -maxdepth 1 -lname "$directory/*" -delete 2>/dev/null || true
  find /sys/fs/cgroup -depth -type d -path '*/kubepods*' -exec rmdir {} + 2>/dev/null || true
  rm -f /var/lib/kubelet/device-plugins/{kubelet.sock,kubelet_internal_checkpoint,DEPRECATION}
  rmdir /var/log/containers /var/lib/kubelet/device-plugins /var/lib/kubelet /run/containerd/{s,runc/k8s.io,runc} /run/containerd \
    /var/lib/cni/results /var/lib/cni 2>/dev/null || true
}

no_task_runs() { ! "$bin/ctr" -a "$directory/containerd.sock" -n k8s.io tasks ls 2>/dev/null | grep -q RUNNING; }

stop_shims() {
  local pid
  for pid in $(pgrep -f "containerd-shim-runc-v2 .*-address $directory/containerd.sock" || true); do kill -9 "$pid" 2>/dev/null || true; done
}

network_down() {
  "$bin/kube-proxy" --cleanup >/dev/null 2>&1 || true
  iptables -t nat -D "${masquerade[@]}" 2>/dev/null || true
  forward_rules -D 2>/dev/null || true
  kubelet_chains_down iptables
  kubelet_chains_down ip6tables
  # A machine that was started anew has the cluster's folder perhaps, but not these.
  { grep -lFr "$directory/" /var/lib/cni/results 2>/dev/null || true; } | xargs -r rm -f
}

# kube-proxy takes its own chains away; the kubelet has no such command for the few that it makes.
kubelet_chains_down() {
  local table chain
  "$1" -D INPUT -j KUBE-FIREWALL 2>/dev/null || true
  "$1" -D OUTPUT -j KUBE-FIREWALL 2>/dev/null || true
  "$1" -F KUBE-FIREWALL 2>/dev/null || true
  for table in filter nat mangle; do
    for chain in KUBE-FIREWALL KUBE-KUBELET-CANARY KUBE-IPTABLES-HINT; do "$1" -t "$table" -X "$chain" 2>/dev/null || true; done
  done
}
