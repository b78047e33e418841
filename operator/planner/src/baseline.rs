//! The state of an order's baseline: what its gates give at the commit that all Worlds start from, judged once for all of them.
//!
//! ```text
//! base stored -> pod 1 -> judged
//!                  | failed: the cluster, or a result that cannot be read
//!                  +-> pod 2 -> ...
//! ```

use std::sync::Arc;

use jiff::Timestamp;
use manyworlds_api::WorkOrderStatus;
use manyworlds_api::conditions::{Reason, shortened};
use manyworlds_api::work_order::{BaselineState, BaselineStatus, Evaluation};

use crate::attempt::{AttemptEnd, AttemptFailure, AttemptState, Remains, Trouble};
use crate::attempt_pods::{Look, last_moment};
use crate::observation::{OrderPod, Presence};
use crate::policy::baseline::{is_wanted, judged, obstacle};
use crate::policy::deadlines::is_held;
use crate::policy::retry::{AfterEvaluation, Failure, MOST_EVALUATIONS, after_evaluation};
use crate::role::BASELINE;
use crate::snapshot::ValidSnapshot;

/// The most bytes of a sentence on a baseline, as the schema of the status has it.
const LONGEST_MESSAGE: usize = 1024;

/// The baseline of an order.
#[derive(Clone, Debug)]
pub(crate) struct Baseline<'a> {
    /// Its newest pod.
    pub(crate) pod: Option<&'a Arc<OrderPod>>,
    /// Whether that pod has to be removed.
    pub(crate) remains: Remains,
    /// How far it is.
    stage: BaselineStage,
}

/// How far a baseline is.
#[derive(Clone, Debug)]
enum BaselineStage {
    /// The order has none: no gate of it has a command.
    NotWanted,
    /// Nobody has stored the base yet.
    AwaitsBase,
    /// It is to be judged in another pod.
    Next(NextBaseline),
    /// Its pod is there.
    Judging {
        /// The trouble that keeps the pod from starting.
        trouble: Option<Trouble>,
        /// The time at which it is given up if it has not started.
        give_up: Option<Timestamp>,
    },
    /// Its gates have run.
    Judged(BaselineStatus),
    /// It cannot be judged, for this reason.
    Failed(String),
}

/// A pod of a baseline that is to come.
#[derive(Clone, Debug)]
pub(crate) struct NextBaseline {
    /// Its number, from 1.
    pub(crate) number: i32,
    /// The time from which it may begin; absent where nothing is waited for.
    pub(crate) not_before: Option<Timestamp>,
    /// The commit that is judged.
    pub(crate) base_commit: String,
    /// What became of the pod before it.
    failed: Option<String>,
}

impl<'a> Baseline<'a> {
    /// Reads what has become of the baseline of an order.
    ///
    /// - **Shape:** `base_commit` is the base, once it is stored.
    /// - **Guarantees:** what is recorded stays, whatever becomes of its pod.
    pub(crate) fn of(snapshot: &'a ValidSnapshot, look: &Look<'_>, base_commit: Option<String>) -> Self {
        let order = &snapshot.order;
        let status = order.status.as_ref();
        let recorded = status.and_then(|status| status.baseline.as_ref());
        let recorded = recorded.filter(|baseline| baseline.state == BaselineState::Judged);
        let own = snapshot.pods.iter().filter(|pod| is_of(pod, order.uid().as_str()));
        let pod = own.max_by_key(|pod| pod.number);
        let evaluation = &order.spec.evaluation;
        let (stage, remains) = match (recorded, pod) {
            _ if !is_wanted(evaluation) => (BaselineStage::NotWanted, Remains::Nothing),
            (Some(recorded), _) => (BaselineStage::Judged(recorded.clone()), Remains::Nothing),
            (None, Some(pod)) => at_pod(evaluation, look, status, (pod, base_commit)),
            (None, None) => (next(base_commit, 1, None, None), Remains::Nothing),
        };
        Self { pod, remains, stage }
    }

    /// Returns whether Worlds may be judged: it is, or there is none.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.stage, BaselineStage::NotWanted | BaselineStage::Judged(_))
    }

    /// Returns the pod that comes next.
    pub(crate) const fn next(&self) -> Option<&NextBaseline> {
        if let BaselineStage::Next(next) = &self.stage { Some(next) } else { None }
    }

    /// Returns what keeps its pod from starting.
    pub(crate) const fn trouble(&self) -> Option<&Trouble> {
        if let BaselineStage::Judging { trouble, .. } = &self.stage { trouble.as_ref() } else { None }
    }

    /// Returns the time at which its pod is given up if it has not started.
    pub(crate) const fn give_up(&self) -> Option<Timestamp> {
        if let BaselineStage::Judging { give_up, .. } = &self.stage { *give_up } else { None }
    }

    /// Returns why the order cannot go on, and what to do.
    pub(crate) fn obstacle(&self) -> Option<(Reason, String)> {
        match &self.stage {
            BaselineStage::Judged(status) => Some((Reason::GateCannotRun, obstacle(&status.gates)?)),
            BaselineStage::Failed(message) => Some((Reason::BaselineFailed, message.clone())),
            BaselineStage::NotWanted
            | BaselineStage::AwaitsBase
            | BaselineStage::Next(_)
            | BaselineStage::Judging { .. } => None,
        }
    }

    /// Returns what the order's status says of it for good.
    pub(crate) fn settled(&self) -> Option<BaselineStatus> {
        match &self.stage {
            BaselineStage::Judged(status) => Some(status.clone()),
            BaselineStage::Failed(message) => Some(unjudged(BaselineState::Failed, Some(message.clone()))),
            BaselineStage::NotWanted
            | BaselineStage::AwaitsBase
            | BaselineStage::Next(_)
            | BaselineStage::Judging { .. } => None,
        }
    }

    /// Returns what the status of an order that goes on says of it.
    pub(crate) fn shown(&self) -> Option<BaselineStatus> {
        match &self.stage {
            BaselineStage::Judging { trouble, .. } => {
                let message = trouble.as_ref().map(|trouble| shortened(&trouble.message, LONGEST_MESSAGE));
                Some(unjudged(BaselineState::Judging, message))
            }
            BaselineStage::Next(NextBaseline { failed: Some(failed), .. }) => {
                Some(unjudged(BaselineState::Judging, Some(failed.clone())))
            }
            BaselineStage::NotWanted
            | BaselineStage::AwaitsBase
            | BaselineStage::Next(NextBaseline { failed: None, .. })
            | BaselineStage::Judged(_)
            | BaselineStage::Failed(_) => self.settled(),
        }
    }
}

fn unjudged(state: BaselineState, message: Option<String>) -> BaselineStatus {
    BaselineStatus { state, message, gates: Vec::new(), warnings: Vec::new() }
}

/// Returns whether a pod judges the base of the order with a uid.
fn is_of(pod: &OrderPod, order_uid: &str) -> bool {
    pod.role().name == BASELINE.name && pod.owner.uid == order_uid
}

fn next(
    base_commit: Option<String>,
    number: i32,
    not_before: Option<Timestamp>,
    failed: Option<String>,
) -> BaselineStage {
    match base_commit {
        Some(base_commit) => BaselineStage::Next(NextBaseline { number, not_before, base_commit, failed }),
        None => BaselineStage::AwaitsBase,
    }
}

/// Reads how far a baseline is from its newest pod, and whether that pod has to be removed.
fn at_pod(
    evaluation: &Evaluation,
    look: &Look<'_>,
    status: Option<&WorkOrderStatus>,
    (pod, base_commit): (&OrderPod, Option<String>),
) -> (BaselineStage, Remains) {
    let end = match look.at(pod) {
        AttemptState::Active(active) => {
            let (trouble, give_up) = (active.trouble, active.give_up);
            return (BaselineStage::Judging { trouble, give_up }, Remains::Nothing);
        }
        AttemptState::Ending => {
            return (BaselineStage::Judging { trouble: None, give_up: None }, Remains::Nothing);
        }
        AttemptState::Ended(end) => end,
    };
    if let Some(result) = &end.result {
        return (BaselineStage::Judged(judged(evaluation, result)), end.remains);
    }
    if pod.presence != Presence::Present && status.is_some_and(|status| was_held(pod, status)) {
        // A pod that a suspension has ended is not counted. Its name is free once it is gone.
        let stage = match pod.presence {
            Presence::Gone => next(base_commit, pod.number, None, None),
            Presence::Present | Presence::Terminating => BaselineStage::Judging { trouble: None, give_up: None },
        };
        return (stage, Remains::Nothing);
    }
    after(look, pod, &end, base_commit)
}

/// Returns whether an order is held, or was after one of its pods was made.
fn was_held(pod: &OrderPod, status: &WorkOrderStatus) -> bool {
    is_held(status) || status.resume_time.as_ref().is_some_and(|resumed| pod.created < resumed.0)
}

/// Returns what follows a pod that has failed.
fn after(look: &Look<'_>, pod: &OrderPod, end: &AttemptEnd, base_commit: Option<String>) -> (BaselineStage, Remains) {
    // Who has been told to go is told once.
    let is_told = end.remains == Remains::Pod && pod.presence != Presence::Present;
    let remains = if is_told { Remains::Nothing } else { end.remains };
    let Some(failure) = &end.failure else { return (BaselineStage::AwaitsBase, remains) };
    let pod_conditions = pod.conditions.as_slice();
    let failed = Failure { class: failure.class, exit_code: None, pod_conditions, finished: end.finished };
    let stage = match after_evaluation(look.retry, failed, pod.number) {
        AfterEvaluation::Again { delay } => {
            let not_before = last_moment(pod) + delay;
            let said = trying_again(failure, pod.number, not_before);
            next(base_commit, pod.number + 1, Some(not_before), Some(said))
        }
        AfterEvaluation::Exhausted => {
            BaselineStage::Failed(given_up(failure, &format!(" in {MOST_EVALUATIONS} tries")))
        }
        AfterEvaluation::Attempt => BaselineStage::Failed(given_up(failure, "")),
    };
    (stage, remains)
}

fn trying_again(failure: &AttemptFailure, number: i32, not_before: Timestamp) -> String {
    let message = format!(
        "try {number} of at most {MOST_EVALUATIONS} to run the gates at the base failed: {}; the next one begins at {not_before:.0}",
        failure.message
    );
    shortened(&message, LONGEST_MESSAGE)
}

fn given_up(failure: &AttemptFailure, tries: &str) -> String {
    let message = format!(
        "the gates could not be run at the base{tries}: {}; correct that, and make the order again",
        failure.message
    );
    shortened(&message, LONGEST_MESSAGE)
}
