# shellcheck shell=bash
# etcd, kube-apiserver, kube-controller-manager and kube-scheduler as plain processes. Sourced, never run.

# Writes the processes down and starts them; the API server answers when this returns.
control_plane() {
  local port
  for port in "$apiserver_port" "$etcd_port"; do
    port_is_free "$api_address" "$port" ||
      fail "port $port of $api_address is in use; choose others with MANYWORLDS_CLUSTER_PORT_BASE (now $port_base)"
  done
  mkdir -p "$directory"/{log,pid,pki,etcd,run}
  make_certificates
  define etcd "$bin/etcd" --data-dir "$directory/etcd" --unsafe-no-fsync --listen-client-urls "http://127.0.0.1:$etcd_port" \
    --advertise-client-urls "http://127.0.0.1:$etcd_port" --listen-peer-urls "http://127.0.0.1:$etcd_peer_port" \
    --initial-advertise-peer-urls "http://127.0.0.1:$etcd_peer_port" --initial-cluster "default=http://127.0.0.1:$etcd_peer_port" \
    --quota-backend-bytes 8589934592 --log-level warn
  define_apiserver
  define_managers
  start etcd
  start apiserver
  wait_for kube-apiserver 60 apiserver_is_ready
  start controller-manager
  start scheduler
}

apiserver_is_ready() { [ "$(kube get --raw /readyz --request-timeout 2s)" = ok ]; }

define_apiserver() {
  local pki=$directory/pki options=()
  if [ "$audit" = on ]; then
    options+=(--audit-policy-file "$here/audit-policy.yaml" --audit-log-path "$directory/audit.log" --audit-log-maxsize 4096)
  fi
  if [ "$flavour" = fake ]; then
    # A scale test measures the operator, not the server's guard against too many requests at once.
    options+=(--max-requests-inflight 4000 --max-mutating-requests-inflight 2000)
  fi
  # shellcheck disable=SC2206 # several options in one variable are meant to be split
  options+=(${APISERVER_ARGS:-})
  define apiserver "$bin/kube-apiserver" --etcd-servers "http://127.0.0.1:$etcd_port" --bind-address "$api_address" \
    --secure-port "$apiserver_port" --advertise-address "$node_address" --cert-dir "$pki" \
    --client-ca-file "$pki/ca.crt" --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
    --kubelet-client-certificate "$pki/admin.crt" --kubelet-client-key "$pki/admin.key" --kubelet-certificate-authority "$pki/ca.crt" \
    --kubelet-preferred-address-types InternalIP --service-account-issuer https://kubernetes.default.svc \
    --service-account-signing-key-file "$pki/sa.key" --service-account-key-file "$pki/sa.pub" \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --service-cluster-ip-range "$service_range" \
    --allow-privileged=true --enable-aggregator-routing=true --shutdown-delay-duration 0s "${options[@]}"
}

define_managers() {
  local pki=$directory/pki rate=(--kube-api-qps 200 --kube-api-burst 400)
  [ "$flavour" = fake ] && rate=(--kube-api-qps 5000 --kube-api-burst 10000)
  # A node that dies is noticed after 24 s rather than 50 s: the kubelet of node.sh renews its lease every 5 s.
  # shellcheck disable=SC2086 # several options in one variable are meant to be split
  define controller-manager "$bin/kube-controller-manager" --kubeconfig "$directory/controller-manager.kubeconfig" --leader-elect=false \
    --root-ca-file "$pki/ca.crt" --service-account-private-key-file "$pki/sa.key" --use-service-account-credentials \
    --cluster-cidr "$pod_range" --bind-address 127.0.0.1 --secure-port "$controller_manager_port" --cert-dir "$pki" \
    --cluster-signing-cert-file "$pki/ca.crt" --cluster-signing-key-file "$pki/ca.key" \
    --node-monitor-period 2s --node-monitor-grace-period 24s "${rate[@]}" ${KCM_ARGS:-}
  # shellcheck disable=SC2086
  define scheduler "$bin/kube-scheduler" --kubeconfig "$directory/scheduler.kubeconfig" --leader-elect=false \
    --bind-address 127.0.0.1 --secure-port "$scheduler_port" --cert-dir "$pki" "${rate[@]}" ${SCHEDULER_ARGS:-}
}

# restart NAME: ends one process of the control plane and starts it again on the same data, as a crash test wants it.
restart() {
  case $1 in
    etcd | apiserver | controller-manager | scheduler) ;;
    *) fail "cannot restart '$1': etcd, apiserver, controller-manager or scheduler" ;;
  esac
  # The API server would wait for the last watch to end, which no client of a crash test does.
  stop "$1" 2
  start "$1"
  wait_for kube-apiserver 60 apiserver_is_ready
}
