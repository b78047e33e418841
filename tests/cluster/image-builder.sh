# shellcheck shell=bash
# Compiles the programs, builds an image with whatever builder there is, and loads it. Sourced, never run.

# Sets `compiled` to the folder of the static programs.
compile() {
  local triple
  triple=$(uname -m | sed 's/arm64/aarch64/')-unknown-linux-gnu
  log "compiling the release programs (static, $triple)"
  if [ "$(uname -s)" = Linux ]; then
    (cd "$root" && RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target "$triple" \
      -p manyworlds-operator -p manyworlds-runner -p kubectl-worlds -p manyworlds-upstream)
  else
    # Elsewhere the programs for Linux are compiled inside the container engine.
    "$(container_engine)" run --rm -v "$root:/source" -w /source -e RUSTFLAGS="-C target-feature=+crt-static" \
      "docker.io/library/rust:$(awk -F'"' '/^channel/ {print $2}' "$root/rust-toolchain.toml")-bookworm" \
      cargo build --release --locked --target "$triple" -p manyworlds-operator -p manyworlds-runner -p manyworlds-upstream
  fi
  compiled=$root/target/$triple/release
}

image_builder() {
  container_engine && return 0
  need_packages buildah=buildah >&2
  echo buildah
}

buildah_here() { buildah --storage-driver vfs --root "$cache/images/storage" --runroot "$cache/images/run" "$@"; }

base_choice() {
  if [ -n "${MANYWORLDS_BASE:-}" ]; then echo "$MANYWORLDS_BASE"
  elif [ "$builder" != buildah ] && timeout 120 "$builder" pull docker.io/library/debian:bookworm-slim >/dev/null 2>&1; then echo registry
  else echo debootstrap
  fi
}

image_name() { echo "docker.io/manyworlds/$1:$version"; }

# build_image TARGET: leaves an archive whose name has the digest of all that went into it.
build_image() {
  local target=$1 base='' key context=$context
  # Seen by build_with as well.
  [ "$target" != agents ] || context=$("$root/tests/agents/install")
  if [[ $target != operator && $target != scripted-model ]]; then
    [ "$(base_choice)" = debootstrap ] && base=$(rootfs "${target/#agents/worker-python}")
  fi
  key=$({ cat "$root/Dockerfile"; echo "$target $version $base"; contents "$target"; } | digest 16)
  archive=$cache/images/$target-$key.tar
  [ -f "$archive" ] && return 0
  log "building the image $(image_name "$target") with $builder"
  rm -f "$cache/images/$target"-????????????????.tar
  if ! build_with "$builder" "$target" "$base" >"$cache/images/$target.log" 2>&1; then
    tail -n 20 "$cache/images/$target.log" >&2
    fail "the image $target could not be built; the whole output is in $cache/images/$target.log"
  fi
  mv "$archive.part" "$archive"
}

# The programs of the agents are named by their folder.
contents() {
  case $1 in
    agents) echo "$context"; cat "$context"/bin/* ;;
    *) cat "$context/manyworlds-$1" 2>/dev/null || true ;;
  esac
}

build_with() {
  local builder=$1 target=$2 tar=$3 name options=()
  name=$(image_name "$target")
  if [ -n "$tar" ]; then
    import_base "$builder" "$target" "$tar"
    options=(--build-arg "BASE=$base_name")
  fi
  if [ "$builder" = buildah ]; then
    buildah_here bud --isolation chroot --timestamp 0 --target "$target" "${options[@]}" -f "$(dockerfile_of "$target")" -t "$name" "$context"
    buildah_here push "$name" "oci-archive:$archive.part:$name"
    buildah_here rmi --all --force
  else
    "$builder" build --target "$target" "${options[@]}" -f "$root/Dockerfile" -t "$name" "$context"
    "$builder" save -o "$archive.part" "$name"
  fi
}

# Older buildah builds every stage that stands before the wanted one, base image and all: it is shown that one only.
dockerfile_of() {
  awk -v wanted="$1" '/^FROM / {keep = ($4 == wanted); seen = 1} !seen || keep' "$root/Dockerfile" >"$cache/images/Dockerfile.$1"
  echo "$cache/images/Dockerfile.$1"
}

# Sets base_name to an image made of the tar.
import_base() {
  local builder=$1 target=$2 tar=$3 container
  base_name=localhost/manyworlds-base/$target:local
  if [ "$builder" = buildah ]; then
    container=$(buildah_here from scratch)
    buildah_here add "$container" "$tar" /
    buildah_here commit --rm "$container" "$base_name"
  else
    "$builder" import "$tar" "$base_name"
  fi
}

# load_image TARGET: nothing when the cluster has this very archive already.
load_image() {
  local target=$1 stamp=$directory/images/$1
  [ "$(cat "$stamp" 2>/dev/null)" = "$archive" ] && return 0
  case $(provider) in
    existing) push_image "$target"; return 0 ;;
    "") fail "no cluster in $directory; start one with: make cluster" ;;
    *) load "$archive" ;;
  esac
  mkdir -p "$directory/images"
  echo "$archive" >"$stamp"
  log "loaded $(image_name "$target")"
}

# An existing cluster that kind made takes the archive as it is; any other one pulls from a registry.
push_image() {
  local context
  context=$("$(tools)/kubectl" --kubeconfig "$directory/kubeconfig" config current-context)
  if [[ $context == kind-* ]] && command -v kind >/dev/null; then
    kind load image-archive "$archive" --name "${context#kind-}"
    return 0
  fi
  [ -n "${MANYWORLDS_REGISTRY:-}" ] || {
    log "an existing cluster pulls its images: set MANYWORLDS_REGISTRY to push them, or see that it has $(image_name "$1")"
    return 0
  }
  if [ "$builder" = buildah ]; then
    buildah_here push "oci-archive:$archive" "docker://$MANYWORLDS_REGISTRY/$1:$version"
  else
    "$builder" tag "$(image_name "$1")" "$MANYWORLDS_REGISTRY/$1:$version"
    "$builder" push "$MANYWORLDS_REGISTRY/$1:$version"
  fi
}
