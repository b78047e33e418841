//! What the order's status says next, and whether that is worth a write now.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use manyworlds_api::conditions::{OrderCondition, Reason, Truth, condition, set, shortened};
use manyworlds_api::work_order::{ArtifactCounts, RankedWorld, Usage, WorldCounts};
use manyworlds_api::world::WorldStage;
use manyworlds_api::{Money, WorkOrderStatus};

use super::again;
use super::course::End;
use super::progress::progress;
use crate::plan::{Event, EventKind, OrderOutcome, Plan, StatusChange};
use crate::policy::deadlines::{active_seconds, is_held, signed};
use crate::policy::fallback::{self, Conclusion, Standing};
use crate::policy::ranking::{Candidate, compare};
use crate::snapshot::{Grant, Snapshot};
use crate::world::{Phase, WorldStep};

/// The most bytes of a message that joins what many Worlds say.
const LONGEST_MESSAGE: usize = 2048;
/// The most bytes of an Event's message that the API server takes, and some to spare.
const LONGEST_EVENT: usize = 1000;

type Line<'a> = (OrderCondition, Truth, Reason, &'a str);

/// The status of an order whose predecessor's Worlds are still being removed.
pub(super) fn awaiting_cleanup(snapshot: &Snapshot, steps: &[WorldStep<'_>], plan: &mut Plan) {
    let message = "Worlds of an earlier order of the same name are still being removed";
    let mut status = base(snapshot, steps, &[]);
    status.summary = Some(Reason::AwaitingCleanup.as_str().to_owned());
    status.message = Some(message.to_owned());
    let lines: [Line<'_>; 3] = [
        (OrderCondition::Admitted, Truth::False, Reason::AwaitingCleanup, message),
        (OrderCondition::Succeeded, Truth::Unknown, Reason::AwaitingCleanup, message),
        (OrderCondition::Finished, Truth::False, Reason::InProgress, ""),
    ];
    set_all(&mut status, snapshot, &lines);
    put(snapshot, StatusChange::quiet(status), plan);
}

/// The status of an order that cannot begin until somebody does something.
pub(super) fn awaiting(snapshot: &Snapshot, steps: &[WorldStep<'_>], why: (Reason, &str), plan: &mut Plan) {
    let (reason, message) = why;
    let mut status = base(snapshot, steps, &[]);
    status.summary = Some(reason.as_str().to_owned());
    status.message = Some(shortened(message, LONGEST_MESSAGE));
    let lines: [Line<'_>; 4] = [
        (OrderCondition::Admitted, Truth::False, reason, message),
        (OrderCondition::Succeeded, Truth::Unknown, reason, message),
        (OrderCondition::Stalled, Truth::True, reason, message),
        (OrderCondition::Finished, Truth::False, Reason::InProgress, ""),
    ];
    set_all(&mut status, snapshot, &lines);
    put(snapshot, StatusChange::quiet(status), plan);
}

/// The status of an order that is held: suspended, or without money.
pub(super) fn held(snapshot: &Snapshot, steps: &[WorldStep<'_>], why: (Reason, &str), plan: &mut Plan) {
    let (reason, message) = why;
    let mut status = base(snapshot, steps, &[]);
    if !is_held(&status) {
        status.active_seconds_before_suspension = Some(active_seconds(&status, snapshot.now));
        status.resume_time = None;
    }
    status.summary = Some(reason.as_str().to_owned());
    status.message = Some(message.to_owned());
    let lines: [Line<'_>; 3] = [
        (OrderCondition::Admitted, Truth::False, reason, message),
        (OrderCondition::Succeeded, Truth::Unknown, reason, message),
        (OrderCondition::Finished, Truth::False, Reason::InProgress, ""),
    ];
    set_all(&mut status, snapshot, &lines);
    put(snapshot, StatusChange::quiet(status), plan);
}

/// The status of an order that goes on.
pub(super) fn active(snapshot: &Snapshot, steps: &[WorldStep<'_>], starting: &[usize], grant: Grant, plan: &mut Plan) {
    let mut status = base(snapshot, steps, starting);
    if is_held(&status) {
        status.resume_time = Some(Time(snapshot.now));
    }
    let mut events = Vec::new();
    let started = !starting.is_empty() || steps.iter().any(|step| step.world.is_some());
    if started && status.start_time.is_none() {
        status.start_time = Some(Time(snapshot.now));
        events.push(Event {
            kind: EventKind::Normal,
            reason: Reason::WorldsStarted,
            action: "Start",
            message: format!("started {} of {} Worlds", starting.len(), steps.len()),
        });
    }
    let (reason, message) = progress(snapshot, steps, &status, grant);
    let stalled = matches!(reason, Reason::NoNodeFits | Reason::Unschedulable | Reason::ImagePullFailed);
    let admitted: Line<'_> = if started {
        (OrderCondition::Admitted, Truth::True, Reason::Admitted, "")
    } else {
        (OrderCondition::Admitted, Truth::False, reason, &message)
    };
    let worlds: Line<'_> = if started {
        (OrderCondition::WorldsStarted, Truth::True, Reason::WorldsStarted, "")
    } else {
        (OrderCondition::WorldsStarted, Truth::False, reason, "")
    };
    let mut lines = vec![
        admitted,
        worlds,
        (OrderCondition::Succeeded, Truth::Unknown, reason, message.as_str()),
        (OrderCondition::Finished, Truth::False, Reason::InProgress, ""),
    ];
    let known = status.conditions.iter().any(|condition| condition.type_ == OrderCondition::Stalled.as_str());
    if stalled {
        lines.push((OrderCondition::Stalled, Truth::True, reason, &message));
    } else if known {
        lines.push((OrderCondition::Stalled, Truth::False, Reason::InProgress, ""));
    }
    set_all(&mut status, snapshot, &lines);
    if matches!(reason, Reason::RateLimited | Reason::ProviderUnavailable)
        && status.summary.as_deref() != Some(reason.as_str())
    {
        let message = shortened(&message, LONGEST_EVENT);
        events.push(Event { kind: EventKind::Warning, reason, action: "Wait", message });
    }
    status.summary = Some(if reason == Reason::InProgress { "Running".to_owned() } else { reason.as_str().to_owned() });
    status.message = Some(message);
    put(snapshot, StatusChange { status, events, outcome: None }, plan);
}

/// The status of an order that has ended.
pub(super) fn ended(snapshot: &Snapshot, steps: &[WorldStep<'_>], end: &End, plan: &mut Plan) {
    let mut status = base(snapshot, steps, &[]);
    let counts = &mut status.worlds;
    counts.cut += counts.pending;
    counts.pending = 0;
    counts.summary = Some(format!("{0}/{0}", steps.len()));
    let Verdict { won, succeeded, reason, message } = verdict(snapshot, steps, end, &status);
    if won == Truth::True {
        status.winner = status.ranking.first().map(|ranked| ranked.world.clone());
    }
    let outcome = match (succeeded, reason) {
        (_, Reason::Cancelled) => OrderOutcome::Cancelled,
        (_, Reason::Skipped) => OrderOutcome::Skipped,
        (Truth::True, _) => OrderOutcome::Succeeded,
        (Truth::False | Truth::Unknown, _) => OrderOutcome::Failed,
    };
    status.summary = Some(outcome.as_str().to_owned());
    status.completion_time = Some(Time(snapshot.now));
    let started = if steps.iter().any(|step| step.world.is_some()) { Truth::True } else { Truth::False };
    let worlds_reason = if started == Truth::True { Reason::WorldsStarted } else { reason };
    let evaluated = match end {
        End::Judged { reason } => (OrderCondition::Evaluated, Truth::True, *reason, ""),
        End::Failed { reason, .. } => (OrderCondition::Evaluated, Truth::False, *reason, ""),
    };
    let lines: [Line<'_>; 6] = [
        (OrderCondition::Admitted, started, if started == Truth::True { Reason::Admitted } else { reason }, ""),
        (OrderCondition::WorldsStarted, started, worlds_reason, ""),
        evaluated,
        (OrderCondition::WinnerSelected, won, reason, &message),
        (OrderCondition::Succeeded, succeeded, reason, &message),
        (OrderCondition::Finished, Truth::True, reason, &message),
    ];
    status.conditions.retain(|condition| condition.type_ != OrderCondition::Stalled.as_str());
    set_all(&mut status, snapshot, &lines);
    let event = Event {
        kind: if succeeded == Truth::True { EventKind::Normal } else { EventKind::Warning },
        reason,
        action: "Finish",
        message: shortened(&message, LONGEST_EVENT),
    };
    status.message = Some(message);
    put(snapshot, StatusChange { status, events: vec![event], outcome: Some(outcome) }, plan);
}

/// What an ended order comes to.
struct Verdict {
    won: Truth,
    succeeded: Truth,
    reason: Reason,
    message: String,
}

fn verdict(snapshot: &Snapshot, steps: &[WorldStep<'_>], end: &End, status: &WorkOrderStatus) -> Verdict {
    let lost = |reason, message| Verdict { won: Truth::False, succeeded: Truth::False, reason, message };
    let stopped = match end {
        End::Failed { reason, message } => return lost(*reason, message.clone()),
        End::Judged { reason } => *reason,
    };
    let standing = again::standing(snapshot, steps);
    let (eligible, min) = (standing.eligible, standing.min);
    let won = |reason, message| Verdict { won: Truth::True, succeeded: Truth::True, reason, message };
    match fallback::conclude(&snapshot.order.spec.fallbacks, standing) {
        Conclusion::Won => won(Reason::HighestScore, winner_message(status, steps.len())),
        Conclusion::AcceptedPartially => {
            let accepted = format!("; worlds.min asks for {min}, and acceptPartialSuccess takes {eligible}");
            won(Reason::PartialSuccess, winner_message(status, steps.len()) + &accepted)
        }
        Conclusion::Skipped => {
            let message = lost_message(stopped, steps, status, standing);
            let message = shortened(&format!("skipped without a winner: {message}"), LONGEST_MESSAGE);
            Verdict { won: Truth::False, succeeded: Truth::True, reason: Reason::Skipped, message }
        }
        Conclusion::Lost => lost(lost_reason(stopped), lost_message(stopped, steps, status, standing)),
    }
}

fn winner_message(status: &WorkOrderStatus, all: usize) -> String {
    let Some(winner) = status.ranking.first() else { return String::new() };
    let score = winner.score.unwrap_or_default();
    let scored = status.worlds.scored;
    format!("World {} won with {score} of 100; {scored} of {all} Worlds have a score", winner.world)
}

const fn lost_reason(reason: Reason) -> Reason {
    match reason {
        Reason::ActiveDeadlineExceeded | Reason::BudgetExhausted => reason,
        _ => Reason::NoEligibleWorld,
    }
}

fn lost_message(reason: Reason, steps: &[WorldStep<'_>], status: &WorkOrderStatus, standing: Standing) -> String {
    let Standing { eligible, min, .. } = standing;
    let each: Vec<String> =
        status.ranking.iter().map(|ranked| format!("{}: {}", ranked.world, ranked.reason)).collect();
    let late = match reason {
        Reason::ActiveDeadlineExceeded => "deadlines.active passed; ",
        Reason::BudgetExhausted => "the budget is used up; ",
        _ => "",
    };
    let count = if eligible == 0 {
        format!("none of {} Worlds is eligible", steps.len())
    } else {
        format!("{eligible} of {} Worlds are eligible, and worlds.min asks for {min}", steps.len())
    };
    shortened(&format!("{late}{count}. {}", each.join("; ")), LONGEST_MESSAGE)
}

/// Returns the status as it was, with everything counted anew.
fn base(snapshot: &Snapshot, steps: &[WorldStep<'_>], starting: &[usize]) -> WorkOrderStatus {
    let mut status = snapshot.order.status.clone().unwrap_or_default();
    status.observed_generation = snapshot.order.metadata.generation;
    status.worlds = counts(steps, starting);
    status.ranking = ranking(steps);
    status.best = status.ranking.first().filter(|best| best.score.is_some()).cloned();
    let attempts: i32 = steps.iter().map(|step| step.status.attempt_count).sum();
    let running = steps.iter().filter(|step| step.phase == Phase::Active).count() + starting.len();
    status.attempts = attempts + i32::try_from(running).unwrap_or(i32::MAX);
    if status.base_commit.is_none() {
        status.base_commit = steps.iter().find_map(|step| step.status.base_commit.clone());
    }
    status.artifacts = artifacts(steps);
    if !snapshot.models.usage.is_empty() {
        status.usage = Some(total(snapshot.models.usage.values()));
    }
    status
}

fn total<'a>(all: impl Iterator<Item = &'a Usage>) -> Usage {
    let mut sum = Usage::default();
    for usage in all {
        sum.cost = Money::from_trillionths(sum.cost.trillionths().saturating_add(usage.cost.trillionths()));
        sum.input_tokens = sum.input_tokens.saturating_add(usage.input_tokens);
        sum.output_tokens = sum.output_tokens.saturating_add(usage.output_tokens);
        sum.cached_tokens = sum.cached_tokens.saturating_add(usage.cached_tokens);
        sum.calls = sum.calls.saturating_add(usage.calls);
    }
    sum
}

fn counts(steps: &[WorldStep<'_>], starting: &[usize]) -> WorldCounts {
    let mut counts = WorldCounts::default();
    for step in steps {
        let counter = match (step.phase, step.status.stage) {
            (Phase::Ended, Some(WorldStage::Scored)) => &mut counts.scored,
            (Phase::Ended, Some(WorldStage::Cut)) => &mut counts.cut,
            (Phase::Ended, _) => &mut counts.failed,
            (Phase::Active, _) => &mut counts.running,
            (Phase::Unopened | Phase::Idle { .. }, _) if starting.contains(&step.index) => &mut counts.running,
            (Phase::Unopened | Phase::Idle { .. }, _) => &mut counts.pending,
        };
        *counter += 1;
    }
    let ended = counts.scored + counts.failed + counts.cut;
    counts.summary = Some(format!("{ended}/{}", steps.len()));
    counts
}

/// Ranks the Worlds that have ended, the best first.
fn ranking(steps: &[WorldStep<'_>]) -> Vec<RankedWorld> {
    let mut ended: Vec<(Candidate, &WorldStep<'_>)> = steps
        .iter()
        .filter(|step| step.phase == Phase::Ended)
        .map(|step| {
            let candidate = Candidate {
                name: step.variant.name.clone(),
                eligible: step.eligible(),
                score: step.status.score.as_ref().map(|score| score.total),
                changed_lines: step.status.diff.map_or(0, manyworlds_api::result::DiffStatistics::changed_lines),
                cost: step.status.usage.as_ref().map_or(Money::default(), |usage| usage.cost),
            };
            (candidate, step)
        })
        .collect();
    ended.sort_by(|(left, _), (right, _)| compare(left, right));
    ended
        .into_iter()
        .map(|(candidate, step)| RankedWorld {
            world: candidate.name,
            score: candidate.score,
            eligible: candidate.eligible,
            votes: None,
            reason: shortened(step.status.message.as_deref().unwrap_or_default(), 256),
        })
        .collect()
}

fn artifacts(steps: &[WorldStep<'_>]) -> Option<ArtifactCounts> {
    let digests = || steps.iter().flat_map(|step| &step.status.artifacts);
    let count = i32::try_from(digests().count()).unwrap_or(i32::MAX);
    (count > 0).then(|| ArtifactCounts { count, bytes: digests().map(|digest| digest.bytes).sum() })
}

fn set_all(status: &mut WorkOrderStatus, snapshot: &Snapshot, lines: &[Line<'_>]) {
    let generation = snapshot.order.metadata.generation;
    for &(kind, truth, reason, message) in lines {
        let message = shortened(message, LONGEST_MESSAGE);
        set(&mut status.conditions, condition(kind.as_str(), truth, reason, &message, generation, snapshot.now));
    }
}

/// Puts the status into the plan when it is worth a write now, else notes when it will be.
///
/// - **Guarantees:** one write for each change of a condition, and for each Event; counts and texts alone wait for
///   `progress_interval`, and longer where other orders have something to show too.
fn put(snapshot: &Snapshot, change: StatusChange, plan: &mut Plan) {
    let old = snapshot.order.status.clone().unwrap_or_default();
    if old == change.status {
        return;
    }
    if is_significant(&old, &change.status) || !change.events.is_empty() {
        plan.status = Some(Box::new(change));
        return;
    }
    let interval = signed(snapshot.settings.progress_interval);
    match snapshot.status_written.map(|written| written + interval) {
        Some(due) if due > snapshot.now => plan.next_check = Some(due),
        _ if plan.progress_writes >= snapshot.progress_writes => plan.next_check = Some(snapshot.now + interval),
        _ => {
            plan.progress_writes += 1;
            plan.status = Some(Box::new(change));
        }
    }
}

fn is_significant(old: &WorkOrderStatus, new: &WorkOrderStatus) -> bool {
    let words = |conditions: &[Condition]| -> Vec<(String, String, String)> {
        conditions
            .iter()
            .map(|condition| (condition.type_.clone(), condition.status.clone(), condition.reason.clone()))
            .collect()
    };
    new.is_finished()
        || words(&old.conditions) != words(&new.conditions)
        || old.summary != new.summary
        || old.observed_generation != new.observed_generation
}
