//! Stores the artifacts of a World that was judged: patch, log, report.

use std::collections::HashMap;

use manyworlds_api::artifacts::ArtifactName;
use manyworlds_api::baseline_document::TestCase;
use manyworlds_api::conditions::Reason;
use manyworlds_api::labels;
use manyworlds_api::order_document::OrderDocument;
use manyworlds_api::report_document::{
    GateOutput, ReportDocument, ReportStatus, SCHEMA, SCHEMA_VERSION, WorkerSummary,
};
use manyworlds_api::result::{FailureClass, GateOutcome, WorkerReport, WorldResult};

use crate::operator::OperatorClient;
use crate::order::{Identity, report_json};
use crate::stage::StageError;
use crate::text::clean;

/// The evaluation of a candidate.
pub(super) struct Evaluation {
    pub(super) result: WorldResult,
    /// The candidate's change.
    pub(super) patch: Vec<u8>,
    /// The last lines that each gate printed.
    pub(super) outputs: Vec<GateOutput>,
    /// The test cases of each gate that names them all, by the gate's name.
    pub(super) cases: HashMap<String, Vec<TestCase>>,
}

/// Everything that storing a World's artifacts needs.
pub(super) struct Storage<'a> {
    pub(super) operator: &'a OperatorClient,
    pub(super) order: &'a OrderDocument,
    pub(super) identity: &'a Identity,
    pub(super) base: &'a str,
    pub(super) worker: &'a WorkerSummary,
}

impl Storage<'_> {
    /// Stores the artifacts and returns the result with their digests.
    pub(super) fn store(&self, evaluation: Evaluation, log: &str) -> Result<WorldResult, StageError> {
        let Evaluation { mut result, patch, outputs, cases: _ } = evaluation;
        let mut digests = Vec::new();
        if !patch.is_empty() {
            digests.push(self.operator.artifact_put(ArtifactName::Patch, &patch)?);
        }
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
        let succeeded =
            required && result.attack.is_none() && result.commit.is_some() && result.score() >= evaluation.accept_score;
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
            worker: self.worker.clone(),
            outputs,
        }
    }
}

/// Reads how the worker ended, where the operator tells it. Nothing is decided by it.
pub(super) fn worker(text: Option<&str>) -> Result<WorkerSummary, StageError> {
    let Some(text) = text else { return Ok(WorkerSummary::default()) };
    let WorkerReport { exit_code, timed_out, milliseconds, summary } = serde_json::from_str(text).map_err(|error| {
        let variable = labels::ENV_WORKER_REPORT;
        let message = format!("the environment variable {variable} is no report on a worker: {error}");
        StageError::new(FailureClass::Infrastructure, Reason::Unexpected, message)
    })?;
    Ok(WorkerSummary { exit_code, timed_out, milliseconds, summary: clean(&summary) })
}
