//! `evaluate`: a fresh checkout of the base plus the World's patch, the gates, the report.
//!
//! What `work` left is data. What it is judged by comes from the order and the pinned commit.

mod candidate;
pub mod confine;
mod counts;
mod gate;
mod gates;
mod inspection;
mod protection;
mod report;
mod restoration;

use std::fs;

use manyworlds_api::conditions::Reason;
use manyworlds_api::result::{FailureClass, StageReport, WorldResult};
use manyworlds_api::work_order::Sealing;

use crate::git;
use crate::layout::Layout;
use crate::operator::Operator;
use crate::order::{Identity, load};
use crate::process::Supervisor;
use crate::stage::StageError;
use crate::text::say;
use candidate::Candidate;
use gates::Gates;

/// Runs the stage.
///
/// # Errors
///
/// [`StageError`] with class `Evaluation` when the gates could not be run, `Infrastructure` when the artifacts could not
/// be stored, and `Cancelled` when the pod was told to end.
pub fn run(layout: &Layout) -> Result<StageReport, StageError> {
    let supervisor =
        Supervisor::start(layout).map_err(|error| StageError::file(&layout.evaluation_directory(), &error))?;
    git::require()?;
    let identity = Identity::from_environment()?;
    let (order, base) = load(layout)?;
    for folder in [layout.evidence(), layout.scratch(), layout.checkout()] {
        fs::create_dir_all(&folder).map_err(|error| StageError::file(&folder, &error))?;
    }
    let sealed = gate::can_confine(&layout.scratch())?;
    if !sealed && order.evaluation.sealing == Sealing::Required {
        let message = "the kernel of the node has no Landlock, so the gates cannot be confined; use another node, or set evaluation.sealing to Preferred";
        return Err(StageError::new(FailureClass::Evaluation, Reason::NotSealed, message));
    }
    let candidate = Candidate::make(layout, &order, &base, &identity)?;
    let mut gates = Gates::new(layout, &order, &supervisor, sealed);
    let results = gates.run(&candidate)?;
    let mut reasons = candidate.reasons.clone();
    reasons.extend(gates.reasons());
    let result = WorldResult {
        commit: candidate.commit.clone(),
        sealed,
        gates: results,
        diff: candidate.diff,
        artifacts: Vec::new(),
        reasons,
    };
    say(&format!("scored {} of 100", result.score()));
    let operator = Operator::new(layout, &identity)?;
    let result = report::store(layout, &operator, &order, &identity, &base, &candidate, result, &gates)?;
    Ok(StageReport { base_commit: Some(base), result: Some(result), ..StageReport::done() })
}
