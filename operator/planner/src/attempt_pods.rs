//! The state of one attempt with all its pods: one that works, and then those that judge, one after the other.
//!
//! ```text
//! work pod -> collected -> evaluation 1 -> result
//!                             | failed: the cluster, or a gate that could not run
//!                             +-> evaluation 2 -> ...
//! ```
//!
//! Where a person has a World judged again, the evaluations before that count no more, and the next one follows as the first did.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use manyworlds_api::WorldStatus;
use manyworlds_api::conditions::{Reason, Truth, WorldCondition, shortened, truth};
use manyworlds_api::work_order::Retry;
use manyworlds_api::world::WorldStage;

use crate::attempt::{
    ActiveAttempt, Anew, AttemptEnd, AttemptFailure, AttemptState, NodeState, Remains, Trouble, observe,
};
use crate::observation::{OrderPod, Presence};
use crate::policy::retry::{AfterEvaluation, Failure, MOST_EVALUATIONS, after_evaluation};
use crate::resources::Subject;
use crate::role::{EVALUATION, WORK};
use crate::snapshot::Settings;

/// The pods of an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttemptPods<'a> {
    /// The one that works.
    work: Option<&'a Arc<OrderPod>>,
    /// The newest of those that judge.
    evaluation: Option<&'a Arc<OrderPod>>,
}

/// An attempt that is judged again: it was over, and a person has asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JudgedAgain {
    /// Number of the last evaluation that counts no more.
    after: i32,
    /// What is judged, as far as the World's status has it. Its pods may have gone.
    subject: Subject,
}

impl JudgedAgain {
    /// Reads from the status of a World whether its attempt is being judged again.
    pub(crate) fn of(status: &WorldStatus) -> Option<Self> {
        let reevaluation = status.reevaluation.as_ref()?;
        let is_over = truth(&status.conditions, WorldCondition::Finished.as_str()) == Truth::True;
        if is_over || reevaluation.attempt != status.attempt_count + 1 {
            return None;
        }
        let subject = Subject { base_commit: status.base_commit.clone()?, worker: None };
        Some(Self { after: reevaluation.after_evaluation, subject })
    }

    /// Returns the first evaluation after the request.
    pub(crate) fn first(&self) -> NextEvaluation {
        NextEvaluation { number: self.after + 1, not_before: None, subject: self.subject.clone() }
    }
}

/// The facts that pods are read by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look<'a> {
    /// The nodes that do not answer or are gone.
    pub(crate) lost_nodes: &'a BTreeSet<Arc<str>>,
    /// Settings of the operator.
    pub(crate) settings: &'a Settings,
    /// The rules for retries.
    pub(crate) retry: &'a Retry,
    /// The stage that the World's status shows.
    pub(crate) shown: Option<WorldStage>,
    /// Whether the attempt is judged again.
    pub(crate) again: Option<&'a JudgedAgain>,
    /// The budget that is used up, in words.
    pub(crate) exhausted: Option<&'a str>,
    /// The time.
    pub(crate) now: Timestamp,
}

/// What has become of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CurrentAttempt<'a> {
    /// Its newest pod.
    pub(crate) pod: &'a Arc<OrderPod>,
    /// The pod that worked, where it is known.
    pub(crate) work: Option<&'a Arc<OrderPod>>,
    /// Its state.
    pub(crate) state: AttemptState,
    /// What the worker left, where it is stored and can be judged.
    pub(crate) subject: Option<Subject>,
    /// The evaluation that comes next.
    pub(crate) next: Option<NextEvaluation>,
    /// Whether its newest pod has to be removed.
    pub(crate) remains: Remains,
}

/// An evaluation that is to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NextEvaluation {
    /// Its number, from 1.
    pub(crate) number: i32,
    /// The time from which it may begin; absent where nothing is waited for.
    pub(crate) not_before: Option<Timestamp>,
    /// What is judged.
    pub(crate) subject: Subject,
}

impl<'a> AttemptPods<'a> {
    /// Returns the pods of an attempt of a World, without those whose evaluations count no more.
    pub(crate) fn of(pods: &'a [Arc<OrderPod>], world_uid: &str, attempt: i32, again: Option<&JudgedAgain>) -> Self {
        let after = again.map_or(0, |again| again.after);
        let work = pods.iter().find(|pod| pod.is_attempt(&WORK, world_uid, attempt));
        let evaluations = pods.iter().filter(|pod| pod.is_attempt(&EVALUATION, world_uid, attempt));
        Self { work, evaluation: evaluations.filter(|pod| pod.number > after).max_by_key(|pod| pod.number) }
    }

    /// Reads what has become of the attempt; nothing where it has no pod.
    ///
    /// - **Guarantees:** what a worker left is judged and not made again for as long as it can be judged.
    pub(crate) fn look(self, look: &Look<'_>) -> Option<CurrentAttempt<'a>> {
        let work = self.work.map(|pod| (pod, look.at(pod)));
        match (self.evaluation, work) {
            (Some(evaluation), work) => Some(look.at_evaluation(evaluation, work)),
            (None, Some((pod, state))) => Some(look.at_work(pod, state)),
            (None, None) => None,
        }
    }
}

impl Look<'_> {
    /// Reads what has become of a pod.
    pub(crate) fn at(&self, pod: &OrderPod) -> AttemptState {
        let lost = pod.node.as_ref().is_some_and(|node| self.lost_nodes.contains(node));
        let node = if lost { NodeState::Lost } else { NodeState::Answers };
        observe(pod, node, self.settings, self.now)
    }

    fn at_work<'a>(&self, pod: &'a Arc<OrderPod>, state: AttemptState) -> CurrentAttempt<'a> {
        let subject = self.subject(&state);
        if let (AttemptState::Ended(end), Some(subject)) = (&state, &subject) {
            let number = self.after_evaluation() + 1;
            let next = NextEvaluation { number, not_before: None, subject: subject.clone() };
            return CurrentAttempt {
                pod,
                work: Some(pod),
                state: judging(Some(end.finished), None),
                subject: Some(subject.clone()),
                next: Some(next),
                remains: Remains::Nothing,
            };
        }
        let state = match self.exhausted {
            Some(what) => state.without_money(what),
            None => state,
        };
        let remains = remains(&state);
        CurrentAttempt { pod, work: Some(pod), state, subject, next: None, remains }
    }

    fn at_evaluation<'a>(
        &self,
        pod: &'a Arc<OrderPod>,
        work: Option<(&'a Arc<OrderPod>, AttemptState)>,
    ) -> CurrentAttempt<'a> {
        let known = self.again.map(|again| again.subject.clone());
        let subject = work.as_ref().and_then(|(_, state)| self.subject(state)).or(known);
        let (work, worked) = match work {
            Some((pod, AttemptState::Ended(end))) => (Some(pod), Some(end)),
            Some((pod, AttemptState::Active(_) | AttemptState::Ending)) => (Some(pod), None),
            None => (None, None),
        };
        let state = self.at(pod);
        let gone_by_suspension = self.shown == Some(WorldStage::Suspended) && pod.presence != Presence::Present;
        let (state, next) = match (state, &subject) {
            (AttemptState::Ended(end), Some(subject)) if gone_by_suspension && end.result.is_none() => {
                // A pod that the suspension has ended costs no evaluation. Its name is free once it is gone.
                let next = NextEvaluation { number: pod.number, not_before: None, subject: subject.clone() };
                let is_gone = pod.presence == Presence::Gone;
                (if is_gone { judging(None, None) } else { AttemptState::Ending }, is_gone.then_some(next))
            }
            (AttemptState::Ended(end), subject) => self.after(pod, *end, worked.as_deref(), subject.as_ref()),
            (AttemptState::Active(active), _) => {
                let since = active.since.or(Some(pod.created));
                (AttemptState::Active(ActiveAttempt { stage: WorldStage::Evaluating, since, ..active }), None)
            }
            (AttemptState::Ending, _) => (AttemptState::Ending, None),
        };
        let remains = match &next {
            Some(_) => self.remains_of_failed(pod),
            None => remains(&state),
        };
        CurrentAttempt { pod, work, state, subject, next, remains }
    }

    /// Returns whether the pod of an evaluation that another one follows has to be removed. Who has been told to go is told once.
    fn remains_of_failed(&self, pod: &OrderPod) -> Remains {
        match remains(&self.at(pod)) {
            Remains::Pod if pod.presence != Presence::Present => Remains::Nothing,
            remains => remains,
        }
    }

    /// Returns what follows the end of an evaluation: the end of the attempt, or another evaluation.
    fn after(
        &self,
        pod: &OrderPod,
        mut end: AttemptEnd,
        worked: Option<&AttemptEnd>,
        subject: Option<&Subject>,
    ) -> (AttemptState, Option<NextEvaluation>) {
        // The evaluations before a request do not count, so each request has as many as an attempt has at first.
        let count = pod.number - self.after_evaluation();
        let follows = end.failure.as_ref().zip(subject).map(|(failure, subject)| {
            let pod_conditions = pod.conditions.as_slice();
            let failed = Failure { class: failure.class, exit_code: None, pod_conditions, finished: end.finished };
            (failure, subject, after_evaluation(self.retry, failed, count))
        });
        match follows {
            Some((failure, subject, AfterEvaluation::Again { delay })) => {
                let not_before = last_moment(pod) + delay;
                let trouble = trouble(failure, count, not_before);
                let next =
                    NextEvaluation { number: pod.number + 1, not_before: Some(not_before), subject: subject.clone() };
                return (judging(Some(last_moment(pod)), Some(trouble)), Some(next));
            }
            Some((_, _, AfterEvaluation::Exhausted)) => end.anew = Anew::Never,
            // Who asks for another judgement does not ask for other work.
            Some((_, _, AfterEvaluation::Attempt)) if self.again.is_some() => end.anew = Anew::Never,
            Some((_, _, AfterEvaluation::Attempt)) | None => {}
        }
        end.evaluations = pod.number;
        if let Some(worked) = worked {
            end.collection.clone_from(&worked.collection);
            end.started = worked.started.or(end.started);
            end.worker = worked.worker.clone().or(end.worker);
            end.base_commit = worked.base_commit.clone().or(end.base_commit);
        }
        (AttemptState::Ended(Box::new(end)), None)
    }

    /// Returns the number of the last evaluation that counts no more.
    fn after_evaluation(&self) -> i32 {
        self.again.map_or(0, |again| again.after)
    }

    /// Returns what can be judged of a pod that worked, or of the World where it is judged again.
    fn subject(&self, worked: &AttemptState) -> Option<Subject> {
        subject(worked).or_else(|| self.again.map(|again| again.subject.clone()))
    }
}

/// Returns what can be judged of a pod that worked.
fn subject(state: &AttemptState) -> Option<Subject> {
    let AttemptState::Ended(end) = state else { return None };
    end.collection.as_ref()?;
    Some(Subject { base_commit: end.base_commit.clone()?, worker: end.worker.clone() })
}

/// Returns an attempt that is being judged while none of its pods runs.
const fn judging(since: Option<Timestamp>, trouble: Option<Trouble>) -> AttemptState {
    AttemptState::Active(ActiveAttempt { stage: WorldStage::Evaluating, since, trouble, give_up: None })
}

/// Says of an evaluation that failed why, and when the next one begins.
fn trouble(failure: &AttemptFailure, number: i32, not_before: Timestamp) -> Trouble {
    let message = format!(
        "evaluation {number} of at most {MOST_EVALUATIONS} failed: {}; the next one begins at {not_before:.0}",
        failure.message
    );
    Trouble { reason: Reason::AwaitingRetry, message: shortened(&message, 4096) }
}

/// Returns the last moment at which something is known to have happened to a pod. It does not change from one look to the next.
pub(crate) fn last_moment(pod: &OrderPod) -> Timestamp {
    let moments = pod.stages.in_order().flat_map(|(_, state)| [state.started(), state.finished()]).flatten();
    moments.max().unwrap_or(pod.created).max(pod.created)
}

fn remains(state: &AttemptState) -> Remains {
    match state {
        AttemptState::Ended(end) => end.remains,
        AttemptState::Active(_) | AttemptState::Ending => Remains::Nothing,
    }
}
