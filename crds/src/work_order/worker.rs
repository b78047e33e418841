//! The program that does the coding work, and the pod that it runs in.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::LocalReference;
use crate::Duration;

/// The program that does the coding work.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.plugin == 'command' || !has(self.command) || self.command.size() == 0").message("only the plugin command runs a command; set worker.plugin to command, or leave worker.command out").field_path(".plugin"))]
pub struct Worker {
    /// Plugin that does the work. `coder` lets a model change the code and needs `model`; `command` runs `command` in the worktree; `echo` makes one small commit and is the template for your own plugins. Any other name is a program `manyworlds-worker-<name>` in the image.
    #[serde(default = "echo")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub plugin: String,

    /// Model of variants that name none: `<model>` or `<provider>/<model>` of a Provider in the order's namespace. The worker calls it through the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub model: Option<String>,

    /// Image that the worker and the gates run in. The default is the runner's image, which has git and a shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,

    /// Program and arguments, run in the worktree. Only for the plugin `command`; with any other plugin it is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 16384)))]
    pub command: Vec<String>,

    /// Environment of the worker. Values are plain: a World never holds a secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self.all(v, self.exists_one(w, w.name == v.name))").message("the names of environment variables must be unique"))]
    pub env: Vec<EnvironmentVariable>,

    /// Time-out of each phase of a World.
    #[serde(default)]
    pub phase_timeouts: PhaseTimeouts,

    /// Additions to the Worlds' pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            plugin: echo(),
            model: None,
            image: None,
            command: Vec::new(),
            env: Vec::new(),
            phase_timeouts: PhaseTimeouts::default(),
            pod_template: None,
        }
    }
}

/// One environment variable with a plain value.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!self.name.startsWith('MANYWORLDS_')").message("names that start with MANYWORLDS_ are reserved").field_path(".name"))]
pub struct EnvironmentVariable {
    /// Name of the variable.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,

    /// Its value.
    #[serde(default)]
    #[schemars(length(max = 16384))]
    pub value: String,
}

/// Time-out of each phase of a World.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhaseTimeouts {
    /// Time-out of the worker. Its changes until then are still evaluated.
    #[serde(default = "thirty_minutes")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('24h')").message("coding must be between 1s and 24h"))]
    pub coding: Duration,

    /// Time-out of all gates together.
    #[serde(default = "forty_five_minutes")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('24h')").message("testing must be between 1s and 24h"))]
    pub testing: Duration,
}

impl Default for PhaseTimeouts {
    fn default() -> Self {
        Self { coding: thirty_minutes(), testing: forty_five_minutes() }
    }
}

/// Additions to a World's pod, as far as the installation allows them.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplate {
    /// Labels of the pods. Keys begin with `label.manyworlds.dev/` by default.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 63}))]
    #[x_kube(validation = Rule::new("self.all(k, k.size() <= 317 && !k.startsWith('manyworlds.dev/') && !k.startsWith('app.kubernetes.io/'))").message("labels that start with manyworlds.dev/ or app.kubernetes.io/ are the operator's own"))]
    pub labels: BTreeMap<String, String>,

    /// Annotations of the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 8192}))]
    #[x_kube(validation = Rule::new("self.all(k, k.size() <= 317 && !k.startsWith('manyworlds.dev/'))").message("annotations that start with manyworlds.dev/ are the operator's own"), validation = Rule::new("self.map(k, size(bytes(k)) + size(bytes(self[k]))).sum() <= 16384").message("annotations may together have 16 KiB"))]
    pub annotations: BTreeMap<String, String>,

    /// Labels that a node must have. Only such nodes count as capacity.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 63}))]
    #[x_kube(validation = Rule::new("self.all(k, k.size() <= 317)").message("a label of a node has at most 317 characters"))]
    pub node_selector: BTreeMap<String, String>,

    /// Taints that the pods tolerate. Nodes with other taints do not count as capacity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::foreign::tolerations")]
    pub tolerations: Vec<Toleration>,

    /// Affinity of the pods, as in a Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::foreign::affinity")]
    pub affinity: Option<serde_json::Value>,

    /// Secrets in the order's namespace with which the kubelet pulls images. The pods do not see them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub image_pull_secrets: Vec<LocalReference>,

    /// Runtime class of the pods, such as gvisor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub runtime_class_name: Option<String>,

    /// Priority class of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,

    /// Scheduler of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub scheduler_name: Option<String>,

    /// Extra volumes of the worker and the gates. Secrets and host paths are not possible.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = Rule::new("self.all(v, self.exists_one(w, w.name == v.name))").message("the names of volumes must be unique"))]
    pub volumes: Vec<ExtraVolume>,
}

/// An extra volume of the worker and the gates.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.configMap), has(self.persistentVolumeClaim), has(self.emptyDir)].exists_one(x, x)").message("a volume has exactly one of configMap, persistentVolumeClaim and emptyDir"),
    validation = Rule::new("!(self.mountPath.split('/')[1] in ['manyworlds', 'dev', 'proc', 'sys']) && !(self.mountPath + '/').startsWith('/var/run/secrets/') && !(self.mountPath + '/').startsWith('/run/secrets/') && self.mountPath != '/tmp' && self.mountPath.split('/').all(part, part != '.' && part != '..')").message("mountPath must not be /tmp, lie in /manyworlds, /dev, /proc, /sys, /run/secrets or /var/run/secrets, or contain . or .. as a part").field_path(".mountPath"),
)]
pub struct ExtraVolume {
    /// Name of the volume.
    #[schemars(length(min = 1, max = 40), regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub name: String,

    /// Folder at which the volume is mounted.
    #[schemars(length(min = 2, max = 512), regex(pattern = r"^(/[^/:]+)+$"))]
    pub mount_path: String,

    /// The files of a ConfigMap, read-only and executable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapVolume>,

    /// A claim, mounted read-only: a World writes only to its own volumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<PersistentVolumeClaimVolume>,

    /// An empty folder with the lifetime of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir: Option<EmptyDirectory>,
}

/// The files of a ConfigMap, read-only and executable, such as a worker.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapVolume {
    /// Name of the ConfigMap in the order's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A persistent volume claim.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PersistentVolumeClaimVolume {
    /// Name of the claim in the order's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub claim_name: String,
}

/// An empty folder.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EmptyDirectory {
    /// Most that the folder may hold, as a Kubernetes quantity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("isQuantity(self)").message("sizeLimit must be a Kubernetes quantity such as 1Gi"))]
    pub size_limit: Option<String>,
}

fn echo() -> String {
    "echo".to_owned()
}

fn thirty_minutes() -> Duration {
    Duration::from_minutes(30)
}

fn forty_five_minutes() -> Duration {
    Duration::from_minutes(45)
}
