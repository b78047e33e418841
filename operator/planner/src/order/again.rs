//! Worlds that run again by a fallback, because too few of the order's were eligible (W5).

use crate::plan::{Event, EventKind};
use crate::policy::fallback::{self, Next, Standing};
use crate::snapshot::Snapshot;
use crate::world::{self, Phase, WorldStep};
use manyworlds_api::conditions::Reason;

/// Returns how the Worlds of an order stand with regard to its fallbacks.
pub(super) fn standing(snapshot: &Snapshot, steps: &[WorldStep<'_>]) -> Standing {
    Standing {
        eligible: steps.iter().filter(|step| step.eligible()).count(),
        min: usize::try_from(snapshot.order.spec.worlds.min).unwrap_or(1),
        reached: steps.iter().map(number).max().unwrap_or_default(),
    }
}

fn number(step: &WorldStep<'_>) -> i32 {
    step.status.fallback.as_ref().map_or(0, |fallback| fallback.number)
}

/// Has the Worlds that are not eligible run again, where a fallback says so, and returns what people are told.
///
/// - **Guarantees:** when some of them were taken to a fallback before the operator died, the others follow.
pub(super) fn run_again(snapshot: &Snapshot, steps: &mut [WorldStep<'_>]) -> Option<Event> {
    let chain = &snapshot.order.spec.fallbacks;
    if chain.is_empty() {
        return None;
    }
    let standing = standing(snapshot, steps);
    let ended = |step: &WorldStep<'_>| step.phase == Phase::Ended;
    let number = if steps.iter().all(ended) {
        match fallback::next(chain, standing) {
            Next::RunAgain(number) => number,
            // A World was deleted and opened anew while others ran by a fallback, and has ended after them.
            Next::End if standing.eligible < standing.min => standing.reached,
            Next::End => return None,
        }
    } else {
        standing.reached
    };
    let behind = |step: &WorldStep<'_>| ended(step) && !step.eligible() && self::number(step) < number;
    let mut names = Vec::new();
    let mut with = None;
    for step in steps.iter_mut().filter(|step| behind(step)) {
        let Some(world) = step.world else { continue };
        let before = (world.model(), world.temperature());
        let Some(changed) = fallback::changed(chain, number, before, step.status.attempt_count) else { continue };
        let said = fallback::described(&changed, chain);
        world::run_again(step, changed, &said, snapshot.now);
        names.push(step.variant.name.as_str());
        with = Some(said);
    }
    let said = with?;
    let (eligible, min) = (standing.eligible, standing.min);
    let message = format!(
        "fallback {number}, {said}: {} of {min} Worlds that are asked for are eligible, so these run again: {}",
        eligible,
        names.join(", ")
    );
    Some(Event { kind: EventKind::Normal, reason: Reason::FallbackStarted, action: "RunAgain", message })
}
