# shellcheck shell=bash
# The cluster's own certificate authority, certificates and kubeconfigs. Sourced, never run.

certificate() { # NAME SUBJECT [ALTERNATIVE NAMES]
  local pki=$directory/pki
  openssl req -newkey rsa:2048 -nodes -keyout "$pki/$1.key" -subj "$2" -out "$pki/$1.csr" 2>/dev/null
  openssl x509 -req -in "$pki/$1.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -CAcreateserial -days 3650 \
    -extfile <(printf 'extendedKeyUsage=clientAuth,serverAuth\nsubjectAltName=%s\n' "${3:-DNS:$1}") -out "$pki/$1.crt" 2>/dev/null
}

# kubeconfig_for NAME FILE: with the certificates inside, so that a copy of the file works anywhere on this machine.
kubeconfig_for() {
  local pki=$directory/pki
  (
    umask 077
    cat >"$2" <<CONFIG
apiVersion: v1
kind: Config
clusters: [{name: manyworlds-local, cluster: {server: "https://$api_address:$apiserver_port", certificate-authority-data: $(base64 <"$pki/ca.crt" | tr -d '\n')}}]
users: [{name: $1, user: {client-certificate-data: $(base64 <"$pki/$1.crt" | tr -d '\n'), client-key-data: $(base64 <"$pki/$1.key" | tr -d '\n')}}]
contexts: [{name: manyworlds-local, context: {cluster: manyworlds-local, user: $1}}]
current-context: manyworlds-local
CONFIG
  )
}

make_certificates() {
  local pki=$directory/pki name
  openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -keyout "$pki/ca.key" -out "$pki/ca.crt" -subj /CN=manyworlds-cluster-ca 2>/dev/null
  openssl genrsa -out "$pki/sa.key" 2048 2>/dev/null
  openssl rsa -in "$pki/sa.key" -pubout -out "$pki/sa.pub" 2>/dev/null
  local dns=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local
  certificate apiserver /CN=kube-apiserver "$dns,IP:127.0.0.1,IP:$service_prefix.0.1,IP:$node_address"
  certificate admin /O=system:masters/CN=admin
  certificate kubelet "/O=system:nodes/CN=system:node:node-1" "DNS:node-1,IP:$node_address,IP:127.0.0.1"
  certificate controller-manager /CN=system:kube-controller-manager
  certificate scheduler /CN=system:kube-scheduler
  certificate proxy /CN=system:kube-proxy
  for name in admin kubelet controller-manager scheduler proxy; do kubeconfig_for "$name" "$directory/$name.kubeconfig"; done
  cp "$directory/admin.kubeconfig" "$directory/kubeconfig"
}
