//! Status of a WorkOrder: conditions, counts and references. Large data is in the artifacts.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reevaluation::ReevaluationStatus;
use crate::Money;
use crate::conditions::{OrderCondition, Truth, truth};
use crate::result::GateOutcome;

/// The most Budgets that a status names, as its schema says. Their names together are no longer than a long task.
pub const MOST_BUDGETS: usize = 128;

/// The status of a WorkOrder.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkOrderStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// `Admitted`, `WorldsStarted`, `Evaluated`, `WinnerSelected`, `Succeeded` (Unknown while active), `Finished` (True on success and on failure) and `Stalled` when a person must act.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::foreign::conditions")]
    pub conditions: Vec<Condition>,

    /// The state of the order, or the reason why it waits, in one word. For display only; programs read the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub summary: Option<String>,

    /// One sentence on the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,

    /// Number of Worlds in each state.
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

    /// Model calls, tokens and cost of the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,

    /// Names of the Budgets that hold the order since it was admitted. They hold it to its end, whatever becomes of its labels and of their selectors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), inner(length(max = 253)))]
    pub budgets: Vec<String>,

    /// Attempts of all its Worlds.
    #[serde(default)]
    pub attempts: i32,

    /// The commit that all Worlds start from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub base_commit: Option<String>,

    /// Outcome of the gates at that commit, without any change; absent where no gate has a command, and before they run there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<BaselineStatus>,

    /// Number and size of the stored artifacts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<ArtifactCounts>,

    /// Time at which the first World started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,

    /// The answer to the last request to judge Worlds again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reevaluation: Option<ReevaluationStatus>,

    /// Time at which the order finished. It stays while an order that has finished is judged again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,

    /// Seconds that the order had run when it was suspended. The active deadline continues from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_seconds_before_suspension: Option<i64>,

    /// Time at which the order was last resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_time: Option<Time>,
}

impl WorkOrderStatus {
    /// Returns whether the order has ended, in success or failure.
    pub fn is_finished(&self) -> bool {
        truth(&self.conditions, OrderCondition::Finished.as_str()) == Truth::True
    }
}

/// The outcome of the gates at the commit that all Worlds start from.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BaselineStatus {
    /// State of the gates at the base.
    pub state: BaselineState,
    /// One sentence on the state, where there is more to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// One entry for each gate, in the order of the gates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub gates: Vec<BaselineGateStatus>,
    /// What the gates cannot tell, since they pass at the base already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 21), inner(length(max = 512)))]
    pub warnings: Vec<String>,
}

/// The state of the gates at the base.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BaselineState {
    /// Their pod runs, or waits to be made again. Worlds are judged after it.
    Judging,
    /// They have run.
    Judged,
    /// They could not be run, so the order has ended.
    Failed,
}

/// The outcome of one gate at the base.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BaselineGateStatus {
    /// Name of the gate.
    #[schemars(length(max = 32))]
    pub gate: String,
    /// Outcome of the gate.
    pub outcome: GateOutcome,
    /// Number of passed tests, when the gate counts tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed: Option<i32>,
    /// Number of all tests, when the gate counts tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i32>,
    /// Reason when the gate did not pass.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub reason: String,
}

/// Number of Worlds in each state.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorldCounts {
    /// Ended Worlds of all Worlds, such as `3/5`.
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

/// A World in the ranking.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RankedWorld {
    /// Name of the variant.
    #[schemars(length(max = 16))]
    pub world: String,
    /// Score out of 100; absent when the World was not scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<i32>,
    /// Whether the World is eligible to win.
    #[serde(default)]
    pub eligible: bool,
    /// Votes of the council.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub votes: Option<i32>,
    /// Reason for the rank.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub reason: String,
}

/// The usage of model calls.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Cost in dollars.
    #[serde(default)]
    pub cost: Money,
    /// Input tokens without the cached ones.
    #[serde(default)]
    pub input_tokens: i64,
    /// Output tokens.
    #[serde(default)]
    pub output_tokens: i64,
    /// Input tokens read from the Provider's cache.
    #[serde(default)]
    pub cached_tokens: i64,
    /// Number of calls.
    #[serde(default)]
    pub calls: i64,
}

/// The number and size of the stored artifacts.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactCounts {
    /// Number of artifacts.
    #[serde(default)]
    pub count: i32,
    /// Size of all artifacts in bytes.
    #[serde(default)]
    pub bytes: i64,
}
