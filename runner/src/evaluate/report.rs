//! Stores what came of a World: patch, logs, report.

use std::path::Path;

use manyworlds_api::artifacts::ArtifactName;
use manyworlds_api::order_document::OrderDocument;
use manyworlds_api::report_document::{ReportDocument, ReportStatus, SCHEMA, SCHEMA_VERSION, WorkerSummary};
use manyworlds_api::result::{GateOutcome, WorkerReport, WorldResult};

use super::candidate::Candidate;
use super::gates::Gates;
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

/// Stores the artifacts and returns the result with their digests.
#[expect(clippy::too_many_arguments, reason = "everything that a report is made of, and each of another type")]
pub(super) fn store(
    layout: &Layout,
    operator: &Operator,
    order: &OrderDocument,
    identity: &Identity,
    base: &str,
    candidate: &Candidate,
    mut result: WorldResult,
    gates: &Gates<'_>,
) -> Result<WorldResult, StageError> {
    let mut digests = Vec::new();
    if !candidate.patch.is_empty() {
        digests.push(operator.artifact_put(ArtifactName::Patch, &candidate.patch)?);
    }
    let work_log = log(&layout.work_log());
    if !work_log.is_empty() {
        digests.push(operator.artifact_put(ArtifactName::WorkLog, work_log.as_bytes())?);
    }
    digests.push(operator.artifact_put(ArtifactName::EvaluateLog, gates.log.as_bytes())?);
    result.artifacts = digests;
    let report = document(layout, order, identity, base, &result, gates);
    let digest = operator.artifact_put(ArtifactName::Report, report_json(&report)?.as_bytes())?;
    result.artifacts.push(digest);
    Ok(result)
}

fn document(
    layout: &Layout,
    order: &OrderDocument,
    identity: &Identity,
    base: &str,
    result: &WorldResult,
    gates: &Gates<'_>,
) -> ReportDocument {
    let required = order
        .evaluation
        .gates
        .iter()
        .zip(&result.gates)
        .all(|(gate, found)| !gate.required || found.outcome == GateOutcome::Passed);
    let succeeded = required && result.commit.is_some() && result.score() >= order.evaluation.accept_score;
    ReportDocument {
        schema: SCHEMA.to_owned(),
        schema_version: SCHEMA_VERSION.to_owned(),
        identity: order.identity.clone(),
        world: identity.world.clone(),
        attempt: identity.attempt,
        status: if succeeded { ReportStatus::Success } else { ReportStatus::Failure },
        score: result.score().clamp(0, 100),
        base_commit: base.to_owned(),
        result: result.clone(),
        worker: worker(&layout.worker_report()),
        outputs: gates.outputs.clone(),
    }
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
