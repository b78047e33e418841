//! Worlds that run again by a fallback, because too few of the order's were eligible (W5).

use manyworlds_api::conditions::Reason;
use manyworlds_api::work_order::BudgetExceeded;

use super::assessment::Assessment;
use super::decision::{Decision, End};
use crate::plan::{Event, EventKind};
use crate::policy::fallback::{self, Eligibility, Next};
use crate::world::{self, Phase, WorldState};

/// Returns whether Worlds may run again on this decision: there is time and money for them.
pub(super) fn is_possible(decision: &Decision, assessment: &Assessment<'_>) -> bool {
    if assessment.only_judges_again() {
        // Who asks for another judgement does not ask for other work.
        return false;
    }
    match decision {
        Decision::Proceed => true,
        Decision::End(End::Judged { reason: Reason::AllWorldsEnded }) => {
            let exhausted = assessment.snapshot.models.exhausted.as_ref();
            let stops = exhausted.is_some_and(|exhausted| exhausted.on_exceeded == BudgetExceeded::Stop);
            !stops && assessment.overdue().is_none()
        }
        _ => false,
    }
}

/// Counts the eligible Worlds of an order, for its fallbacks.
pub(super) fn eligibility(assessment: &Assessment<'_>) -> Eligibility {
    Eligibility {
        eligible: assessment.worlds.iter().filter(|state| state.eligible()).count(),
        min: usize::try_from(assessment.spec().worlds.min).unwrap_or(1),
        reached: assessment.worlds.iter().map(number).max().unwrap_or_default(),
    }
}

fn number(state: &WorldState<'_>) -> i32 {
    state.status.fallback.as_ref().map_or(0, |fallback| fallback.number)
}

/// Has the Worlds that are not eligible run again, where a fallback says so, and returns what people are told.
///
/// - **Guarantees:** when some of them were taken to a fallback before the operator died, the others follow.
pub(super) fn begin(assessment: &mut Assessment<'_>) -> Option<Event> {
    let chain = &assessment.spec().fallbacks;
    if chain.is_empty() {
        return None;
    }
    let counts = eligibility(assessment);
    let ended = |state: &WorldState<'_>| state.phase == Phase::Ended;
    let number = if assessment.worlds.iter().all(ended) {
        match fallback::next(chain, counts) {
            Next::RunAgain(number) => number,
            // A World was deleted and opened anew while others ran by a fallback, and has ended after them.
            Next::End if counts.eligible < counts.min => counts.reached,
            Next::End => return None,
        }
    } else {
        counts.reached
    };
    let behind = |state: &WorldState<'_>| ended(state) && !state.eligible() && self::number(state) < number;
    let now = assessment.snapshot.now;
    let mut names = Vec::new();
    let mut with = None;
    for state in assessment.worlds.iter_mut().filter(|state| behind(state)) {
        let Some(world) = state.world else { continue };
        let before = (world.model(), world.temperature());
        let Some(changed) = fallback::changed(chain, number, before, state.status.attempt_count) else { continue };
        let said = fallback::described(&changed, chain);
        world::run_again(state, changed, &said, now);
        names.push(state.variant.name.as_str());
        with = Some(said);
    }
    let said = with?;
    let (eligible, min) = (counts.eligible, counts.min);
    let message = format!(
        "fallback {number}, {said}: {} of {min} Worlds that are asked for are eligible, so these run again: {}",
        eligible,
        names.join(", ")
    );
    Some(Event { kind: EventKind::Normal, reason: Reason::FallbackStarted, action: "RunAgain", message })
}
