//! Status of a World.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reevaluation::WorldReevaluation;
use crate::artifacts::ArtifactDigest;
use crate::result::{DiffStatistics, FailureClass, GateOutcome, TestChanges};
use crate::work_order::Usage;

/// The status of a World.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorldStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// `PodScheduled`, `Prepared`, `Worked`, `Evaluated`, `Finished` (True on success and on failure) and `Succeeded` (True when scored and eligible).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::foreign::conditions")]
    pub conditions: Vec<Condition>,

    /// The current stage, or how the World ended. For display only; programs read the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<WorldStage>,

    /// One sentence on the stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,

    /// Score and its parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Score>,

    /// Whether the World can win: it reached `acceptScore`, passed every required gate, and its gates were confined when `sealing` requires it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eligible: Option<bool>,

    /// Findings against the World.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 512)))]
    pub reasons: Vec<String>,

    /// Whether the gates were confined, so that the change could not touch the evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<bool>,

    /// Version of Landlock's interface that held for the gates; absent where the node's kernel has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landlock_abi: Option<i32>,

    /// The commit that the World started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub base_commit: Option<String>,

    /// Commit of the World; absent when it changed nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub commit: Option<String>,

    /// Size of the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<DiffStatistics>,

    /// Usage of its model calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,

    /// Stored artifacts with their digests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub artifacts: Vec<ArtifactDigest>,

    /// Settings of the last fallback that made the World run again; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<WorldFallback>,

    /// The requests by which the World was judged again; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reevaluation: Option<WorldReevaluation>,

    /// Number of attempts.
    #[serde(default)]
    pub attempt_count: i32,

    /// Number of attempts that count against `retry.maxAttempts`.
    #[serde(default)]
    pub counted_attempts: i32,

    /// The last ten attempts that have ended, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub attempts: Vec<Attempt>,
}

/// The current stage of a World, or how it ended.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorldStage {
    /// Its pod does not run yet.
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
    /// It ended without a score.
    Failed,
    /// It was ended before it had a score.
    Cut,
}

/// The score out of 100 and its parts.
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

/// The points of one gate.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScorePart {
    /// Name of the gate.
    #[schemars(length(max = 32))]
    pub gate: String,
    /// Points earned.
    pub points: i32,
    /// Most points of the gate.
    pub out_of: i32,
    /// Outcome of the gate.
    pub outcome: GateOutcome,
    /// Numbers of test cases, by what became of them since the base; absent where they are not known by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestChanges>,
    /// Reason when the gate did not pass.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub reason: String,
}

/// The settings of a fallback that made a World run again.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorldFallback {
    /// Position of the fallback in the order's `fallbacks`, from 1.
    pub number: i32,
    /// Number of attempts before the fallback.
    pub after_attempt: i32,
    /// New model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub model: Option<String>,
    /// New temperature.
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
    #[schemars(length(max = 253))]
    pub pod: String,
    /// Node of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node: Option<String>,
    /// Exit code of the container that ended the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Class of the failure; absent when there is a result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<FailureClass>,
    /// Reason of the end, in one word.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// Reason of the end, in one sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub message: String,
    /// Whether the attempt counts against `retry.maxAttempts`.
    #[serde(default)]
    pub counted: bool,
    /// Time at which the pod started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// Time at which the pod ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_time: Option<Time>,
}
