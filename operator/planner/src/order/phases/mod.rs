//! The phases of an order, one file each.
//!
//! ```text
//! worlds -> evaluation -> council -> approval -> delivery -> done
//! ```
//!
//! A phase is a pure function of an assessment. It says that the order stays in it, with the decision, or that the order
//! goes on to the next one. Nothing is stored: an order is in the first phase that keeps it.
//! `docs/how-to/add-a-phase.md` says what a new phase needs.

mod admission;
mod approval;
mod council;
mod delivery;
mod done;
mod evaluation;
mod step;
mod worlds;

use manyworlds_api::conditions::Reason;

use super::assessment::Assessment;
use super::decision::Decision;
use step::Step;

/// The phases before the last one, in their order.
const BEFORE_DONE: [fn(&Assessment<'_>) -> Step; 5] =
    [worlds::decide, evaluation::decide, council::decide, approval::decide, delivery::decide];

/// Decides about an order.
///
/// - **Guarantees:** terminal is terminal: a finished order is only ever deleted, unless a person has Worlds of it judged again.
pub(super) fn decide(assessment: &Assessment<'_>) -> Decision {
    if let Some(decision) = admission::decide(assessment) {
        return decision;
    }
    for phase in BEFORE_DONE {
        if let Step::Stay(decision) = phase(assessment) {
            return decision;
        }
    }
    done::decide(assessment)
}

/// Returns why an order would be ended at once if it went on, whatever its Worlds give.
pub(super) fn refusal(assessment: &Assessment<'_>) -> Option<(Reason, String)> {
    admission::refusal(assessment).or_else(|| assessment.baseline.obstacle())
}
