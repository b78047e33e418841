//! Worlds that begin an attempt now, or are judged now.

use jiff::Timestamp;
use manyworlds_api::World;
use manyworlds_api::object::Stored;

use super::assessment::Assessment;
use crate::attempt_pods::NextEvaluation;
use crate::grant::Grant;
use crate::plan::{Effect, Plan};
use crate::resources::{self, Evaluation};
use crate::support::Earliest;
use crate::world::{Phase, WorldState};

/// Returns the Worlds that could begin an attempt now, in the order in which they should: by weight, then as listed.
///
/// - **Shape:** indexes of variants; never so many that more than `worlds.parallelism` would run, nor more than may be tried
///   after a refusal.
pub(super) fn startable(assessment: &Assessment<'_>) -> Vec<usize> {
    let (snapshot, worlds) = (assessment.snapshot, &assessment.worlds);
    let running = worlds.iter().filter(|state| state.phase == Phase::Active).count();
    let room = usize::try_from(snapshot.order.spec.worlds.parallelism).unwrap_or(0).saturating_sub(running);
    let most = snapshot.refusal.as_ref().map_or(room, |refusal| refusal.most(snapshot.now).min(room));
    let mut ready: Vec<&WorldState<'_>> = worlds.iter().filter(|state| is_ready(snapshot.now, state)).collect();
    ready.sort_by_key(|state| (std::cmp::Reverse(state.variant.weight.unwrap_or(1)), state.index));
    ready.into_iter().take(most).map(|state| state.index).collect()
}

fn is_ready(now: Timestamp, state: &WorldState<'_>) -> bool {
    match state.phase {
        Phase::Unopened => true,
        Phase::Idle { not_before } => not_before.is_none_or(|time| time <= now),
        Phase::Active | Phase::Ended => false,
    }
}

/// Plans as many starts as were granted.
///
/// Returns the Worlds that are started.
pub(super) fn start(assessment: &Assessment<'_>, startable: &[usize], grant: Grant, plan: &mut Plan) -> Vec<usize> {
    let snapshot = assessment.snapshot;
    let mut starting = Vec::new();
    for index in startable.iter().copied().take(grant.slots) {
        let Some(state) = assessment.worlds.get(index) else { continue };
        let attempt = state.status.attempt_count + 1;
        let order = &snapshot.order;
        let effect = match state.world {
            None => {
                let world = resources::world(order, state.variant, index, grant.size, &snapshot.settings);
                let pod = resources::pod(order, &world, attempt, &snapshot.settings);
                Effect::OpenWorld { world: Box::new(world), pod: Box::new(pod) }
            }
            Some(world) => {
                if let Some(next) = &state.next_evaluation {
                    evaluation(assessment, world, state, next)
                } else {
                    let pod = resources::pod(order, world, attempt, &snapshot.settings);
                    Effect::StartAttempt { pod: Box::new(pod.owned_by(world.uid())) }
                }
            }
        };
        plan.effects.push(effect);
        starting.push(index);
    }
    starting
}

/// Plans the evaluations that are due, and notes when the others are.
///
/// - **Guarantees:** asks for no slot: each runs in the one that its World's pods before it have held until now.
pub(super) fn judge(assessment: &Assessment<'_>, plan: &mut Plan, earliest: &mut Earliest) {
    let snapshot = assessment.snapshot;
    if let Some(retry) = snapshot.refusal.as_ref().and_then(|refusal| refusal.retry_after(snapshot.now)) {
        // What was refused is tried again then, whatever it was.
        earliest.note(retry);
        return;
    }
    for state in assessment.worlds.iter().filter(|state| state.phase == Phase::Active) {
        let (Some(world), Some(next)) = (state.world, &state.next_evaluation) else { continue };
        match next.not_before {
            Some(time) if time > snapshot.now => earliest.note(time),
            Some(_) | None => plan.effects.push(evaluation(assessment, world, state, next)),
        }
    }
}

fn evaluation(
    assessment: &Assessment<'_>,
    world: &Stored<World>,
    state: &WorldState<'_>,
    next: &NextEvaluation,
) -> Effect {
    let snapshot = assessment.snapshot;
    let which = Evaluation { attempt: state.status.attempt_count + 1, number: next.number, subject: &next.subject };
    let pod = resources::evaluation(&snapshot.order, world, &which, &snapshot.settings);
    Effect::StartEvaluation { pod: Box::new(pod.owned_by(world.uid())) }
}
