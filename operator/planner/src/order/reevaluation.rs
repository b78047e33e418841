//! Worlds that are judged again, because a person has asked for it. Their workers do not run again (W3, W4).
//!
//! The order's status says which request was answered last, and each World's by which it is judged again. The Worlds are written
//! first: where the operator ends in between, those that were written are found by the name of the request, and none is taken twice.

use jiff::SignedDuration;
use manyworlds_api::WorldStatus;
use manyworlds_api::conditions::{Reason, shortened};
use manyworlds_api::work_order::{Reevaluation, ReevaluationStatus};
use manyworlds_api::world::{WorldReevaluation, WorldStage};

use super::assessment::{Answer, Assessment};
use super::decision::Decision;
use super::phases;
use crate::plan::{Event, EventKind};
use crate::role::EVALUATION;
use crate::snapshot::ValidSnapshot;
use crate::world::{Change, KeptWork, Phase, WorldState};
use crate::world_status::set_stage_conditions;

/// The most bytes of what is said of a request, as the schema of the status has it. An Event takes no more than 1024 either.
const LONGEST_MESSAGE: usize = 900;

/// Returns whether a request can be answered on this decision: the order has finished, or goes on after this look.
pub(super) const fn is_possible(decision: &Decision) -> bool {
    match decision {
        Decision::Expire(_) | Decision::Hold(_) | Decision::Proceed => true,
        // One that ends now has finished at the next look.
        Decision::Leave | Decision::CleanUp(_) | Decision::Await(..) | Decision::End(_) => false,
    }
}

/// Has the Worlds that an order asks for judged again, and returns the answer; nothing where there is no new request.
///
/// - **Guarantees:** a request is answered once.
pub(super) fn answer(assessment: &mut Assessment<'_>) -> Option<Answer> {
    let snapshot = assessment.snapshot;
    let asked = assessment.spec().reevaluate.as_ref()?;
    let last = snapshot.order.status.as_ref().and_then(|status| status.reevaluation.as_ref());
    if last.is_some_and(|last| last.request == asked.request) {
        return None;
    }
    if let Some(obstacle) = obstacle(assessment, asked) {
        return Some(told(asked, Vec::new(), &[obstacle]));
    }
    let (mut worlds, mut refused) = (Vec::new(), Vec::new());
    for state in assessment.worlds.iter_mut().filter(|state| is_asked(asked, state)) {
        let name = state.variant.name.clone();
        match judge_again(state, asked, snapshot) {
            Ok(()) => worlds.push(name),
            Err(why) => refused.push(format!("World {name}: {why}")),
        }
    }
    Some(told(asked, worlds, &refused))
}

fn is_asked(asked: &Reevaluation, state: &WorldState<'_>) -> bool {
    asked.world.as_ref().is_none_or(|name| *name == state.variant.name)
}

/// Returns whether a World is judged again by a request already.
fn has_begun(asked: &Reevaluation, state: &WorldState<'_>) -> bool {
    state.status.reevaluation.as_ref().is_some_and(|reevaluation| reevaluation.request == asked.request)
}

/// Returns why no World of an order is judged again by a request.
fn obstacle(assessment: &Assessment<'_>, asked: &Reevaluation) -> Option<String> {
    if let Some((_, message)) = phases::refusal(assessment) {
        return Some(format!("the order cannot go on: {message}; 'kubectl worlds retry' makes a new one"));
    }
    let worlds = &assessment.worlds;
    if let Some(name) = &asked.world
        && !worlds.iter().any(|state| state.variant.name == *name)
    {
        let names: Vec<_> = worlds.iter().map(|state| state.variant.name.as_str()).collect();
        return Some(format!("the order has no World {name}; it has {}", names.join(", ")));
    }
    // Such a World would end the order at once, and cut those that are judged again.
    let is_left = |state: &WorldState<'_>| !is_asked(asked, state) || state.status.obstacle_to_reevaluation().is_some();
    let failed = worlds.iter().find(|state| state.fails_order() && is_left(state))?;
    let message = failed.status.message.as_deref().unwrap_or_default();
    let name = &failed.variant.name;
    Some(format!("World {name} has failed the order: {message}; 'kubectl worlds retry' makes a new one"))
}

/// Has a World that is over judged again. Its attempt goes on as if its last evaluation had not been.
///
/// # Errors
///
/// The reason for which it cannot be, and what to do.
fn judge_again(state: &mut WorldState<'_>, asked: &Reevaluation, snapshot: &ValidSnapshot) -> Result<(), String> {
    if has_begun(asked, state) {
        return Ok(());
    }
    let Some(world) = state.world else {
        return Err("it has not been started, so there is nothing to judge".to_owned());
    };
    if let Some(obstacle) = state.status.obstacle_to_reevaluation() {
        return Err(obstacle);
    }
    let last = last_evaluation(&state.status, world.uid().as_str(), snapshot);
    let said = format!("it is judged again, as the request {} asks", asked.request);
    state.status = reopened(std::mem::take(&mut state.status), &asked.request, last);
    set_stage_conditions(&mut state.status, WorldStage::Waiting, Reason::ReevaluationStarted, &said, snapshot.now);
    state.status.stage = Some(WorldStage::Waiting);
    state.status.message = Some(said);
    state.work = KeptWork::Stored;
    state.change = Change::AttemptEnded;
    // Its pod is made from what will have been written.
    state.phase = Phase::Idle { not_before: Some(snapshot.now + SignedDuration::from_millis(1)) };
    Ok(())
}

/// Returns the number of the last evaluation of a World's last attempt.
fn last_evaluation(status: &WorldStatus, world_uid: &str, snapshot: &ValidSnapshot) -> i32 {
    let attempt = status.attempt_count;
    let before = status.reevaluation.as_ref().filter(|reevaluation| reevaluation.attempt == attempt);
    let before = before.map_or(0, |reevaluation| reevaluation.after_evaluation);
    let pods = snapshot.pods.iter().filter(|pod| pod.is_attempt(&EVALUATION, world_uid, attempt));
    // The name of a pod that has gone is free.
    pods.map(|pod| pod.number).fold(before, i32::max)
}

/// Returns the status of a World whose last attempt is not over after all. What was stored and spent stays.
fn reopened(before: WorldStatus, request: &str, last_evaluation: i32) -> WorldStatus {
    let mut attempts = before.attempts;
    let recorded = attempts.pop_if(|attempt| attempt.number == before.attempt_count);
    let counted = i32::from(recorded.is_some_and(|attempt| attempt.counted));
    let reevaluation = WorldReevaluation {
        request: request.to_owned(),
        count: before.reevaluation.map_or(0, |reevaluation| reevaluation.count) + 1,
        attempt: before.attempt_count,
        after_evaluation: last_evaluation,
    };
    WorldStatus {
        conditions: before.conditions,
        usage: before.usage,
        base_commit: before.base_commit,
        artifacts: before.artifacts,
        fallback: before.fallback,
        attempt_count: before.attempt_count - 1,
        counted_attempts: before.counted_attempts - counted,
        attempts,
        observed_generation: before.observed_generation,
        reevaluation: Some(reevaluation),
        ..WorldStatus::default()
    }
}

fn told(asked: &Reevaluation, worlds: Vec<String>, refused: &[String]) -> Answer {
    let message = shortened(&refused.join("; "), LONGEST_MESSAGE);
    let (kind, reason, said) = if worlds.is_empty() {
        (EventKind::Warning, Reason::ReevaluationRefused, format!("no World is judged again: {message}"))
    } else {
        let rest = if message.is_empty() { String::new() } else { format!("; the others are not: {message}") };
        let said = format!("judged again, without other work: {}{rest}", worlds.join(", "));
        (EventKind::Normal, Reason::ReevaluationStarted, said)
    };
    let event = Event { kind, reason, action: "JudgeAgain", message: shortened(&said, LONGEST_MESSAGE) };
    Answer { status: ReevaluationStatus { request: asked.request.clone(), worlds, message }, event }
}
