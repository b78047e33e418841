//! `judge`: a fresh checkout of the base plus the World's change, the gates, the report.
//!
//! The change is data, and all that there is of the worker. The order and the pinned commit alone say how it is judged.
//!
//! Before any World, a pod of its own judges the base in the same way: what the gates give there is what those of a World are
//! held against.

mod baseline;
mod canary;
mod candidate;
mod comparison;
pub mod confine;
mod counts;
mod disguise;
#[cfg(test)]
mod fixtures;
mod gate;
mod gates;
mod ground;
mod inspection;
mod integrity;
mod kept;
mod outcome;
mod patterns;
mod protection;
mod report;
mod restoration;
pub(crate) mod sealing;
mod seccomp;
mod shared_objects;
mod tool_files;
mod tripwire;

use std::fs;

use manyworlds_api::artifacts::ArtifactName;
use manyworlds_api::labels;
use manyworlds_api::order_document::OrderDocument;
use manyworlds_api::result::{StageReport, WorldResult};
use manyworlds_api::work_order::Sealing;

use crate::git;
use crate::layout::Layout;
use crate::operator::OperatorClient;
use crate::order::{Identity, Subject, load};
use crate::process::Supervisor;
use crate::stage::StageError;
use crate::text::{one_line, print_line};
use baseline::Standards;
use candidate::Candidate;
use gates::Gates;
use report::{Evaluation, Storage};

/// Runs the stage.
///
/// - **Guarantees:** where it fails, what the gates have printed until then is stored.
///
/// # Errors
///
/// [`StageError`] with class `Evaluation` when the gates could not be run, or when an artifact is larger than it may be,
/// `Infrastructure` when the artifacts could not be stored for another reason, and `Cancelled` when the pod was told to end.
pub fn run(layout: &Layout) -> Result<StageReport, StageError> {
    let supervisor =
        Supervisor::start(layout).map_err(|error| StageError::file(&layout.evaluation_directory(), &error))?;
    let identity = Identity::from_environment()?;
    let subject = Subject::from_environment()?;
    let worker = report::worker(std::env::var(labels::ENV_WORKER_REPORT).ok().as_deref())?;
    let (order, base) = load(layout)?;
    let operator = OperatorClient::new(layout, &identity)?;
    let mut log = String::new();
    let evaluated = evaluate(layout, &supervisor, &order, &base, &identity, subject, &mut log);
    let stored = evaluated.and_then(|evaluation| {
        print_line(&format!("scored {} of 100", evaluation.result.score()));
        match subject {
            Subject::Change => {
                Storage { operator: &operator, order: &order, identity: &identity, base: &base, worker: &worker }
                    .store(evaluation, &log)
            }
            Subject::Base => baseline::store(&operator, &order, &base, evaluation),
        }
    });
    match stored {
        Ok(result) => Ok(StageReport { base_commit: Some(base), result: Some(result), ..StageReport::done() }),
        Err(error) => {
            log.extend([error.reason.as_str(), ": ", &error.message, "\n"]);
            // The pod that judges a base has no log to store: it is no World.
            if subject == Subject::Change {
                operator.artifact_try_put(ArtifactName::EvaluateLog, log.as_bytes());
            }
            Err(error)
        }
    }
}

/// Runs the gates. `log` gets what they print, even when this fails.
fn evaluate(
    layout: &Layout,
    supervisor: &Supervisor,
    order: &OrderDocument,
    base: &str,
    identity: &Identity,
    subject: Subject,
    log: &mut String,
) -> Result<Evaluation, StageError> {
    git::require()?;
    for folder in [layout.evidence(), layout.scratch(), layout.checkout()] {
        fs::create_dir_all(&folder).map_err(|error| StageError::file(&folder, &error))?;
    }
    let confinement = sealing::tried(&layout.scratch())?;
    let lack = confinement.lack();
    if let Some(lack) = lack.as_deref().filter(|_| order.evaluation.sealing == Sealing::Required) {
        return Err(sealing::not_sealed(lack));
    }
    let sealed = lack.is_none();
    let (candidate, standards) = match subject {
        Subject::Change => (Candidate::make(layout, order, base, identity)?, Standards::read(layout, base)?),
        Subject::Base => (Candidate::of_base(layout, order, base)?, Standards::Nothing),
    };
    let mut gates = Gates::new(layout, order, supervisor, sealed, standards);
    let results = gates.run(&candidate);
    log.push_str(&gates.log);
    let reasons = candidate.reasons.iter().chain(&gates.reasons);
    let result = WorldResult {
        commit: candidate.commit,
        sealed,
        landlock: confinement.landlock,
        attack: gates.attack.clone(),
        gates: results?,
        diff: candidate.diff,
        artifacts: Vec::new(),
        // They name files of the worker's, whose names may be anything.
        reasons: reasons.map(|reason| one_line(reason)).collect(),
    };
    Ok(Evaluation { result, patch: candidate.patch, outputs: gates.outputs, cases: gates.cases })
}
