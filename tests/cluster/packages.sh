# shellcheck shell=bash
# System packages: installed when we may, else named with the command that installs them. Sourced, never run.

# need_packages CHECK=PACKAGE...: CHECK is a program in PATH, or a file when it starts with "/", or "pkg-config:NAME", or
# "python3:MODULE".
need_packages() {
  local pair check missing=()
  for pair in "$@"; do
    check=${pair%%=*}
    present "$check" || missing+=("${pair#*=}")
  done
  [ ${#missing[@]} = 0 ] && return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    log "installing the system packages ${missing[*]}"
    DEBIAN_FRONTEND=noninteractive apt-get update -qq >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
      fail "apt-get could not install ${missing[*]}"
    return 0
  fi
  if command -v apt-get >/dev/null; then
    fail "system packages are missing; install them with: sudo apt-get install ${missing[*]}"
  fi
  fail "programs are missing; install what your system calls: ${missing[*]}"
}

present() {
  case $1 in
    /*) [ -e "$1" ] ;;
    pkg-config:*) command -v pkg-config >/dev/null && pkg-config --exists "${1#pkg-config:}" ;;
    python3:*) command -v python3 >/dev/null && python3 -c "import ${1#python3:}" 2>/dev/null ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

need_go() {
  command -v go >/dev/null ||
    fail "Go 1.21 or newer is missing; it builds the cluster (see https://go.dev/doc/install, or install docker and kind instead)"
  # An older Go than a module asks for fetches the right one by itself from 1.21 on.
  case $(go env GOVERSION) in
    go1.[0-9] | go1.[0-9].* | go1.1[0-9]* | go1.20*) fail "$(go env GOVERSION) is too old; Go 1.21 or newer is needed" ;;
  esac
}

need_control_plane_packages() { need_packages openssl=openssl ps=procps; }

need_node_packages() {
  need_packages cc=gcc /usr/include/stdio.h=libc6-dev pkg-config=pkg-config pkg-config:libseccomp=libseccomp-dev \
    /usr/lib/cni/ptp=containernetworking-plugins iptables=iptables conntrack=conntrack ip=iproute2 mount=mount
}
