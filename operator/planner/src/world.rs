//! The state of one World, and its next status.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use manyworlds_api::conditions::{Reason, Truth, WorldCondition, shortened, truth};
use manyworlds_api::object::Stored;
use manyworlds_api::result::{Collection, FailureClass};
use manyworlds_api::work_order::{Variant, WorkOrderSpec};
use manyworlds_api::world::{Attempt, WorldFallback, WorldStage};
use manyworlds_api::{World, WorldStatus};

use crate::attempt::{ActiveAttempt, Anew, AttemptEnd, AttemptState, Remains};
use crate::attempt_pods::{CurrentAttempt, JudgedAgain, NextEvaluation};
use crate::observation::OrderPod;
use crate::policy::retry::{Counted, Decision, Failure, History, decide, delay};
use crate::world_status::{fail, note_collection, score, set_stage_conditions, wait};

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
    /// The newest pod of the current attempt.
    pub(crate) pod: Option<&'a Arc<OrderPod>>,
    /// Whether the current attempt is worked and can be judged.
    pub(crate) work: KeptWork,
    /// The evaluation of the current attempt that comes next.
    pub(crate) next_evaluation: Option<NextEvaluation>,
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

/// Whether what the worker of an attempt left is stored, so that the attempt can be judged whatever happens to its pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeptWork {
    /// It is.
    Stored,
    /// It is not, or not yet.
    None,
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
        work: KeptWork::None,
        next_evaluation: None,
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
    attempt: Option<CurrentAttempt<'a>>,
    now: Timestamp,
) -> WorldState<'a> {
    state.world = Some(world);
    state.pod = attempt.as_ref().map(|attempt| attempt.pod);
    state.status = world.status.clone().unwrap_or_default();
    if truth(&state.status.conditions, WorldCondition::Finished.as_str()) == Truth::True {
        state.phase = Phase::Ended;
        return state;
    }
    let again = JudgedAgain::of(&state.status);
    let Some(attempt) = attempt else {
        if let Some(again) = &again {
            state.work = KeptWork::Stored;
            state.next_evaluation = Some(again.first());
            state.phase = Phase::Idle { not_before: None };
        } else {
            state.phase = Phase::Idle { not_before: not_before(spec, &state.status) };
        }
        return state;
    };
    if attempt.subject.is_some() {
        state.work = KeptWork::Stored;
    }
    state.remains = attempt.remains;
    match &attempt.state {
        AttemptState::Ending => state.phase = Phase::Active,
        AttemptState::Active(active) => {
            let not_before = attempt.next.as_ref().and_then(|next| next.not_before);
            let holds_no_slot = match state.status.stage {
                Some(WorldStage::Suspended) => true,
                // A World that was over, and is to be judged again, has given its slot back.
                Some(WorldStage::Waiting) => again.is_some(),
                _ => false,
            };
            let is_resumed = attempt.next.is_some() && holds_no_slot;
            state.next_evaluation.clone_from(&attempt.next);
            if is_resumed {
                // Its slot was free for others meanwhile, so it asks for one as an attempt does.
                state.phase = Phase::Idle { not_before };
            } else {
                state.phase = Phase::Active;
                show_stage(&mut state, active, now);
            }
        }
        AttemptState::Ended(end) => record(spec, &mut state, (&attempt, end), now),
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

/// Writes the end of an attempt into the World's status, and the end of the World where that was the last one.
fn record(spec: &WorkOrderSpec, state: &mut WorldState<'_>, ended: (&CurrentAttempt<'_>, &AttemptEnd), now: Timestamp) {
    let (attempt, end) = ended;
    let (decision, entry) = judge_end(spec, &state.status, attempt, end);
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
                // What is known of a World that is judged again stays where the pod that worked has gone.
                let artifacts = std::mem::take(&mut state.status.artifacts);
                let kept = Collection { artifacts, reasons: Vec::new() };
                score(spec, &mut state.status, result, now);
                note_collection(&mut state.status, Some(end.collection.as_ref().unwrap_or(&kept)));
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
            let message = with_evaluations(message, end.evaluations);
            let kind = failure.as_ref().map_or(Reason::Unexpected, |failure| failure.reason);
            fail(&mut state.status, reason, kind, &message, now);
            note_collection(&mut state.status, end.collection.as_ref());
            state.change = Change::Ended;
            state.phase = Phase::Ended;
        }
    }
}

fn judge_end(
    spec: &WorkOrderSpec,
    status: &WorldStatus,
    attempt: &CurrentAttempt<'_>,
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
        if end.anew == Anew::Never {
            return Decision::FailWorld(Reason::AttemptsExhausted);
        }
        let exit_code = end.worker.as_ref().and_then(|worker| worker.exit_code);
        let pod_conditions = attempt.pod.conditions.as_slice();
        let failure = Failure { class: failure.class, exit_code, pod_conditions, finished: end.finished };
        decide(&spec.retry, failure, history)
    });
    let counted = !matches!(decision, Some(Decision::Retry { counted: Counted::No, .. }))
        && end.failure.as_ref().is_none_or(|failure| failure.class != FailureClass::Infrastructure);
    let (reason, message) = match &end.failure {
        Some(failure) => (failure.reason, failure.message.as_str()),
        None => (Reason::Completed, ""),
    };
    let message = with_evaluations(message, end.evaluations);
    // The entry is that of the whole attempt, so it names the pod that began it.
    let pod = attempt.work.unwrap_or(attempt.pod);
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

/// Adds to the message of an attempt how many evaluations it took, where that is more than one.
fn with_evaluations(message: &str, evaluations: i32) -> String {
    match (message, evaluations) {
        (message, ..=1) => message.to_owned(),
        ("", count) => format!("it took {count} evaluations"),
        (message, count) => shortened(&format!("{message} (it took {count} evaluations)"), 512),
    }
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
        reevaluation: state.status.reevaluation.take(),
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

/// Shows that a World whose work is stored is judged once its order goes on. Its attempt is not over.
pub(crate) fn pause(state: &mut WorldState<'_>, reason: Reason, message: &str, now: Timestamp) {
    let before = state.world.and_then(|world| world.status.clone()).unwrap_or_default();
    let usage = state.status.usage.take().or_else(|| before.usage.clone());
    state.status = WorldStatus { usage, ..before };
    state.phase = Phase::Idle { not_before: None };
    state.change = Change::None;
    state.look_again = None;
    let status = &mut state.status;
    if status.stage == Some(WorldStage::Suspended) && status.message.as_deref() == Some(message) {
        return;
    }
    set_stage_conditions(status, WorldStage::Suspended, reason, message, now);
    status.stage = Some(WorldStage::Suspended);
    status.message = Some(message.to_owned());
    state.change = Change::Stage;
}
