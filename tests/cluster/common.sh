# shellcheck shell=bash
# Messages, processes and waiting. Sourced, never run.

log() { printf '%s\n' "$*" >&2; }
[ "${BASH_VERSINFO[0]}" -ge 4 ] || { echo "bash 4.4 or newer is needed (macOS: brew install bash)" >&2; exit 1; }

fail() { log "error: $*"; exit 1; }

# wait_for WHAT SECONDS COMMAND...: polls until the command succeeds.
wait_for() {
  local what=$1 limit=$2 deadline
  shift 2
  deadline=$((SECONDS + limit))
  until "$@" >/dev/null 2>&1; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      log "$what did not come up within $limit s; the last lines of the logs in $directory/log:"
      tail -n 5 "$directory"/log/*.log >&2 || true
      return 1
    fi
    sleep 0.1
  done
}

# define NAME COMMAND...: writes the command down, so that a later `start NAME` (of a crash test, say) runs the same.
define() {
  local name=$1
  shift
  {
    printf '#!/usr/bin/env bash\ncd %q || exit 1\nexport PATH=%q:$PATH\nexec' "$directory" "$bin"
    printf ' %q' "$@"
    printf '\n'
  } >"$directory/run/$name"
  chmod +x "$directory/run/$name"
}

start() {
  local name=$1
  running "$name" && return 0
  if command -v setsid >/dev/null; then
    setsid "$directory/run/$name" >>"$directory/log/$name.log" 2>&1 </dev/null 9>&- &
  else
    nohup "$directory/run/$name" >>"$directory/log/$name.log" 2>&1 </dev/null 9>&- &
  fi
  echo $! >"$directory/pid/$name"
}

# A process id that another program has taken over since is not ours: every command line of ours names our folder.
running() {
  local pid
  pid=$(cat "$directory/pid/$1" 2>/dev/null) || return 1
  ps -ww -o args= -p "$pid" 2>/dev/null | grep -qF "$directory"
}

# stop NAME [SECONDS]: asks the process to end and waits; one that has not ended after so long (15 s) is killed.
stop() {
  local pid deadline
  if running "$1"; then
    pid=$(cat "$directory/pid/$1")
    kill "$pid" 2>/dev/null || true
    deadline=$((SECONDS + ${2:-15}))
    while running "$1" && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.1; done
    running "$1" && kill -9 "$pid" 2>/dev/null
    while holds_on "$pid"; do sleep 0.1; done
  fi
  rm -f "$directory/pid/$1"
}

# A killed process loses its command line before its sockets: it holds on to them until its last thread has gone.
holds_on() {
  local state
  state=$(ps -o stat= -p "$1" 2>/dev/null) || return 1
  [ -n "$state" ] && [[ $state != Z* || $state == *l* ]]
}

port_is_free() { ! (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

# The address of the machine's first network card that is not made by containers; loopback where there is none.
machine_address() {
  local address
  address=$(ip -4 -o addr show scope global 2>/dev/null |
    awk '$2 !~ /^(cni|docker|br-|veth|virbr)/ {split($4, part, "/"); print part[1]; exit}')
  if [ -z "$address" ] && command -v ipconfig >/dev/null; then address=$(ipconfig getifaddr en0 || true); fi
  echo "${address:-127.0.0.1}"
}

kube() { "$bin/kubectl" --kubeconfig "$directory/kubeconfig" "$@"; }
