//! Stores what came of a World: patch, logs, report.

use std::path::Path;

use manyworlds_api::artifacts::{ArtifactDigest, ArtifactName};
use manyworlds_api::order_document::OrderDocument;
use manyworlds_api::report_document::{
    GateOutput, ReportDocument, ReportStatus, SCHEMA, SCHEMA_VERSION, WorkerSummary,
};
use manyworlds_api::result::{GateOutcome, StageReport, WorkerReport, WorldResult};

use super::Judged;
use crate::files;
use crate::layout::Layout;
use crate::operator::Operator;
use crate::order::{Identity, report_json};
use crate::stage::StageError;
use crate::text::clean;

/// The most bytes of a log that are stored.
const LOG_BYTES: u64 = 16 * 1024 * 1024;

/// The most bytes of the note about the worker that are read.
const WORKER_REPORT_BYTES: u64 = 65_536;

/// What a World's artifacts are stored with.
pub(super) struct Storage<'a> {
    pub(super) layout: &'a Layout,
    pub(super) operator: &'a Operator,
    pub(super) order: &'a OrderDocument,
    pub(super) identity: &'a Identity,
    pub(super) base: &'a str,
}

impl Storage<'_> {
    /// Stores the artifacts and returns the result with their digests.
    pub(super) fn store(&self, judged: Judged, worker: &WorkerLog, log: &str) -> Result<WorldResult, StageError> {
        let Judged { mut result, patch, outputs } = judged;
        let mut digests = Vec::new();
        if !patch.is_empty() {
            digests.push(self.operator.artifact_put(ArtifactName::Patch, &patch)?);
        }
        digests.extend(worker.put(self.operator)?);
        digests.extend(WorkerLog::put_transcript(self.layout, self.operator));
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

/// What the worker printed, and whether that is stored. `work` holds no token, so this stage stores it.
pub(super) struct WorkerLog {
    text: String,
    stored: Option<ArtifactDigest>,
}

impl WorkerLog {
    /// Stores the log if the operator takes it at once: a gate that ends this whole stage must not take it along.
    pub(super) fn offer(layout: &Layout, operator: &Operator) -> Self {
        let text = log(&layout.work_log());
        let stored =
            if text.is_empty() { None } else { operator.artifact_offer(ArtifactName::WorkLog, text.as_bytes()) };
        Self { text, stored }
    }

    /// Stores the log of an attempt that has failed.
    pub(super) fn leave(&self, operator: &Operator) {
        if self.stored.is_none() && !self.text.is_empty() {
            operator.artifact_leave(ArtifactName::WorkLog, self.text.as_bytes());
        }
    }

    /// Stores what the worker and its model said to each other, where they did. To lose it is no reason to lose the result.
    fn put_transcript(layout: &Layout, operator: &Operator) -> Option<ArtifactDigest> {
        let text = files::read_ordinary(&layout.transcript(), LOG_BYTES).filter(|text| !text.is_empty())?;
        operator.artifact_offer(ArtifactName::Transcript, &text)
    }

    /// Returns the digest of the log, and stores it where that has not been done; nothing where nothing was printed.
    fn put(&self, operator: &Operator) -> Result<Option<ArtifactDigest>, StageError> {
        match &self.stored {
            Some(digest) => Ok(Some(digest.clone())),
            None if self.text.is_empty() => Ok(None),
            None => operator.artifact_put(ArtifactName::WorkLog, self.text.as_bytes()).map(Some),
        }
    }
}

/// Returns what speaks against the worker, as `work` noted it.
pub(super) fn worker_reasons(layout: &Layout) -> Vec<String> {
    let text = files::read_ordinary(&layout.worker_reasons(), WORKER_REPORT_BYTES).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Returns why `work` has left nothing to judge, where it says so.
pub(super) fn failure(layout: &Layout) -> Option<StageError> {
    let text = files::read_ordinary(&layout.failure(), WORKER_REPORT_BYTES)?;
    let report: StageReport = serde_json::from_slice(&text).ok()?;
    report.failure.map(StageError::reported)
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
