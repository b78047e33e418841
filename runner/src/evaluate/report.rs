//! Stores the artifacts of a World: patch, logs, report.

use std::path::Path;

use manyworlds_api::artifacts::{ArtifactDigest, ArtifactName};
use manyworlds_api::order_document::OrderDocument;
use manyworlds_api::report_document::{
    GateOutput, ReportDocument, ReportStatus, SCHEMA, SCHEMA_VERSION, WorkerSummary,
};
use manyworlds_api::result::{GateOutcome, StageReport, WorkerReport, WorldResult};

use crate::files;
use crate::layout::Layout;
use crate::operator::OperatorClient;
use crate::order::{Identity, report_json};
use crate::stage::StageError;
use crate::text::clean;

/// The most bytes of a log that are stored.
const LOG_BYTES: u64 = 16 * 1024 * 1024;

/// The most bytes of the note about the worker that are read.
const WORKER_REPORT_BYTES: u64 = 65_536;

/// The evaluation of a candidate.
pub(super) struct Evaluation {
    pub(super) result: WorldResult,
    /// The candidate's change.
    pub(super) patch: Vec<u8>,
    /// The last lines that each gate printed.
    pub(super) outputs: Vec<GateOutput>,
}

/// Everything that storing a World's artifacts needs.
pub(super) struct Storage<'a> {
    pub(super) layout: &'a Layout,
    pub(super) operator: &'a OperatorClient,
    pub(super) order: &'a OrderDocument,
    pub(super) identity: &'a Identity,
    pub(super) base: &'a str,
}

impl Storage<'_> {
    /// Stores the artifacts and returns the result with their digests.
    pub(super) fn store(
        &self,
        evaluation: Evaluation,
        worker: &WorkerLog,
        log: &str,
    ) -> Result<WorldResult, StageError> {
        let Evaluation { mut result, patch, outputs } = evaluation;
        let mut digests = Vec::new();
        if !patch.is_empty() {
            digests.push(self.operator.artifact_put(ArtifactName::Patch, &patch)?);
        }
        digests.extend(worker.store_unless_done(self.operator)?);
        digests.extend(WorkerLog::store_transcript(self.layout, self.operator));
        digests.push(self.operator.artifact_put(ArtifactName::EvaluateLog, log.as_bytes())?);
        result.artifacts = digests;
        let report = self.document(&result, outputs);
        let digest = self.operator.artifact_put(ArtifactName::Report, report_json(&report)?.as_bytes())?;
        result.artifacts.push(digest);
        Ok(result)
    }

    fn document(&self, result: &WorldResult, outputs: Vec<GateOutput>) -> ReportDocument {
        let evaluation = &self.order.evaluation;
        let required = evaluation
            .gates
            .iter()
            .zip(&result.gates)
            .all(|(gate, found)| !gate.required || found.outcome == GateOutcome::Passed);
        let succeeded = required && result.commit.is_some() && result.score() >= evaluation.accept_score;
        ReportDocument {
            schema: SCHEMA.to_owned(),
            schema_version: SCHEMA_VERSION.to_owned(),
            identity: self.order.identity.clone(),
            world: self.identity.world.clone(),
            attempt: self.identity.attempt,
            status: if succeeded { ReportStatus::Success } else { ReportStatus::Failure },
            score: result.score().clamp(0, 100),
            base_commit: self.base.to_owned(),
            result: result.clone(),
            worker: worker(&self.layout.worker_report()),
            outputs,
        }
    }
}

/// The worker's output. `work` has no token, so this stage stores it.
pub(super) struct WorkerLog {
    text: String,
    stored: Option<ArtifactDigest>,
}

impl WorkerLog {
    /// Stores the log if the operator takes it at once: a gate that ends this whole stage must not take it along.
    pub(super) fn try_store(layout: &Layout, operator: &OperatorClient) -> Self {
        let text = log(&layout.work_log());
        let stored =
            if text.is_empty() { None } else { operator.artifact_try_put(ArtifactName::WorkLog, text.as_bytes()) };
        Self { text, stored }
    }

    /// Stores the log of an attempt that has failed.
    pub(super) fn store_or_lose(&self, operator: &OperatorClient) {
        if self.stored.is_none() && !self.text.is_empty() {
            operator.artifact_put_or_lose(ArtifactName::WorkLog, self.text.as_bytes());
        }
    }

    /// Stores the transcript, where there is one. To lose it is no reason to lose the result.
    fn store_transcript(layout: &Layout, operator: &OperatorClient) -> Option<ArtifactDigest> {
        let text = files::read_ordinary(&layout.transcript(), LOG_BYTES).filter(|text| !text.is_empty())?;
        operator.artifact_try_put(ArtifactName::Transcript, &text)
    }

    /// Returns the digest of the log, and stores it where that has not been done; nothing where nothing was printed.
    fn store_unless_done(&self, operator: &OperatorClient) -> Result<Option<ArtifactDigest>, StageError> {
        match &self.stored {
            Some(digest) => Ok(Some(digest.clone())),
            None if self.text.is_empty() => Ok(None),
            None => operator.artifact_put(ArtifactName::WorkLog, self.text.as_bytes()).map(Some),
        }
    }
}

/// Returns the findings of `work` against the worker.
pub(super) fn worker_reasons(layout: &Layout) -> Vec<String> {
    let text = files::read_ordinary(&layout.worker_reasons(), WORKER_REPORT_BYTES).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Returns the failure that `work` left, where there is nothing to judge.
pub(super) fn failure(layout: &Layout) -> Option<StageError> {
    let text = files::read_ordinary(&layout.failure(), WORKER_REPORT_BYTES)?;
    let report: StageReport = serde_json::from_slice(&text).ok()?;
    report.failure.map(StageError::from_report)
}

/// Returns how the worker ended, as `work` noted it. The worker could have changed the note; nothing is decided by it.
fn worker(path: &Path) -> WorkerSummary {
    let text = files::read_ordinary(path, WORKER_REPORT_BYTES).unwrap_or_default();
    let noted: Option<WorkerReport> = serde_json::from_slice(&text).ok();
    noted.map_or_else(WorkerSummary::default, |report| WorkerSummary {
        exit_code: report.exit_code,
        timed_out: report.timed_out,
        milliseconds: report.milliseconds,
        summary: clean(&report.summary),
    })
}

/// Returns a log; one that cannot be read is no reason to lose the result.
fn log(path: &Path) -> String {
    clean(&String::from_utf8_lossy(&files::read_ordinary(path, LOG_BYTES).unwrap_or_default()))
}
