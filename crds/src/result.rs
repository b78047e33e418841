//! The report of a stage in its container's termination message: compact JSON of at most 4 KiB.
//!
//! The API server stores it with the pod, so the operator may be away when a pod ends. It comes from a pod, so the
//! operator checks it against the order before using it.

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

/// Class of a failure, which decides what happens next.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FailureClass {
    /// Failure of the cluster: node lost, pod evicted, image not pulled. Retried, not counted against the World.
    Infrastructure,
    /// Failure of the worker: an error, or out of time or memory. Retried.
    Worker,
    /// A gate could not run. Retried.
    Evaluation,
    /// The budget is used up.
    Budget,
    /// Error in the order: no such revision, no credential. Not retried.
    Spec,
    /// A person cancelled the work.
    Cancelled,
}

impl FailureClass {
    /// Every class.
    pub const ALL: [Self; 6] =
        [Self::Infrastructure, Self::Worker, Self::Evaluation, Self::Budget, Self::Spec, Self::Cancelled];

    /// Returns the class as written in a resource.
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

/// The report of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageReport {
    /// Version of the format: [`VERSION`].
    pub version: u32,
    /// The failure of the stage; absent on success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<StageFailure>,
    /// The commit that the World started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_commit: Option<String>,
    /// End of the worker; from the `work` stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerReport>,
    /// What the worker left; from the `collect` stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<Collection>,
    /// The World's result; from the `judge` stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<WorldResult>,
}

impl StageReport {
    /// Returns the report of a stage that succeeded.
    pub fn done() -> Self {
        Self { version: VERSION, failure: None, base_commit: None, worker: None, collection: None, result: None }
    }

    /// Returns the report of a stage that failed.
    ///
    /// - **Shape:** `reason` is one of [`crate::conditions::Reason`]; `message` states the problem and how to fix it.
    pub fn failed(class: FailureClass, reason: crate::conditions::Reason, message: impl Into<String>) -> Self {
        let failure = StageFailure { class, reason: reason.as_str().to_owned(), message: message.into() };
        Self { failure: Some(failure), ..Self::done() }
    }

    /// Returns the report as JSON that fits the termination message.
    ///
    /// - **Guarantees:** at most [`MAXIMUM_BYTES`]; texts are shortened, and what became of the base's test cases is left
    ///   out where there is no room for it. No other number changes.
    ///
    /// # Errors
    ///
    /// Errors of `serde_json` (class: bug), also where the report does not fit without its texts: the kubelet would cut it, and
    /// nobody could read the rest.
    pub fn to_message(&self) -> Result<String, serde_json::Error> {
        let mut longest = LONGEST_TEXT;
        loop {
            let text = serde_json::to_string(&self.cut(longest))?;
            if text.len() <= MAXIMUM_BYTES {
                return Ok(text);
            }
            if longest == 0 {
                let text = serde_json::to_string(&self.cut(longest).without_test_changes())?;
                if text.len() <= MAXIMUM_BYTES {
                    return Ok(text);
                }
                let said = format!("it has {} bytes, and a termination message {MAXIMUM_BYTES} at most", text.len());
                return Err(serde::ser::Error::custom(said));
            }
            longest /= 2;
        }
    }

    /// Parses a termination message.
    ///
    /// # Errors
    ///
    /// When the text is not a report of this version.
    pub fn from_message(text: &str) -> Result<Self, UnreadableReport> {
        let report: Self = serde_json::from_str(text).map_err(UnreadableReport::NotAReport)?;
        if report.version == VERSION { Ok(report) } else { Err(UnreadableReport::Version(report.version)) }
    }

    fn without_test_changes(mut self) -> Self {
        for gate in self.result.iter_mut().flat_map(|result| &mut result.gates) {
            gate.tests = None;
        }
        self
    }

    fn cut(&self, longest: usize) -> Self {
        let mut report = self.clone();
        if let Some(failure) = &mut report.failure {
            failure.message = shortened(&failure.message, longest.max(64) * 4);
        }
        if let Some(Collection { reasons, .. }) = &mut report.collection {
            reasons.truncate(16);
            for reason in reasons {
                *reason = shortened(reason, longest.max(32));
            }
        }
        if let Some(result) = &mut report.result {
            for gate in &mut result.gates {
                gate.reason = shortened(&gate.reason, longest);
            }
            result.attack = result.attack.take().map(|attack| shortened(&attack, longest.max(32)));
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

/// The error for a termination message that is not a report.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableReport {
    /// The text is not JSON of the right shape.
    #[error("the termination message is not a stage report")]
    NotAReport(#[source] serde_json::Error),
    /// The report has another version.
    #[error(
        "the stage report has version {0}, this operator reads version {VERSION}; use the runner image of the same release"
    )]
    Version(u32),
}

/// The failure of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageFailure {
    /// Class of the failure.
    pub class: FailureClass,
    /// One word: a [`crate::conditions::Reason`].
    pub reason: String,
    /// The problem and how to fix it.
    pub message: String,
}

/// The end of the worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerReport {
    /// Exit code of the worker; absent when a signal ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Whether the worker ran out of time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timed_out: bool,
    /// Run time of the worker in milliseconds.
    pub milliseconds: u64,
    /// The worker's summary of its work, from its result file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
}

/// What a worker left, once it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Collection {
    /// The stored artifacts with their digests; [`ArtifactName::Change`](crate::artifacts::ArtifactName::Change) among them, unless
    /// nothing has changed.
    pub artifacts: Vec<ArtifactDigest>,
    /// Findings against the World.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// The results of the gates.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorldResult {
    /// Commit of the World; absent when it changed nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Whether the gates were confined.
    pub sealed: bool,
    /// Version of Landlock's interface that held for every gate; absent where the kernel has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landlock: Option<i32>,
    /// The attack on the judge itself, if a gate made one. The World scores 0 then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attack: Option<String>,
    /// One result for each gate, in the sequence of the gates.
    pub gates: Vec<GateResult>,
    /// Size of the change.
    #[serde(default)]
    pub diff: DiffStatistics,
    /// Stored artifacts with their digests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<ArtifactDigest>,
    /// Findings against the World: restored protected files, hostile acts, a failed worker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

impl WorldResult {
    /// Returns the sum of the points, out of 100; nothing where a gate attacked its judge.
    pub fn score(&self) -> i32 {
        if self.attack.is_some() {
            return 0;
        }
        self.gates.iter().fold(0_i32, |sum, gate| sum.saturating_add(gate.points))
    }
}

/// The result of one gate.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateResult {
    /// Name of the gate.
    pub name: String,
    /// Outcome of the gate.
    pub outcome: GateOutcome,
    /// Points earned.
    pub points: i32,
    /// Number of passed tests, when the gate counts tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed: Option<u32>,
    /// Number of all tests, when the gate counts tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u32>,
    /// What became of the base's test cases, when they are known by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestChanges>,
    /// Run time of the gate in milliseconds.
    pub milliseconds: u64,
    /// Reason when it did not pass.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Numbers of test cases, by what became of them between the base and the change.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TestChanges {
    /// Failed at the base, pass now.
    #[schemars(with = "i32", range(min = 0))]
    #[serde(skip_serializing_if = "none")]
    pub fixed: u32,
    /// Passed at the base, pass now.
    #[schemars(with = "i32", range(min = 0))]
    #[serde(skip_serializing_if = "none")]
    pub kept: u32,
    /// Passed at the base, fail now.
    #[schemars(with = "i32", range(min = 0))]
    #[serde(skip_serializing_if = "none")]
    pub broken: u32,
    /// Failed at the base, fail now.
    #[schemars(with = "i32", range(min = 0))]
    #[serde(skip_serializing_if = "none")]
    pub failing: u32,
    /// Were run at the base, and were not run now: removed, renamed or skipped.
    #[schemars(with = "i32", range(min = 0))]
    #[serde(skip_serializing_if = "none")]
    pub missing: u32,
    /// Were not at the base. They earn nothing.
    #[schemars(with = "i32", range(min = 0))]
    #[serde(skip_serializing_if = "none")]
    pub added: u32,
}

/// Returns whether a number of test cases need not be written.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn none(count: &u32) -> bool {
    *count == 0
}

/// The outcome of a gate.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum GateOutcome {
    /// The gate passed.
    Passed,
    /// Some of the counted tests passed.
    Partial,
    /// The gate failed.
    Failed,
    /// The gate ran out of time.
    TimedOut,
    /// The gate could not do its work: its program is missing, or it found no test.
    CannotRun,
    /// The gate did not run and earns no points.
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
    /// Returns the sum of added and removed lines.
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
            tests: Some(TestChanges {
                fixed: 1234,
                kept: 123_456,
                broken: 12,
                failing: 1234,
                missing: 123,
                added: 1234,
            }),
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
                landlock: Some(6),
                attack: None,
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

    /// W3: whatever its gates have earned.
    #[test]
    fn a_world_that_attacked_its_judge_scores_nothing() {
        let mut result = largest_report().result.unwrap();
        assert_eq!(result.score(), 100);
        result.attack = Some("gate test told its judge to end".to_owned());
        assert_eq!(result.score(), 0);
    }

    #[test]
    fn what_became_of_test_cases_is_kept_where_it_fits() {
        let mut report = largest_report();
        report.result.iter_mut().for_each(|result| result.gates.truncate(10));
        let read = StageReport::from_message(&report.to_message().unwrap()).unwrap();
        assert!(read.result.unwrap().gates.iter().all(|read| read.tests == gate(0).tests));
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
