//! Which way an order goes: the first of the reasons to stop that applies, else on.

use jiff::Timestamp;
use manyworlds_api::conditions::Reason;
use manyworlds_api::work_order::BudgetExceeded;

use crate::policy::{deadlines, support};
use crate::quantity::QuantityError;
use crate::snapshot::{Exhausted, Snapshot};
use crate::support::Earliest;
use crate::world::{Phase, WorldStep};

/// Which way an order goes.
#[derive(Debug)]
pub(super) enum Course {
    /// Nothing is done: the order is being deleted.
    Leave,
    /// It is over; it is deleted at that time, where it has one.
    Expire(Option<Timestamp>),
    /// Worlds of an earlier order of the same name go first: name and uid of each.
    CleanUp(Vec<(String, String)>),
    /// It is suspended, or nothing is left of a budget.
    Hold(Hold),
    /// It cannot begin yet, for this reason and with this sentence.
    Await(Reason, String),
    /// It ends.
    End(End),
    /// It goes on.
    Go,
}

/// Why an order is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// A person suspended it.
    Suspended,
    /// Nothing is left of a budget, which is described here.
    BudgetExhausted(String),
}

impl Hold {
    /// Returns the reason and what people are told.
    pub(super) fn said(&self) -> (Reason, String) {
        match self {
            Self::Suspended => (
                Reason::Suspended,
                "the order is suspended; set spec.suspend to false, or use 'kubectl worlds resume'".to_owned(),
            ),
            Self::BudgetExhausted(what) => (
                Reason::BudgetExhausted,
                format!("{what} is used up; the order goes on by itself once it is raised or its next period begins"),
            ),
        }
    }
}

/// How an order ends.
#[derive(Debug)]
pub(super) enum End {
    /// Every World has ended, or enough results are good enough: the ranking decides.
    Judged {
        /// Why no more results are waited for.
        reason: Reason,
    },
    /// It fails whatever the Worlds have done.
    Failed {
        /// Why.
        reason: Reason,
        /// One sentence.
        message: String,
    },
}

impl End {
    /// Returns what is said to Worlds that are cut.
    pub(super) fn cut_message(&self) -> String {
        match self {
            Self::Judged { reason: Reason::ActiveDeadlineExceeded } => {
                "the order's active deadline has passed".to_owned()
            }
            Self::Judged { reason: Reason::BudgetExhausted } => "the budget is used up".to_owned(),
            Self::Judged { .. } => "there were enough good results before this World had one".to_owned(),
            Self::Failed { message, .. } => format!("the order ended: {message}"),
        }
    }
}

/// Chooses the course.
///
/// - **Guarantees:** terminal is terminal: a finished order is only ever deleted.
pub(super) fn choose(snapshot: &Snapshot, steps: &[WorldStep<'_>], size: Option<&QuantityError>) -> Course {
    let spec = &snapshot.order.spec;
    if snapshot.order.metadata.deletion_timestamp.is_some() {
        return Course::Leave;
    }
    if snapshot.order.is_finished() {
        return Course::Expire(super::expiry(snapshot));
    }
    let failed = |reason, message| Course::End(End::Failed { reason, message });
    if spec.cancel {
        return failed(Reason::Cancelled, "the order was cancelled".to_owned());
    }
    if let Some(message) = support::unsupported(spec) {
        return failed(Reason::NotSupported, message);
    }
    if let Some(message) = support::invalid(spec) {
        return failed(Reason::InvalidSpecification, message);
    }
    if let Some(error) = size {
        return failed(Reason::InvalidSpecification, format!("worlds.sizing.perWorld: {error}"));
    }
    let stale = stale_worlds(snapshot);
    if !stale.is_empty() {
        return Course::CleanUp(stale);
    }
    if let Some(step) = steps.iter().find(|step| step.fails_order()) {
        let said = step.status.message.as_deref().unwrap_or_default();
        let kind = reason_of(step).unwrap_or(Reason::OrderFailed);
        return failed(kind, format!("World {}: {said}", step.variant.name));
    }
    if steps.iter().all(|step| step.phase == Phase::Ended) {
        return Course::End(End::Judged { reason: Reason::AllWorldsEnded });
    }
    if enough(snapshot, steps) {
        return Course::End(End::Judged { reason: Reason::EarlyTermination });
    }
    if spec.suspend {
        return Course::Hold(Hold::Suspended);
    }
    if let Some(overdue) = overdue(snapshot, steps) {
        return overdue;
    }
    if let Some(Exhausted { what, on_exceeded }) = &snapshot.models.exhausted {
        return match on_exceeded {
            BudgetExceeded::Pause => Course::Hold(Hold::BudgetExhausted(what.clone())),
            BudgetExceeded::Stop => Course::End(End::Judged { reason: Reason::BudgetExhausted }),
        };
    }
    let begun = steps.iter().any(|step| step.world.is_some());
    match &snapshot.models.problem {
        Some(problem) if !begun => Course::Await(Reason::ModelUnavailable, problem.clone()),
        Some(_) | None => Course::Go,
    }
}

/// Returns whether Worlds may run again on this course: there is time and money for them.
pub(super) fn may_run_again(course: &Course, snapshot: &Snapshot, steps: &[WorldStep<'_>]) -> bool {
    match course {
        Course::Go => true,
        Course::End(End::Judged { reason: Reason::AllWorldsEnded }) => {
            let stopped = snapshot.models.exhausted.as_ref().map(|exhausted| exhausted.on_exceeded);
            stopped != Some(BudgetExceeded::Stop) && overdue(snapshot, steps).is_none()
        }
        _ => false,
    }
}

fn reason_of(step: &WorldStep<'_>) -> Option<Reason> {
    let kind = manyworlds_api::conditions::WorldCondition::Succeeded.as_str();
    let succeeded = step.status.conditions.iter().find(|condition| condition.type_ == kind)?;
    Reason::ALL.iter().copied().find(|reason| reason.as_str() == succeeded.reason)
}

/// Returns the Worlds that belong to an earlier order of the same name.
fn stale_worlds(snapshot: &Snapshot) -> Vec<(String, String)> {
    snapshot
        .worlds
        .iter()
        .filter(|world| Some(&world.spec.order.uid) != snapshot.order.metadata.uid.as_ref())
        .map(|world| (world.metadata.name.clone().unwrap_or_default(), world.metadata.uid.clone().unwrap_or_default()))
        .collect()
}

/// Returns whether the results so far are good enough to cut the rest.
fn enough(snapshot: &Snapshot, steps: &[WorldStep<'_>]) -> bool {
    let Some(early) = &snapshot.order.spec.early_termination else { return false };
    let mut eligible = steps.iter().filter(|step| step.eligible());
    let count = eligible.clone().count();
    let best = eligible.any(|step| {
        early.score.is_some_and(|least| step.status.score.as_ref().is_some_and(|score| score.total >= least))
    });
    let many = early.after_eligible.is_some_and(|least| usize::try_from(least).is_ok_and(|least| count >= least));
    let min = usize::try_from(snapshot.order.spec.worlds.min).unwrap_or(1);
    count >= min && (best || many)
}

fn overdue(snapshot: &Snapshot, steps: &[WorldStep<'_>]) -> Option<Course> {
    let order = &snapshot.order;
    let past = |deadline: Option<Timestamp>| deadline.is_some_and(|deadline| deadline <= snapshot.now);
    if has_started(snapshot, steps) {
        let status = order.status.clone().unwrap_or_default();
        return past(deadlines::active_deadline(order, &status))
            .then_some(Course::End(End::Judged { reason: Reason::ActiveDeadlineExceeded }));
    }
    past(deadlines::start_deadline(order)).then(|| {
        let message =
            "no World could be started before deadlines.start; raise it, free capacity, or raise the priority";
        Course::End(End::Failed { reason: Reason::StartDeadlineExceeded, message: message.to_owned() })
    })
}

fn has_started(snapshot: &Snapshot, steps: &[WorldStep<'_>]) -> bool {
    snapshot.order.status.as_ref().is_some_and(|status| status.start_time.is_some())
        || steps.iter().any(|step| step.world.is_some())
}

/// Notes when the next deadline of the order passes.
pub(super) fn note_deadlines(snapshot: &Snapshot, steps: &[WorldStep<'_>], earliest: &mut Earliest) {
    let order = &snapshot.order;
    if has_started(snapshot, steps) {
        let mut status = order.status.clone().unwrap_or_default();
        status.start_time.get_or_insert(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(snapshot.now));
        earliest.note_some(deadlines::active_deadline(order, &status));
    } else {
        earliest.note_some(deadlines::start_deadline(order));
    }
}
