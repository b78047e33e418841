//! What a WorkOrder reports: conditions, counts and references, never bulk.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Money;
use crate::conditions::{OrderCondition, Truth, truth};

/// How an order stands.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkOrderStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// `Admitted`, `WorldsStarted`, `Evaluated`, `WinnerSelected`, `Succeeded` (Unknown while active), `Finished` (True on success and on failure) and `Stalled` when a person must act.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::foreign::conditions")]
    pub conditions: Vec<Condition>,

    /// One word on how the order stands, or why it waits. It is computed from the conditions and is for display only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub summary: Option<String>,

    /// One sentence on the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,

    /// How many Worlds are in which state.
    #[serde(default)]
    pub worlds: WorldCounts,

    /// The best World so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<RankedWorld>,

    /// Name of the variant that won.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub winner: Option<String>,

    /// All Worlds, the best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub ranking: Vec<RankedWorld>,

    /// What the order has used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,

    /// How many attempts its Worlds have had.
    #[serde(default)]
    pub attempts: i32,

    /// The commit that all Worlds start from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub base_commit: Option<String>,

    /// The artifacts that are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<ArtifactCounts>,

    /// When the first World was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,

    /// When the order finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,

    /// Seconds that the order had run when it was suspended; the active deadline goes on from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_seconds_before_suspension: Option<i64>,

    /// When the order was last resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_time: Option<Time>,
}

impl WorkOrderStatus {
    /// Returns whether it is that of an order that is over, however it ended.
    pub fn is_finished(&self) -> bool {
        truth(&self.conditions, OrderCondition::Finished.as_str()) == Truth::True
    }
}

/// How many Worlds are in which state.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorldCounts {
    /// Ended, of all, such as `3/5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub summary: Option<String>,
    /// Not started.
    #[serde(default)]
    pub pending: i32,
    /// Started and not ended.
    #[serde(default)]
    pub running: i32,
    /// Ended with a score.
    #[serde(default)]
    pub scored: i32,
    /// Ended without a score.
    #[serde(default)]
    pub failed: i32,
    /// Cut, because there were enough good results or the order ended.
    #[serde(default)]
    pub cut: i32,
}

/// A World's place in the ranking.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RankedWorld {
    /// Name of the variant.
    #[schemars(length(max = 16))]
    pub world: String,
    /// Score out of 100; absent when the World was not scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<i32>,
    /// Whether the World could win.
    #[serde(default)]
    pub eligible: bool,
    /// Votes of the council.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub votes: Option<i32>,
    /// Why it stands here.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub reason: String,
}

/// What the model calls have used.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Dollars.
    #[serde(default)]
    pub cost: Money,
    /// Input tokens, the cached ones not counted.
    #[serde(default)]
    pub input_tokens: i64,
    /// Output tokens.
    #[serde(default)]
    pub output_tokens: i64,
    /// Input tokens that came from the provider's cache.
    #[serde(default)]
    pub cached_tokens: i64,
    /// Calls.
    #[serde(default)]
    pub calls: i64,
}

/// How many artifacts are kept.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactCounts {
    /// Number of artifacts.
    #[serde(default)]
    pub count: i32,
    /// Their bytes together.
    #[serde(default)]
    pub bytes: i64,
}
