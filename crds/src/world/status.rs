//! What a World reports.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifacts::ArtifactDigest;
use crate::result::{DiffStatistics, FailureClass, GateOutcome};
use crate::work_order::Usage;

/// How a World stands.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorldStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// `PodScheduled`, `Prepared`, `Worked`, `Evaluated`, `Finished` (True however it ended) and `Succeeded` (True when it was scored and eligible).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::foreign::conditions")]
    pub conditions: Vec<Condition>,

    /// What the World does, or how it ended; computed from the conditions, for display only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<WorldStage>,

    /// One sentence on the stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,

    /// The score and what it is made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Score>,

    /// Whether the World could win: scored at least `acceptScore`, every required gate passed, evidence sealed where that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eligible: Option<bool>,

    /// What spoke against the World.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 512)))]
    pub reasons: Vec<String>,

    /// Whether the gates were confined, so that the change could not touch the evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<bool>,

    /// The commit that the World started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub base_commit: Option<String>,

    /// The World's own commit; absent when it changed nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub commit: Option<String>,

    /// Size of the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<DiffStatistics>,

    /// What its model calls have used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,

    /// The artifacts that are kept, with their digests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub artifacts: Vec<ArtifactDigest>,

    /// What the World runs with since a fallback of the order had it run again; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<WorldFallback>,

    /// How many attempts there have been.
    #[serde(default)]
    pub attempt_count: i32,

    /// How many attempts counted against the World.
    #[serde(default)]
    pub counted_attempts: i32,

    /// The last ten attempts that have ended, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub attempts: Vec<Attempt>,
}

/// What a World does, or how it ended.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorldStage {
    /// Its pod is not running yet.
    Starting,
    /// It fetches the repository.
    Preparing,
    /// The worker works.
    Working,
    /// The gates run.
    Evaluating,
    /// It waits for its next attempt.
    Waiting,
    /// The order is suspended, and so is the World.
    Suspended,
    /// It has a score.
    Scored,
    /// It has none.
    Failed,
    /// It was ended before it had one.
    Cut,
}

/// Points out of 100 and what they are made of.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Score {
    /// The sum of the parts.
    pub total: i32,
    /// One part for each gate, in the order of the gates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub parts: Vec<ScorePart>,
}

/// What one gate gave.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScorePart {
    /// Name of the gate.
    #[schemars(length(max = 32))]
    pub gate: String,
    /// Points earned.
    pub points: i32,
    /// Points that the gate is worth.
    pub out_of: i32,
    /// How the gate ended.
    pub outcome: GateOutcome,
    /// Why, where it did not pass.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub reason: String,
}

/// What a World runs with since a fallback of its order had it run again.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorldFallback {
    /// The place of the fallback in the order's `fallbacks`, from 1.
    pub number: i32,
    /// How many attempts there had been before it.
    pub after_attempt: i32,
    /// The model that the World calls now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub model: Option<String>,
    /// The temperature at which it calls it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
}

/// One attempt of a World: one pod.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Number of the attempt, from 1.
    pub number: i32,
    /// Name of the pod.
    #[schemars(length(max = 63))]
    pub pod: String,
    /// Node that it ran on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node: Option<String>,
    /// Exit code of the container that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Class of the failure; absent when the attempt gave a result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<FailureClass>,
    /// One word on the end.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// One sentence on the end.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub message: String,
    /// Whether the attempt counts against `retry.maxAttempts`.
    #[serde(default)]
    pub counted: bool,
    /// When the pod started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_time: Option<Time>,
}
