# shellcheck shell=bash
# The default StorageClass and folders of node-1 as its volumes. Sourced, never run.

volume_count=16

# Makes what is missing, and again each volume whose claim is gone: nothing else would empty and offer it again.
storage() {
  kube apply -f - >/dev/null <<'CLASS'
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: standard, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
CLASS
  local name
  for name in $(kube get persistentvolumes -o 'jsonpath={range .items[?(@.status.phase=="Released")]}{.metadata.name}{"\n"}{end}'); do
    [[ $name == local-* ]] || continue
    kube delete persistentvolume "$name" --wait=true >/dev/null
    rm -rf "${directory:?}/volumes/$name"
  done
  volumes | kube apply -f - >/dev/null
}

volumes() {
  local number name
  for number in $(seq "$volume_count"); do
    name=local-$number
    mkdir -p "$directory/volumes/$name"
    chmod 0777 "$directory/volumes/$name"
    cat <<VOLUME
apiVersion: v1
kind: PersistentVolume
metadata: {name: $name}
spec:
  capacity: {storage: 10Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: standard
  local: {path: $directory/volumes/$name}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node-1]}]}]}}
---
VOLUME
  done
}
