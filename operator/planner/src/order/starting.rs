//! Worlds that begin an attempt now, or are judged now, and the base that is judged before them.

use jiff::Timestamp;
use manyworlds_api::World;
use manyworlds_api::object::Stored;

use super::assessment::Assessment;
use crate::attempt_pods::NextEvaluation;
use crate::grant::Grant;
use crate::plan::{Effect, Plan};
use crate::resources::{self, BaseEvaluation, Evaluation};
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
    // A World that asks for a slot anew in order to be judged could do nothing with it before the baseline is over.
    let waits = |state: &WorldState<'_>| state.next_evaluation.is_some() && !assessment.baseline.is_over();
    // An order that has finished, and judges Worlds again, opens no other ones.
    let is_left = |state: &WorldState<'_>| assessment.only_judges_again() && state.next_evaluation.is_none();
    let ready = worlds.iter().filter(|state| is_ready(snapshot.now, state) && !waits(state) && !is_left(state));
    let mut ready: Vec<&WorldState<'_>> = ready.collect();
    ready.sort_by_key(|state| (std::cmp::Reverse(state.variant.weight.unwrap_or(1)), state.index));
    ready.into_iter().take(most).map(|state| state.index).collect()
}

fn is_ready(now: Timestamp, state: &WorldState<'_>) -> bool {
    match state.phase {
        Phase::Unopened => true,
        Phase::Idle { not_before } => is_past(not_before, now),
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

/// Returns whether the order asks for a slot for the pod that judges its base.
///
/// It does not once a World waits to be judged: that World's slot has no pod that runs, and will have none before the base is judged.
pub(super) fn asks_for_baseline(assessment: &Assessment<'_>) -> bool {
    let snapshot = assessment.snapshot;
    let is_refused = snapshot.refusal.as_ref().is_some_and(|refusal| refusal.retry_after(snapshot.now).is_some());
    let is_due = assessment.baseline.next().is_some_and(|next| is_past(next.not_before, snapshot.now));
    is_due && !is_refused && !has_kept_slot(assessment)
}

/// Plans the pod that judges the base where it is due and there is a slot for it, and notes when it is.
///
/// Returns how many of the slots it takes.
pub(super) fn judge_base(assessment: &Assessment<'_>, slots: usize, plan: &mut Plan, earliest: &mut Earliest) -> usize {
    let (snapshot, baseline) = (assessment.snapshot, &assessment.baseline);
    earliest.note_some(baseline.give_up());
    let Some(next) = baseline.next() else { return 0 };
    let retry = snapshot.refusal.as_ref().and_then(|refusal| refusal.retry_after(snapshot.now));
    let awaited = retry.or(next.not_before.filter(|time| *time > snapshot.now));
    if let Some(awaited) = awaited {
        earliest.note(awaited);
        return 0;
    }
    let takes = usize::from(!has_kept_slot(assessment));
    let opened = assessment.worlds.iter().find_map(|state| state.world);
    let (Some(opened), true) = (opened, takes <= slots) else { return 0 };
    let resources = &opened.spec.blueprint.resources;
    let which = BaseEvaluation { number: next.number, base_commit: &next.base_commit, resources };
    let Some(pod) = resources::baseline(&snapshot.order, &which, &snapshot.settings) else { return 0 };
    plan.effects.push(Effect::StartEvaluation { pod: Box::new(pod.owned_by(snapshot.order.uid())) });
    takes
}

/// Returns whether a World waits to be judged, and keeps its slot for that.
fn has_kept_slot(assessment: &Assessment<'_>) -> bool {
    assessment.worlds.iter().any(|state| state.phase == Phase::Active && state.next_evaluation.is_some())
}

fn is_past(not_before: Option<Timestamp>, now: Timestamp) -> bool {
    not_before.is_none_or(|time| time <= now)
}

/// Plans the evaluations that are due, and notes when the others are. None is before the base is judged: each World's test cases
/// are held against those of the base.
///
/// - **Guarantees:** asks for no slot: each runs in the one that its World's pods before it have held until now.
pub(super) fn judge(assessment: &Assessment<'_>, plan: &mut Plan, earliest: &mut Earliest) {
    let snapshot = assessment.snapshot;
    if let Some(retry) = snapshot.refusal.as_ref().and_then(|refusal| refusal.retry_after(snapshot.now)) {
        // What was refused is tried again then, whatever it was.
        earliest.note(retry);
        return;
    }
    if !assessment.baseline.is_over() {
        // The end of its pod brings the next look.
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
