//! Which Worlds begin an attempt now.

use crate::plan::{Effect, Plan};
use crate::resources;
use crate::snapshot::{Grant, Snapshot};
use crate::world::{Phase, WorldStep};

/// Returns the Worlds that could begin an attempt now, in the order in which they should: by weight, then as listed.
///
/// - **Shape:** indexes of variants; never so many that more than `worlds.parallelism` would run.
pub(super) fn startable(snapshot: &Snapshot, steps: &[WorldStep<'_>]) -> Vec<usize> {
    let running = steps.iter().filter(|step| step.phase == Phase::Active).count();
    let room = usize::try_from(snapshot.order.spec.worlds.parallelism).unwrap_or(0).saturating_sub(running);
    let mut ready: Vec<&WorldStep<'_>> = steps.iter().filter(|step| is_ready(snapshot, step)).collect();
    ready.sort_by_key(|step| (std::cmp::Reverse(step.variant.weight.unwrap_or(1)), step.index));
    ready.into_iter().take(room).map(|step| step.index).collect()
}

fn is_ready(snapshot: &Snapshot, step: &WorldStep<'_>) -> bool {
    match step.phase {
        Phase::Unopened => true,
        Phase::Idle { not_before } => not_before.is_none_or(|time| time <= snapshot.now),
        Phase::Active | Phase::Ended => false,
    }
}

/// Plans as many starts as were granted.
///
/// Returns the Worlds that are started.
pub(super) fn start(
    snapshot: &Snapshot,
    steps: &[WorldStep<'_>],
    startable: &[usize],
    grant: Grant,
    plan: &mut Plan,
) -> Vec<usize> {
    let mut starting = Vec::new();
    for index in startable.iter().copied().take(grant.slots) {
        let Some(step) = steps.get(index) else { continue };
        let attempt = step.status.attempt_count + 1;
        let order = &snapshot.order;
        let effect = match step.world {
            None => {
                let world = resources::world(order, step.variant, index, grant.size, &snapshot.settings);
                let pod = resources::pod(order, &world, attempt, &snapshot.settings);
                Effect::OpenWorld { world: Box::new(world), pod: Box::new(pod) }
            }
            Some(world) => {
                Effect::StartAttempt { pod: Box::new(resources::pod(order, world, attempt, &snapshot.settings)) }
            }
        };
        plan.effects.push(effect);
        starting.push(index);
    }
    starting
}
