# shellcheck shell=bash
# The cluster as kind makes it, where docker or podman runs. Sourced, never run.

# Prints docker or podman, whichever really runs: the program may be there without its server.
container_engine() {
  local engine
  for engine in docker podman; do
    if command -v "$engine" >/dev/null && timeout 20 "$engine" info >/dev/null 2>&1; then
      echo "$engine"
      return 0
    fi
  done
  return 1
}

kind_command() {
  [ "$(container_engine)" = podman ] && export KIND_EXPERIMENTAL_PROVIDER=podman
  kind "$@" --name "$kind_name"
}

kind_up() {
  mkdir -p "$directory"
  if ! kind get clusters 2>/dev/null | grep -qx "$kind_name"; then
    local image=()
    [ -n "${KIND_NODE_IMAGE:-}" ] && image=(--image "$KIND_NODE_IMAGE")
    kind_command create cluster --config "$here/../../kind-config.yaml" --kubeconfig "$directory/kubeconfig" --wait 180s "${image[@]}"
  fi
  kind_command export kubeconfig --kubeconfig "$directory/kubeconfig"
}

kind_load() { kind_command load image-archive "$1"; }
kind_down() { kind_command delete cluster; }

in_kind_node() { "$(container_engine)" exec "$kind_name-control-plane" "$@"; }

# The kubelet starts a static pod's process again by itself.
kind_restart() {
  case $1 in apiserver) set -- kube-apiserver ;; controller-manager) set -- kube-controller-manager ;; scheduler) set -- kube-scheduler ;; esac
  in_kind_node pkill -x "$(printf '%.15s' "$1")"
  wait_for kube-apiserver 120 sh -c "kubectl --kubeconfig '$directory/kubeconfig' get --raw /readyz"
}
