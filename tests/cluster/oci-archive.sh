# shellcheck shell=bash
# Packs a folder as an image of one layer, with tar alone: there need be no image builder and no registry. Sourced, never run.

blob() { # FILE FOLDER: moves the file in among the blobs and prints its digest
  local sum
  sum=$(digest 64 <"$1")
  mv "$1" "$2/blobs/sha256/$sum"
  echo "$sum"
}

# oci_archive FOLDER IMAGE ENTRYPOINT FILE: the same folder gives the same image.
oci_archive() {
  local folder=$1 image=$2 entrypoint=$3 file=$4 work machine layer config manifest config_size layer_size manifest_size
  work=$(mktemp -d)
  mkdir -p "$work/blobs/sha256"
  machine=$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')
  tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$folder" -cf "$work/part" .
  layer_size=$(wc -c <"$work/part")
  layer=$(blob "$work/part" "$work")
  printf '{"architecture":"%s","os":"linux","config":{"Entrypoint":["%s"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$machine" "$entrypoint" "$layer" >"$work/part"
  config_size=$(wc -c <"$work/part")
  config=$(blob "$work/part" "$work")
  printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%d},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:%s","size":%d}]}' \
    "$config" "$config_size" "$layer" "$layer_size" >"$work/part"
  manifest_size=$(wc -c <"$work/part")
  manifest=$(blob "$work/part" "$work")
  printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%d,"annotations":{"io.containerd.image.name":"%s"}}]}' \
    "$manifest" "$manifest_size" "$image" >"$work/index.json"
  printf '{"imageLayoutVersion":"1.0.0"}' >"$work/oci-layout"
  tar -C "$work" -cf "$file" oci-layout index.json blobs
  rm -rf "$work"
}
