//! Number, size and variants of the Worlds of an order.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::EnvironmentVariable;

/// The number, size and variants of the Worlds.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.min <= size(self.variants)").message("min must not be greater than the number of variants").field_path(".min"),
)]
pub struct Worlds {
    /// Eligible Worlds that the order needs to succeed.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 50))]
    pub min: i32,

    /// Most Worlds that run at the same time. The nodes may have room for fewer.
    #[serde(default = "five")]
    #[schemars(range(min = 1, max = 50))]
    pub parallelism: i32,

    /// Size of each World.
    #[serde(default)]
    pub sizing: Sizing,

    /// Variants, one World for each. The default is five: alpha, beta, gamma, delta and epsilon.
    #[serde(default = "default_variants")]
    #[schemars(length(min = 1, max = 50))]
    #[x_kube(
        validation = Rule::new("self.all(v, self.exists_one(w, w.name == v.name))").message("the names of variants must be unique"),
    )]
    pub variants: Vec<Variant>,
}

impl Default for Worlds {
    fn default() -> Self {
        Self { min: one(), parallelism: five(), sizing: Sizing::default(), variants: default_variants() }
    }
}

/// The size of each World.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sizing {
    /// `Fixed`: requests and limits are `perWorld`. `ShareOfNode`: a World gets an equal share of the node with the most room, for as many Worlds as that node holds, and never less than `perWorld`.
    #[serde(default)]
    pub mode: SizingMode,

    /// Resources of one World. A node has as many slots as the scarcest of its memory, CPU and disk allows.
    #[serde(default)]
    pub per_world: ResourceAmounts,
}

/// The rule for the requests and limits of a World.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SizingMode {
    /// Requests and limits are as given.
    #[default]
    Fixed,
    /// Requests and limits are an equal share of a node.
    ShareOfNode,
}

/// Amounts of processor, memory and disk.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[self.cpu, self.memory, self.ephemeralStorage].all(q, isQuantity(q) && quantity(q).isGreaterThan(quantity('0')))").message("cpu, memory and ephemeralStorage must be Kubernetes quantities above zero, such as \"2\", 8Gi and 100Gi"),
)]
pub struct ResourceAmounts {
    /// Processor, as a Kubernetes quantity.
    #[serde(default = "two_processors")]
    #[schemars(with = "String", length(min = 1, max = 32))]
    pub cpu: Quantity,

    /// Memory, as a Kubernetes quantity.
    #[serde(default = "eight_gibibytes")]
    #[schemars(with = "String", length(min = 1, max = 32))]
    pub memory: Quantity,

    /// Disk of the node that the World's files may fill, as a Kubernetes quantity.
    #[serde(default = "ten_gibibytes")]
    #[schemars(with = "String", length(min = 1, max = 32))]
    pub ephemeral_storage: Quantity,
}

impl Default for ResourceAmounts {
    fn default() -> Self {
        Self { cpu: two_processors(), memory: eight_gibibytes(), ephemeral_storage: ten_gibibytes() }
    }
}

/// The settings in which one World differs from the others.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Variant {
    /// Name of the World within the order, such as `alpha`.
    #[schemars(length(min = 1, max = 16), regex(pattern = r"^[a-z]([a-z0-9-]*[a-z0-9])?$"))]
    pub name: String,

    /// Model of the worker. `auto` lets the worker `coder` choose by the difficulty of the task, among the models of the namespace that have a `strength`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub model: Option<String>,

    /// Sampling temperature. A model that accepts none is called without it (`spec.models[].temperature` of its Provider).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 2.0))]
    pub temperature: Option<f64>,

    /// Prompt of the worker: a name that the worker knows, or a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8192))]
    pub prompt: Option<String>,

    /// Preference of this variant when there is room for only some. Higher goes first; the default is 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub weight: Option<i32>,

    /// Changes to the order's `worker` for this World.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<VariantWorker>,
}

/// Changes to the order's `worker` for one World.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VariantWorker {
    /// Replaces `worker.command`. Only for the plugin `command`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 8192)))]
    pub command: Vec<String>,

    /// Added to `worker.env`; a name given in both has this value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub env: Vec<EnvironmentVariable>,
}

/// Returns the five default variants.
pub fn default_variants() -> Vec<Variant> {
    [
        ("alpha", 0.2, "careful"),
        ("beta", 0.4, "minimal"),
        ("gamma", 0.6, "test-first"),
        ("delta", 0.8, "refactor"),
        ("epsilon", 1.0, "explorer"),
    ]
    .into_iter()
    .map(|(name, temperature, prompt)| Variant {
        name: name.to_owned(),
        temperature: Some(temperature),
        prompt: Some(prompt.to_owned()),
        ..Variant::default()
    })
    .collect()
}

fn one() -> i32 {
    1
}

fn five() -> i32 {
    5
}

fn two_processors() -> Quantity {
    Quantity("2".to_owned())
}

fn eight_gibibytes() -> Quantity {
    Quantity("8Gi".to_owned())
}

fn ten_gibibytes() -> Quantity {
    Quantity("10Gi".to_owned())
}
