//! World: one variant of an order, in a pod of its own.

mod obstacle;
mod reevaluation;
mod status;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use obstacle::MOST_REEVALUATIONS;
pub use reevaluation::WorldReevaluation;
pub use status::{Attempt, Score, ScorePart, WorldFallback, WorldStage, WorldStatus};

use crate::work_order::{EnvironmentVariable, ResourceAmounts};

/// The order, variant and pod settings of one World. The operator writes it once and it never changes.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "manyworlds.dev",
    version = "v1alpha1",
    kind = "World",
    plural = "worlds",
    shortname = "wd",
    category = "manyworlds",
    namespaced,
    status = "WorldStatus",
    derive = "PartialEq",
    doc = "A World is one variant of a WorkOrder at work: its own pod, worktree, model, temperature and prompt. The operator makes and ends Worlds; people read them.",
    printcolumn(name = "Order", type_ = "string", json_path = ".spec.order.name"),
    printcolumn(
        name = "Stage",
        type_ = "string",
        json_path = ".status.stage",
        description = "What the World does, or how it ended"
    ),
    printcolumn(
        name = "Score",
        type_ = "integer",
        json_path = ".status.score.total",
        description = "Points out of 100"
    ),
    printcolumn(
        name = "Eligible",
        type_ = "boolean",
        json_path = ".status.eligible",
        description = "Whether it could win"
    ),
    printcolumn(name = "Attempts", type_ = "integer", json_path = ".status.attemptCount", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.message",
        description = "One sentence on the stage"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message("a World never changes; it is made by the operator from its WorkOrder"))]
pub struct WorldSpec {
    /// The order that the World belongs to.
    pub order: OrderReference,

    /// Variant of the World.
    pub variant: ResolvedVariant,

    /// Settings of its pods.
    pub blueprint: Blueprint,
}

/// The order that a World belongs to.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderReference {
    /// Name of the order.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Uid of the order. A new order with the same name has another uid.
    #[schemars(length(max = 64))]
    pub uid: String,
}

/// A variant with every value filled in.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedVariant {
    /// Name of the variant, such as `alpha`.
    #[schemars(length(max = 16))]
    pub name: String,
    /// Index among the variants of the order, from 0.
    #[schemars(range(min = 0, max = 49))]
    pub index: i32,
    /// Model of the worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub model: Option<String>,
    /// Sampling temperature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Prompt of the worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub prompt: Option<String>,
}

/// The settings of a World's pods.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Blueprint {
    /// Worker plugin.
    #[schemars(length(max = 63))]
    pub plugin: String,
    /// Image of the worker.
    #[schemars(length(max = 512))]
    pub image: String,
    /// Command of the worker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 16384)))]
    pub command: Vec<String>,
    /// Environment of the worker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub env: Vec<EnvironmentVariable>,
    /// Requests and limits of each stage.
    pub resources: ResourceAmounts,
}

impl World {
    /// Returns the current model: that of the last fallback, else that of the variant.
    pub fn model(&self) -> Option<&str> {
        self.fallback().map_or(&self.spec.variant.model, |fallback| &fallback.model).as_deref()
    }

    /// Returns the current temperature: that of the last fallback, else that of the variant.
    pub fn temperature(&self) -> Option<f64> {
        self.fallback().map_or(self.spec.variant.temperature, |fallback| fallback.temperature)
    }

    fn fallback(&self) -> Option<&WorldFallback> {
        self.status.as_ref()?.fallback.as_ref()
    }
}
