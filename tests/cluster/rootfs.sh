# shellcheck shell=bash
# Base images made of Debian packages with debootstrap, for machines that reach a Debian mirror but no image registry.
# Sourced, never run.

rootfs_suite=bookworm

# The packages of a target's base image; the Dockerfile installs the same ones where a registry gives the base.
packages_of() {
  case $1 in
    runner) echo "ca-certificates git openssh-client" ;;
    worker-python) echo "ca-certificates git openssh-client procps python3 python3-pytest" ;;
    *) fail "no base image for $1" ;;
  esac
}

# rootfs TARGET: prints the path of the tar of its root file system, made once for a list of packages.
rootfs() {
  local target=$1 packages tar
  packages=$(packages_of "$target")
  tar=$cache/images/rootfs-$target-$({ echo "$rootfs_suite $packages"; declare -f slim; } | digest 12).tar
  if [ ! -f "$tar" ]; then
    [ "$(id -u)" = 0 ] || fail "a base image without a registry needs root (debootstrap)"
    need_packages debootstrap=debootstrap
    mkdir -p "$cache/images/packages"
    log "making the base image of $target from Debian packages (about a minute)"
    # In a shell of its own, whose end removes the folder however it comes.
    (
      folder=$(mktemp -d "$cache/images/rootfs.XXXXXX") || exit
      trap 'rm -rf "$folder"' EXIT
      make_rootfs "$folder" "$target" "$packages" "$tar.part"
    ) || exit
    mv "$tar.part" "$tar"
  fi
  echo "$tar"
}

# make_rootfs FOLDER TARGET PACKAGES TAR: fills FOLDER and writes TAR of it.
make_rootfs() {
  local folder=$1 target=$2 packages=$3 tar=$4 said=$cache/images/debootstrap-$2.log
  debootstrap --variant=minbase --cache-dir="$cache/images/packages" --include="${packages// /,}" \
    "$rootfs_suite" "$folder" >"$said" 2>&1 || fail "debootstrap failed: $(tail -n 3 "$said")"
  slim "$folder" "$target"
  tar --sort=name --mtime=@0 --numeric-owner --exclude=./dev/* -C "$folder" -cf "$tar" . ||
    fail "the base image of $target cannot be written to $tar"
}

# What a container never reads: documentation, translations, package lists, and what differs from one run to the next.
slim() {
  local folder=$1 target=$2
  rm -rf "$folder"/usr/share/{doc,man,info,locale,lintian,bash-completion} \
    "$folder"/var/cache/apt/* "$folder"/var/cache/debconf/*-old "$folder"/var/lib/apt/lists/* "$folder"/var/log/* "$folder"/tmp/* \
    "$folder"/var/cache/ldconfig/aux-cache "$folder"/etc/machine-id
  : >"$folder/etc/hostname"
  : >"$folder/etc/resolv.conf"
  find "$folder" -name __pycache__ -type d -prune -exec rm -rf {} +
  if [ "$target" = runner ]; then
    # Nothing that the runner asks of git is a Perl script.
    rm -rf "$folder"/usr/share/perl "$folder"/usr/lib/*/{perl,gconv} "$folder"/usr/share/zoneinfo
  fi
}
