# shellcheck shell=bash
# Which cluster is used (an existing one, kind's, or ours from Go modules) and what each command does with it.
# Sourced, never run.

# Prints what the state folder says is up: existing, kind or modules; nothing when nothing is.
provider() { cat "$directory/provider" 2>/dev/null || true; }

named_kubeconfig() {
  local named=${MANYWORLDS_KUBECONFIG:-${KUBECONFIG:-}}
  # Our own file, exported after an earlier `up`, does not make our cluster somebody else's.
  case $named in "$default_directory"/* | "$directory"/*) return 1 ;; esac
  [ -n "$named" ] && echo "$named"
}

choose() {
  if [ "$flavour" = fake ]; then echo modules
  elif [ -n "${MANYWORLDS_CLUSTER:-}" ]; then echo "$MANYWORLDS_CLUSTER"
  elif named_kubeconfig >/dev/null; then echo existing
  elif command -v kind >/dev/null && container_engine >/dev/null; then echo kind
  else echo modules
  fi
}

# Two commands at once would each find half of the other's work. The processes of the cluster do not hold the lock.
one_at_a_time() {
  command -v flock >/dev/null || return 0
  exec 9>"$directory.lock"
  flock 9
}

up() {
  local chosen
  one_at_a_time
  chosen=$(choose)
  case $chosen in
    existing) use_existing ;;
    kind)
      [ "$audit" = on ] && fail "--audit needs the cluster from Go modules (MANYWORLDS_CLUSTER=modules, or --fake)"
      kind_up
      ;;
    modules) modules_up ;;
    *) fail "MANYWORLDS_CLUSTER=$chosen: existing, kind or modules" ;;
  esac
  echo "$chosen" >"$directory/provider"
  log "export KUBECONFIG=$directory/kubeconfig"
}

use_existing() {
  local named
  named=$(named_kubeconfig) || fail "MANYWORLDS_CLUSTER=existing, but neither MANYWORLDS_KUBECONFIG nor KUBECONFIG names a cluster"
  log "using the cluster that $named names"
  "$(tools)/kubectl" --kubeconfig "$named" get --raw /readyz >/dev/null || fail "the cluster that $named names does not answer"
  mkdir -p "$directory"
  "$(tools)/kubectl" --kubeconfig "$named" config view --raw --flatten >"$directory/kubeconfig"
  chmod 600 "$directory/kubeconfig"
}

modules_up() {
  local begin=$SECONDS
  if [ "$flavour" = real ] && ! { [ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ]; }; then
    log "no container engine runs here, and a node of our own needs Linux and root: control plane with fake nodes instead."
    log "Pods on fake nodes do not run; for the demo start docker or podman and install kind, or become root."
    flavour=fake
  fi
  if healthy; then
    log "the $flavour cluster in $directory is up already"
    if [ "$flavour" = real ]; then storage; else fake_nodes "$fake_count"; fi
    return 0
  fi
  [ -d "$directory/run" ] && { log "replacing what is left of the cluster in $directory"; end; }
  need_control_plane_packages
  node_address=$(machine_address)
  if [ "$flavour" = real ]; then
    need_node_packages
    api_address=$node_address
    build
  else
    api_address=127.0.0.1
    # shellcheck disable=SC2086 # a list of names
    build $control_plane_components
  fi
  control_plane
  echo "$flavour" >"$directory/flavour"
  echo "$audit" >"$directory/audit"
  define_kwok
  start kwok
  if [ "$flavour" = real ]; then node; else fake_nodes "$fake_count"; fi
  wait_for "the default service account" 60 kube get serviceaccount default
  log "the $flavour cluster in $directory is up after $((SECONDS - begin)) s"
}

# Everything that was started still runs, answers, and is what is asked for.
healthy() {
  local file
  [ "$(cat "$directory/flavour" 2>/dev/null)" = "$flavour" ] || return 1
  [ "$audit" = off ] || [ "$(cat "$directory/audit" 2>/dev/null)" = on ] || return 1
  for file in "$directory"/run/*; do running "${file##*/}" || return 1; done
  apiserver_is_ready 2>/dev/null || return 1
  [ "$flavour" = fake ] || node_is_ready >/dev/null 2>&1
}

down() {
  one_at_a_time
  end
  rm -f "$directory.lock"
}

end() {
  case $(provider) in
    existing) log "the cluster is not ours and stays as it is" ;;
    kind) kind_down ;;
    *)
      [ -d "$directory/run" ] || { log "no cluster in $directory"; return 0; }
      stop kwok
      [ "$(cat "$directory/flavour" 2>/dev/null)" != fake ] && [ -e "$directory/containerd.toml" ] && node_down
      local name
      for name in scheduler controller-manager apiserver etcd; do stop "$name"; done
      ;;
  esac
  rm -rf "${directory:?}"
}

status() {
  local file name
  case $(provider) in
    "") echo "no cluster in $directory"; return 1 ;;
    modules)
      for file in "$directory"/run/*; do
        name=${file##*/}
        if running "$name"; then echo "$name: running, process $(cat "$directory/pid/$name")"; else echo "$name: not running"; fi
      done
      ;;
    *) echo "cluster: $(provider)" ;;
  esac
  "$(tools)/kubectl" --kubeconfig "$directory/kubeconfig" get nodes
}

load() {
  [ -f "$1" ] || fail "$1: no such file"
  case $(provider) in
    kind) kind_load "$1" ;;
    modules) [ -S "$directory/containerd.sock" ] || fail "fake nodes hold no images"; import_image "$1" ;;
    existing) fail "images for an existing cluster go to a registry that it can pull from" ;;
    *) fail "no cluster in $directory" ;;
  esac
}

# The folder of kubectl and helm: what is built here; else those in PATH; else they are built.
tools() {
  if [ -x "$bin/kubectl" ] && [ -x "$bin/helm" ]; then
    echo "$bin"
  elif command -v kubectl >/dev/null && command -v helm >/dev/null; then
    mkdir -p "$directory/tools"
    ln -sf "$(command -v kubectl)" "$(command -v helm)" "$directory/tools/"
    echo "$directory/tools"
  else
    # shellcheck disable=SC2086 # a list of names
    build $client_components
    echo "$bin"
  fi
}

only_modules() { [ "$(provider)" = modules ] || fail "only a cluster built here can do that"; }

count_requests() {
  [ -f "$1" ] || fail "$1: no audit log; start the cluster with --audit"
  python3 - "$1" <<'COUNT'
import collections, json, sys
counts = collections.Counter()
with open(sys.argv[1], encoding="utf-8") as log:
    for line in log:
        event = json.loads(line)
        target = event.get("objectRef") or {}
        resource = "/".join(part for part in (target.get("resource"), target.get("subresource")) if part)
        counts[event["user"]["username"], event["verb"], resource] += 1
for (user, verb, resource), count in sorted(counts.items()):
    print(f"{count:8} {user} {verb} {resource}")
COUNT
}
