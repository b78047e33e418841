# shellcheck shell=bash
# Nodes without a machine: kwok plays the kubelet of every Node that has the label type=kwok. Sourced, never run.

define_kwok() {
  define kwok "$bin/kwok" --kubeconfig "$directory/kubeconfig" --manage-all-nodes=false --manage-nodes-with-label-selector type=kwok \
    --node-lease-duration-seconds 40 --config "$here/kwok-fast.yaml"
}

# fake_nodes NUMBER: makes nodes fake-1 ... fake-NUMBER and waits until they are Ready.
fake_nodes() {
  local number
  for number in $(seq "$1"); do
    local size="{cpu: \"$fake_node_cpu\", memory: $fake_node_memory, pods: \"$fake_node_pods\", ephemeral-storage: $fake_node_storage}"
    printf 'apiVersion: v1\nkind: Node\nmetadata: {name: fake-%s, labels: {type: kwok, kubernetes.io/os: linux, kubernetes.io/hostname: fake-%s}}\nstatus: {allocatable: %s, capacity: %s}\n---\n' \
      "$number" "$number" "$size" "$size"
  done | kube apply --server-side -f - >/dev/null
  wait_for "the fake nodes" 60 fake_nodes_are_ready "$1"
}

fake_nodes_are_ready() { [ "$(kube get nodes -l type=kwok --no-headers | grep -c ' Ready ')" -ge "$1" ]; }
