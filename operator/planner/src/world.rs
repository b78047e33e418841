//! The state of one World, and its next status.

use std::cmp::Ordering;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use manyworlds_api::conditions::{Reason, Truth, WorldCondition, condition, set, shortened, truth};
use manyworlds_api::object::Stored;
use manyworlds_api::result::{FailureClass, WorldResult};
use manyworlds_api::work_order::{Variant, WorkOrderSpec};
use manyworlds_api::world::{Attempt, WorldFallback, WorldStage};
use manyworlds_api::{World, WorldStatus};

use crate::attempt::{ActiveAttempt, AttemptEnd, AttemptFailure, AttemptState, Remains};
use crate::observation::OrderPod;
use crate::policy::retry::{Counted, Decision, Failure, History, decide, delay};
use crate::policy::score::judge;

/// The most attempts that a status lists.
const REMEMBERED_ATTEMPTS: usize = 10;
/// A stage that lasts longer than this is shown: people watch. It is more than the second that the design asks for,
/// because a stage that is about to end is not worth a write, least of all when the API server is busy.
pub(crate) const SHOWN_AFTER: SignedDuration = SignedDuration::from_secs(2);

/// One World as it stands after what has been seen now.
#[derive(Clone, Debug)]
pub(crate) struct WorldState<'a> {
    /// The variant that it is.
    pub(crate) variant: &'a Variant,
    /// Place of the variant in the order.
    pub(crate) index: usize,
    /// The resource, once it exists.
    pub(crate) world: Option<&'a Arc<Stored<World>>>,
    /// The pod of the current attempt.
    pub(crate) pod: Option<&'a Arc<OrderPod>>,
    /// Its status: as it is, or as it is to be written.
    pub(crate) status: WorldStatus,
    /// Whether the status is to be written.
    pub(crate) change: Change,
    /// Its phase.
    pub(crate) phase: Phase,
    /// Whether its pod has to be removed.
    pub(crate) remains: Remains,
    /// The next time at which there is something to show.
    pub(crate) look_again: Option<Timestamp>,
}

/// Whether a World's status is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is as it is.
    None,
    /// Its stage has changed.
    Stage,
    /// An attempt has ended.
    AttemptEnded,
    /// The World has ended.
    Ended,
}

/// The phase of a World.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has no resource yet.
    Unopened,
    /// It may have its next attempt from that time on.
    Idle {
        /// The time.
        not_before: Option<Timestamp>,
    },
    /// An attempt is under way.
    Active,
    /// It is over.
    Ended,
}

impl WorldState<'_> {
    /// Returns whether the World could win.
    pub(crate) fn eligible(&self) -> bool {
        self.status.eligible == Some(true)
    }

    /// Returns whether its new status says nothing but how far it is.
    pub(crate) fn shows_progress_only(&self) -> bool {
        let said = self.world.and_then(|world| world.status.as_ref()?.message.as_ref());
        self.change == Change::Stage && self.status.message.is_none() && said.is_none()
    }

    /// Returns whether the World's failure ends the order.
    pub(crate) fn fails_order(&self) -> bool {
        self.status.conditions.iter().any(|condition| {
            condition.type_ == WorldCondition::Finished.as_str() && condition.reason == Reason::OrderFailed.as_str()
        })
    }
}

/// Returns a World that has no resource yet.
pub(crate) fn unopened(variant: &Variant, index: usize) -> WorldState<'_> {
    WorldState {
        variant,
        index,
        world: None,
        pod: None,
        status: WorldStatus::default(),
        change: Change::None,
        phase: Phase::Unopened,
        remains: Remains::Nothing,
        look_again: None,
    }
}

/// Reads what has become of a World since its status was written.
pub(crate) fn advance<'a>(
    spec: &WorkOrderSpec,
    mut state: WorldState<'a>,
    world: &'a Arc<Stored<World>>,
    attempt: Option<(&'a Arc<OrderPod>, AttemptState)>,
    now: Timestamp,
) -> WorldState<'a> {
    state.world = Some(world);
    state.pod = attempt.as_ref().map(|(pod, _)| *pod);
    state.status = world.status.clone().unwrap_or_default();
    if truth(&state.status.conditions, WorldCondition::Finished.as_str()) == Truth::True {
        state.phase = Phase::Ended;
        return state;
    }
    match attempt {
        None => state.phase = Phase::Idle { not_before: not_before(spec, &state.status) },
        Some((_, AttemptState::Ending)) => state.phase = Phase::Active,
        Some((_, AttemptState::Active(active))) => {
            state.phase = Phase::Active;
            show_stage(&mut state, &active, now);
        }
        Some((pod, AttemptState::Ended(end))) => {
            state.remains = end.remains;
            record(spec, &mut state, (pod, &end), now);
        }
    }
    state
}

/// Returns when the next attempt may begin.
fn not_before(spec: &WorkOrderSpec, status: &WorldStatus) -> Option<Timestamp> {
    let last = status.attempts.last()?;
    if last.class == Some(FailureClass::Cancelled) || last.number <= before_fallback(status) {
        return None;
    }
    let finished = last.finish_time.as_ref()?.0;
    Some(finished + delay(&spec.retry, status.attempt_count))
}

/// Returns how many attempts there were before the World was made to run again by a fallback. They no longer count.
fn before_fallback(status: &WorldStatus) -> i32 {
    status.fallback.as_ref().map_or(0, |fallback| fallback.after_attempt)
}

fn show_stage(state: &mut WorldState<'_>, active: &ActiveAttempt, now: Timestamp) {
    let ActiveAttempt { stage, since, trouble, give_up } = active;
    let message = trouble.as_ref().map(|trouble| shortened(&trouble.message, 4096));
    state.look_again = *give_up;
    if state.status.stage == Some(*stage) && state.status.message == message {
        return;
    }
    if trouble.is_none() {
        if *stage == WorldStage::Starting {
            return;
        }
        let shown_from = since.unwrap_or(now) + SHOWN_AFTER;
        if now < shown_from {
            state.look_again = Some(give_up.map_or(shown_from, |time| time.min(shown_from)));
            return;
        }
    }
    let reason = trouble.as_ref().map_or(Reason::Running, |trouble| trouble.reason);
    let text = message.clone().unwrap_or_default();
    state.status.stage = Some(*stage);
    state.status.message = message;
    set_stage_conditions(&mut state.status, *stage, reason, &text, now);
    state.change = Change::Stage;
}

fn set_stage_conditions(status: &mut WorldStatus, stage: WorldStage, reason: Reason, message: &str, now: Timestamp) {
    use WorldCondition::{Evaluated, Finished, PodScheduled, Prepared, Succeeded, Worked};
    let reached = match stage {
        WorldStage::Preparing => 1,
        WorldStage::Working => 2,
        WorldStage::Evaluating => 3,
        WorldStage::Scored => 4,
        _ => 0,
    };
    for (place, kind) in [PodScheduled, Prepared, Worked, Evaluated].into_iter().enumerate() {
        let (truth, why, text) = match place.cmp(&reached) {
            Ordering::Less => (Truth::True, Reason::Completed, ""),
            Ordering::Equal => (Truth::False, reason, message),
            Ordering::Greater => (Truth::False, Reason::NotReached, ""),
        };
        set(&mut status.conditions, condition(kind.as_str(), truth, why, text, None, now));
    }
    set(&mut status.conditions, condition(Finished.as_str(), Truth::False, Reason::InProgress, "", None, now));
    set(&mut status.conditions, condition(Succeeded.as_str(), Truth::Unknown, reason, message, None, now));
}

/// Says of a World that is over without a score that it will come no further; what was last seen of its stages depends on
/// when somebody looked.
fn settle_stage_conditions(status: &mut WorldStatus, now: Timestamp) {
    use WorldCondition::{Evaluated, PodScheduled, Prepared, Worked};
    for kind in [PodScheduled, Prepared, Worked, Evaluated] {
        set(&mut status.conditions, condition(kind.as_str(), Truth::False, Reason::NotReached, "", None, now));
    }
}

/// Writes the end of an attempt into the World's status, and the end of the World where that was the last one.
fn record(spec: &WorkOrderSpec, state: &mut WorldState<'_>, ended: (&OrderPod, &AttemptEnd), now: Timestamp) {
    let (pod, end) = ended;
    let (decision, entry) = judge_end(spec, &state.status, pod, end);
    let counted = entry.counted;
    state.status.attempt_count += 1;
    state.status.counted_attempts += i32::from(counted);
    state.status.attempts.push(entry);
    let surplus = state.status.attempts.len().saturating_sub(REMEMBERED_ATTEMPTS);
    state.status.attempts.drain(..surplus);
    if end.base_commit.is_some() {
        state.status.base_commit.clone_from(&end.base_commit);
    }
    match (decision, &end.failure) {
        (None, _) => {
            if let Some(result) = &end.result {
                score(spec, &mut state.status, result, now);
            }
            state.change = Change::Ended;
            state.phase = Phase::Ended;
        }
        (Some(Decision::Retry { not_before, .. }), Some(failure)) => {
            wait(&mut state.status, failure, not_before, now);
            state.change = Change::AttemptEnded;
            state.phase = Phase::Idle { not_before: Some(not_before) };
        }
        (Some(decision), failure) => {
            let reason = if decision == Decision::FailOrder { Reason::OrderFailed } else { Reason::AttemptsExhausted };
            let message = failure.as_ref().map_or("", |failure| failure.message.as_str());
            let kind = failure.as_ref().map_or(Reason::Unexpected, |failure| failure.reason);
            fail(&mut state.status, reason, kind, message, now);
            state.change = Change::Ended;
            state.phase = Phase::Ended;
        }
    }
}

fn judge_end(
    spec: &WorkOrderSpec,
    status: &WorldStatus,
    pod: &OrderPod,
    end: &AttemptEnd,
) -> (Option<Decision>, Attempt) {
    let uncounted = status
        .attempts
        .iter()
        .filter(|attempt| attempt.number > before_fallback(status))
        .filter(|attempt| !attempt.counted && attempt.class == Some(FailureClass::Infrastructure))
        .count();
    let history = History { counted: status.counted_attempts, uncounted: i32::try_from(uncounted).unwrap_or(i32::MAX) };
    let decision = end.failure.as_ref().map(|failure| {
        let exit_code = end.worker.as_ref().and_then(|worker| worker.exit_code);
        let pod_conditions = pod.conditions.as_slice();
        let failure = Failure { class: failure.class, exit_code, pod_conditions, finished: end.finished };
        decide(&spec.retry, failure, history)
    });
    let counted = !matches!(decision, Some(Decision::Retry { counted: Counted::No, .. }))
        && end.failure.as_ref().is_none_or(|failure| failure.class != FailureClass::Infrastructure);
    let (reason, message) = match &end.failure {
        Some(failure) => (failure.reason, failure.message.clone()),
        None => (Reason::Completed, String::new()),
    };
    let entry = Attempt {
        number: status.attempt_count + 1,
        pod: pod.name().to_string(),
        node: pod.node.as_deref().map(str::to_owned),
        exit_code: end.exit_code,
        class: end.failure.as_ref().map(|failure| failure.class),
        reason: reason.as_str().to_owned(),
        message,
        counted,
        start_time: end.started.map(Time),
        finish_time: Some(Time(end.finished)),
    };
    (decision, entry)
}

fn score(spec: &WorkOrderSpec, status: &mut WorldStatus, result: &WorldResult, now: Timestamp) {
    let verdict = judge(&spec.evaluation, result);
    let eligible = verdict.eligible();
    set_stage_conditions(status, WorldStage::Scored, Reason::Completed, "", now);
    let truth = if eligible { Truth::True } else { Truth::False };
    finish(status, Reason::Completed, (truth, verdict.reason), &verdict.message, now);
    status.stage = Some(WorldStage::Scored);
    status.message = Some(verdict.message);
    status.score = Some(verdict.score);
    status.eligible = Some(eligible);
    status.sealed = Some(result.sealed);
    status.commit.clone_from(&result.commit);
    status.diff = Some(result.diff);
    status.artifacts.clone_from(&result.artifacts);
    status.reasons = result.reasons.iter().take(16).map(|reason| shortened(reason, 512)).collect();
}

fn wait(status: &mut WorldStatus, failure: &AttemptFailure, not_before: Timestamp, now: Timestamp) {
    let message = format!("attempt {} failed: {}", status.attempt_count, failure.message);
    set_stage_conditions(status, WorldStage::Waiting, Reason::AwaitingRetry, &message, now);
    status.stage = Some(WorldStage::Waiting);
    status.message = Some(shortened(&format!("{message}; the next attempt begins at {not_before:.0}"), 4096));
}

/// Ends a World that failed.
fn fail(status: &mut WorldStatus, finished: Reason, kind: Reason, message: &str, now: Timestamp) {
    settle_stage_conditions(status, now);
    finish(status, finished, (Truth::False, kind), message, now);
    status.stage = Some(WorldStage::Failed);
    status.message = Some(shortened(message, 4096));
    status.eligible = Some(false);
}

/// Ends a World before it had a score.
pub(crate) fn cut(status: &mut WorldStatus, message: &str, now: Timestamp) {
    settle_stage_conditions(status, now);
    finish(status, Reason::Cut, (Truth::False, Reason::Cut), message, now);
    status.stage = Some(WorldStage::Cut);
    status.message = Some(message.to_owned());
    status.eligible = Some(false);
}

/// Has a World that has ended run again by a fallback.
pub(crate) fn run_again(state: &mut WorldState<'_>, with: WorldFallback, said: &str, now: Timestamp) {
    let before = state.status.message.take().unwrap_or_default();
    let message = shortened(&format!("it runs again by {said}; before: {before}"), 4096);
    state.status = WorldStatus {
        conditions: std::mem::take(&mut state.status.conditions),
        usage: state.status.usage.take(),
        base_commit: state.status.base_commit.take(),
        attempt_count: state.status.attempt_count,
        attempts: std::mem::take(&mut state.status.attempts),
        observed_generation: state.status.observed_generation,
        fallback: Some(with),
        ..WorldStatus::default()
    };
    set_stage_conditions(&mut state.status, WorldStage::Waiting, Reason::FallbackStarted, &message, now);
    state.status.stage = Some(WorldStage::Waiting);
    state.status.message = Some(message);
    state.change = Change::AttemptEnded;
    // Its pod is made from what will have been written.
    state.phase = Phase::Idle { not_before: Some(now + SignedDuration::from_millis(1)) };
}

/// Ends the current attempt of a World because its order is held.
pub(crate) fn suspend(state: &mut WorldState<'_>, reason: Reason, message: &str, now: Timestamp) {
    let Some(pod) = state.pod else { return };
    let status = &mut state.status;
    status.attempt_count += 1;
    status.attempts.push(Attempt {
        number: status.attempt_count,
        pod: pod.name().to_string(),
        node: pod.node.as_deref().map(str::to_owned),
        exit_code: None,
        class: Some(FailureClass::Cancelled),
        reason: reason.as_str().to_owned(),
        message: message.to_owned(),
        counted: false,
        start_time: Some(Time(pod.created)),
        finish_time: Some(Time(now)),
    });
    let surplus = status.attempts.len().saturating_sub(REMEMBERED_ATTEMPTS);
    status.attempts.drain(..surplus);
    set_stage_conditions(status, WorldStage::Suspended, reason, message, now);
    status.stage = Some(WorldStage::Suspended);
    status.message = Some(message.to_owned());
    state.change = Change::AttemptEnded;
}

fn finish(status: &mut WorldStatus, reason: Reason, success: (Truth, Reason), message: &str, now: Timestamp) {
    let (truth, why) = success;
    set(&mut status.conditions, condition(WorldCondition::Succeeded.as_str(), truth, why, message, None, now));
    set(&mut status.conditions, condition(WorldCondition::Finished.as_str(), Truth::True, reason, message, None, now));
    status.observed_generation = Some(1);
}
