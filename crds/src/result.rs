//! What a stage leaves in its container's termination message: compact JSON of at most 4 KiB.
//!
//! It lives in the API, so the operator may be away when a pod ends. It comes from a pod, so the operator checks it
//! against the order before it believes it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifacts::ArtifactDigest;
use crate::conditions::shortened;

/// The most bytes that the kubelet keeps of a container's termination message.
pub const MAXIMUM_BYTES: usize = 4096;
/// Version of the format.
pub const VERSION: u32 = 1;
/// The longest text of a gate or reason before anything must be cut.
const LONGEST_TEXT: usize = 400;

/// Class of a failure; it alone decides what happens next.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FailureClass {
    /// The machine's fault: node lost, evicted, image not pulled. Retried, not counted against the World.
    Infrastructure,
    /// The worker's fault: it failed or ran out of time or memory. Retried.
    Worker,
    /// A gate could not run. Retried.
    Evaluation,
    /// The budget ended it.
    Budget,
    /// The order's fault: no such revision, no credential. Not retried.
    Spec,
    /// Somebody ended it.
    Cancelled,
}

impl FailureClass {
    /// Every class.
    pub const ALL: [Self; 6] =
        [Self::Infrastructure, Self::Worker, Self::Evaluation, Self::Budget, Self::Spec, Self::Cancelled];

    /// Returns the class as it is written in a resource.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Infrastructure => "Infrastructure",
            Self::Worker => "Worker",
            Self::Evaluation => "Evaluation",
            Self::Budget => "Budget",
            Self::Spec => "Spec",
            Self::Cancelled => "Cancelled",
        }
    }
}

/// What a stage leaves behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageReport {
    /// Version of the format: [`VERSION`].
    pub version: u32,
    /// Why the stage failed; absent when it did its work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<StageFailure>,
    /// The commit that the World started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_commit: Option<String>,
    /// How the worker ended; from the `work` stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerReport>,
    /// The World's result; from the `evaluate` stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<WorldResult>,
}

impl StageReport {
    /// Returns the report of a stage that did its work and has nothing to say.
    pub fn done() -> Self {
        Self { version: VERSION, failure: None, base_commit: None, worker: None, result: None }
    }

    /// Returns the report of a stage that failed.
    ///
    /// - **Shape:** `reason` is one of [`crate::conditions::Reason`]; `message` says what is wrong and what to do.
    pub fn failed(class: FailureClass, reason: crate::conditions::Reason, message: impl Into<String>) -> Self {
        let failure = StageFailure { class, reason: reason.as_str().to_owned(), message: message.into() };
        Self { failure: Some(failure), ..Self::done() }
    }

    /// Writes the report as JSON that fits the termination message.
    ///
    /// - **Guarantees:** at most [`MAXIMUM_BYTES`]; texts are cut before anything else, numbers never.
    ///
    /// # Errors
    ///
    /// Whatever `serde_json` reports (class: bug).
    pub fn to_message(&self) -> Result<String, serde_json::Error> {
        let mut longest = LONGEST_TEXT;
        loop {
            let text = serde_json::to_string(&self.cut(longest))?;
            if text.len() <= MAXIMUM_BYTES || longest == 0 {
                return Ok(text);
            }
            longest /= 2;
        }
    }

    /// Reads a termination message.
    ///
    /// # Errors
    ///
    /// When the text is not a report of this version.
    pub fn from_message(text: &str) -> Result<Self, UnreadableReport> {
        let report: Self = serde_json::from_str(text).map_err(UnreadableReport::NotAReport)?;
        if report.version == VERSION { Ok(report) } else { Err(UnreadableReport::Version(report.version)) }
    }

    fn cut(&self, longest: usize) -> Self {
        let mut report = self.clone();
        if let Some(failure) = &mut report.failure {
            failure.message = shortened(&failure.message, longest.max(64) * 4);
        }
        if let Some(result) = &mut report.result {
            for gate in &mut result.gates {
                gate.reason = shortened(&gate.reason, longest);
            }
            result.reasons.truncate(16);
            for reason in &mut result.reasons {
                *reason = shortened(reason, longest.max(32));
            }
            if longest == 0 {
                result.reasons.truncate(2);
            }
        }
        report
    }
}

/// Why a termination message is no report.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableReport {
    /// It is not JSON of the right shape.
    #[error("the termination message is not a stage report")]
    NotAReport(#[source] serde_json::Error),
    /// It is of another version.
    #[error(
        "the stage report has version {0}, this operator reads version {VERSION}; use the runner image of the same release"
    )]
    Version(u32),
}

/// Why a stage failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageFailure {
    /// Class of the failure.
    pub class: FailureClass,
    /// One word: a [`crate::conditions::Reason`].
    pub reason: String,
    /// What is wrong and what to do about it.
    pub message: String,
}

/// How the worker ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerReport {
    /// Its exit code; absent when a signal ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Whether it ran out of time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timed_out: bool,
    /// How long it worked.
    pub milliseconds: u64,
    /// What it said about its work, from its result file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
}

/// What the gates found.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorldResult {
    /// The World's commit; absent when it changed nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Whether the gates were confined.
    pub sealed: bool,
    /// One result for each gate of the order, in its order.
    pub gates: Vec<GateResult>,
    /// Size of the change.
    #[serde(default)]
    pub diff: DiffStatistics,
    /// What was stored, with digests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<ArtifactDigest>,
    /// What speaks against the World: protected files that were restored, hostile acts, a worker that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

impl WorldResult {
    /// Returns the points of all gates together, out of 100.
    pub fn score(&self) -> i32 {
        self.gates.iter().map(|gate| gate.points).sum()
    }
}

/// What one gate found.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateResult {
    /// Name of the gate.
    pub name: String,
    /// How it ended.
    pub outcome: GateOutcome,
    /// Points earned.
    pub points: i32,
    /// Tests that passed, where they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed: Option<u32>,
    /// Tests altogether, where they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u32>,
    /// How long it took.
    pub milliseconds: u64,
    /// Why it did not pass.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// How a gate ended.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum GateOutcome {
    /// It found nothing wrong.
    Passed,
    /// Some of what it counts passed.
    Partial,
    /// It found something wrong.
    Failed,
    /// It ran out of time.
    TimedOut,
    /// It was not run, and earns nothing.
    NotRun,
}

/// Size of a change.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DiffStatistics {
    /// Files changed.
    pub files: i32,
    /// Lines added.
    pub insertions: i32,
    /// Lines removed.
    pub deletions: i32,
}

impl DiffStatistics {
    /// Returns the lines added and removed together.
    pub const fn changed_lines(self) -> i32 {
        self.insertions.saturating_add(self.deletions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(reason_length: usize) -> GateResult {
        GateResult {
            name: "a-gate-with-a-name-of-32-letters".to_owned(),
            outcome: GateOutcome::Failed,
            points: 5,
            passed: Some(123_456),
            total: Some(234_567),
            milliseconds: 2_700_000,
            reason: "x".repeat(reason_length),
        }
    }

    fn largest_report() -> StageReport {
        let digest = |name| ArtifactDigest { name, sha256: "f".repeat(64), bytes: 67_108_864 };
        StageReport {
            base_commit: Some("a".repeat(40)),
            result: Some(WorldResult {
                commit: Some("b".repeat(40)),
                sealed: true,
                gates: vec![gate(10_000); 20],
                diff: DiffStatistics { files: 1000, insertions: 100_000, deletions: 100_000 },
                artifacts: crate::artifacts::ArtifactName::ALL.into_iter().map(digest).collect(),
                reasons: vec!["ü".repeat(1000); 30],
            }),
            ..StageReport::done()
        }
    }

    #[test]
    fn the_largest_report_fits_the_termination_message() {
        let message = largest_report().to_message().unwrap();
        assert!(message.len() <= MAXIMUM_BYTES, "{} bytes", message.len());
        let read = StageReport::from_message(&message).unwrap();
        assert_eq!(read.result.unwrap().score(), 100);
    }

    #[test]
    fn a_small_report_is_kept_whole() {
        let report = StageReport::failed(
            FailureClass::Spec,
            crate::conditions::Reason::RevisionNotFound,
            "the repository has no revision \"nope\"",
        );
        assert_eq!(StageReport::from_message(&report.to_message().unwrap()).unwrap(), report);
    }

    #[test]
    fn a_report_of_another_version_is_refused_by_name() {
        let error = StageReport::from_message(r#"{"version":2}"#).unwrap_err();
        assert!(error.to_string().contains("version 2"));
        assert!(matches!(StageReport::from_message("oops"), Err(UnreadableReport::NotAReport(_))));
    }
}
