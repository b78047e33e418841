//! The next status of the order, and whether that is worth a write now.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use manyworlds_api::conditions::{OrderCondition, Reason, Truth, condition, set, shortened};
use manyworlds_api::work_order::{
    ArtifactCounts, BaselineState, BaselineStatus, MOST_BUDGETS, RankedWorld, Usage, WorldCounts,
};
use manyworlds_api::world::WorldStage;
use manyworlds_api::{Money, WorkOrderStatus};

use super::assessment::Assessment;
use super::decision::End;
use super::fallback_run;
use super::progress::progress;
use crate::grant::Grant;
use crate::plan::{Event, EventKind, OrderOutcome, Plan, StatusChange};
use crate::policy::deadlines::{active_seconds, is_held, signed};
use crate::policy::fallback::{self, Conclusion, Eligibility};
use crate::policy::ranking::{Candidate, compare};
use crate::world::{Phase, WorldState};

/// The most bytes of a message that joins what many Worlds say.
const LONGEST_MESSAGE: usize = 2048;
/// The most bytes of an Event's message that the API server takes, and some to spare.
const LONGEST_EVENT: usize = 1000;

type ConditionLine<'a> = (OrderCondition, Truth, Reason, &'a str);

/// The status of an order whose predecessor's Worlds are still being removed.
pub(super) fn awaiting_cleanup(assessment: &Assessment<'_>, plan: &mut Plan) {
    let message = "Worlds of an earlier order of the same name are still being removed";
    let mut status = base(assessment, &[]);
    status.summary = Some(Reason::AwaitingCleanup.as_str().to_owned());
    status.message = Some(message.to_owned());
    let lines: [ConditionLine<'_>; 3] = [
        (OrderCondition::Admitted, Truth::False, Reason::AwaitingCleanup, message),
        (OrderCondition::Succeeded, Truth::Unknown, Reason::AwaitingCleanup, message),
        (OrderCondition::Finished, Truth::False, Reason::InProgress, ""),
    ];
    set_all(&mut status, assessment, &lines);
    put_status(assessment, StatusChange::quiet(status), plan);
}

/// The status of an order that cannot begin until somebody does something.
pub(super) fn awaiting(assessment: &Assessment<'_>, why: (Reason, &str), plan: &mut Plan) {
    let (reason, message) = why;
    let mut status = base(assessment, &[]);
    status.summary = Some(reason.as_str().to_owned());
    status.message = Some(shortened(message, LONGEST_MESSAGE));
    let lines: [ConditionLine<'_>; 4] = [
        (OrderCondition::Admitted, Truth::False, reason, message),
        (OrderCondition::Succeeded, Truth::Unknown, reason, message),
        (OrderCondition::Stalled, Truth::True, reason, message),
        (OrderCondition::Finished, Truth::False, Reason::InProgress, ""),
    ];
    set_all(&mut status, assessment, &lines);
    put_status(assessment, StatusChange::quiet(status), plan);
}

/// The status of an order that is held: suspended, or without money.
pub(super) fn held(assessment: &Assessment<'_>, why: (Reason, &str), plan: &mut Plan) {
    let (reason, message) = why;
    let mut status = base(assessment, &[]);
    if !is_held(&status) {
        status.active_seconds_before_suspension = Some(active_seconds(&status, assessment.snapshot.now));
        status.resume_time = None;
    }
    status.summary = Some(reason.as_str().to_owned());
    status.message = Some(message.to_owned());
    let lines: [ConditionLine<'_>; 3] = [
        (OrderCondition::Admitted, Truth::False, reason, message),
        (OrderCondition::Succeeded, Truth::Unknown, reason, message),
        (OrderCondition::Finished, Truth::False, Reason::InProgress, ""),
    ];
    set_all(&mut status, assessment, &lines);
    put_status(assessment, StatusChange::quiet(status), plan);
}

/// The status of an order that goes on.
pub(super) fn active(assessment: &Assessment<'_>, starting: &[usize], grant: Grant, plan: &mut Plan) {
    let mut status = base(assessment, starting);
    status.baseline = assessment.baseline.shown();
    note_budgets(&mut status, &assessment.snapshot.models.budgets);
    if is_held(&status) {
        status.resume_time = Some(Time(assessment.snapshot.now));
    }
    let mut events = Vec::new();
    let started = !starting.is_empty() || assessment.has_attempted();
    if started && status.start_time.is_none() {
        status.start_time = Some(Time(assessment.snapshot.now));
        events.push(Event {
            kind: EventKind::Normal,
            reason: Reason::WorldsStarted,
            action: "Start",
            message: format!("started {} of {} Worlds", starting.len(), assessment.worlds.len()),
        });
    }
    let (reason, message) = progress(assessment, &status, grant);
    let refused = assessment.snapshot.refusal.as_ref().and_then(|refusal| refusal.said(assessment.snapshot.now));
    let stalled = matches!(reason, Reason::NoNodeFits | Reason::Unschedulable | Reason::ImagePullFailed)
        || refused.is_some_and(|(refused, _)| refused == reason);
    let admitted: ConditionLine<'_> = if started {
        (OrderCondition::Admitted, Truth::True, Reason::Admitted, "")
    } else {
        (OrderCondition::Admitted, Truth::False, reason, &message)
    };
    let worlds: ConditionLine<'_> = if started {
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
    set_all(&mut status, assessment, &lines);
    if matches!(reason, Reason::RateLimited | Reason::ProviderUnavailable)
        && status.summary.as_deref() != Some(reason.as_str())
    {
        let message = shortened(&message, LONGEST_EVENT);
        events.push(Event { kind: EventKind::Warning, reason, action: "Wait", message });
    }
    status.summary = Some(if reason == Reason::InProgress { "Running".to_owned() } else { reason.as_str().to_owned() });
    status.message = Some(message);
    put_status(assessment, StatusChange { status, events, outcome: None }, plan);
}

/// The status of an order that has ended.
pub(super) fn ended(assessment: &Assessment<'_>, end: &End, plan: &mut Plan) {
    let mut status = base(assessment, &[]);
    let counts = &mut status.worlds;
    counts.cut += counts.pending;
    counts.pending = 0;
    counts.summary = Some(format!("{0}/{0}", assessment.worlds.len()));
    let Ending { won, succeeded, reason, message } = conclude(assessment, end, &status);
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
    status.completion_time = Some(Time(assessment.snapshot.now));
    let started = if assessment.worlds.iter().any(|state| state.world.is_some()) { Truth::True } else { Truth::False };
    let worlds_reason = if started == Truth::True { Reason::WorldsStarted } else { reason };
    let evaluated = match end {
        End::Judged { reason } => (OrderCondition::Evaluated, Truth::True, *reason, ""),
        End::Failed { reason, .. } => (OrderCondition::Evaluated, Truth::False, *reason, ""),
    };
    let lines: [ConditionLine<'_>; 6] = [
        (OrderCondition::Admitted, started, if started == Truth::True { Reason::Admitted } else { reason }, ""),
        (OrderCondition::WorldsStarted, started, worlds_reason, ""),
        evaluated,
        (OrderCondition::WinnerSelected, won, reason, &message),
        (OrderCondition::Succeeded, succeeded, reason, &message),
        (OrderCondition::Finished, Truth::True, reason, &message),
    ];
    status.conditions.retain(|condition| condition.type_ != OrderCondition::Stalled.as_str());
    set_all(&mut status, assessment, &lines);
    let event = Event {
        kind: if succeeded == Truth::True { EventKind::Normal } else { EventKind::Warning },
        reason,
        action: "Finish",
        message: shortened(&message, LONGEST_EVENT),
    };
    status.message = Some(message);
    put_status(assessment, StatusChange { status, events: vec![event], outcome: Some(outcome) }, plan);
}

/// The status of an order that has finished and stays so, where a request to judge Worlds again was refused.
pub(super) fn answered(assessment: &Assessment<'_>, plan: &mut Plan) {
    let Some(answer) = &assessment.answer else { return };
    let mut status = assessment.snapshot.order.status.clone().unwrap_or_default();
    status.observed_generation = assessment.snapshot.order.metadata.generation;
    status.reevaluation = Some(answer.status.clone());
    put_status(assessment, StatusChange::quiet(status), plan);
}

/// The result of an ended order.
struct Ending {
    won: Truth,
    succeeded: Truth,
    reason: Reason,
    message: String,
}

fn conclude(assessment: &Assessment<'_>, end: &End, status: &WorkOrderStatus) -> Ending {
    let lost = |reason, message| Ending { won: Truth::False, succeeded: Truth::False, reason, message };
    let stopped = match end {
        End::Failed { reason, message } => return lost(*reason, message.clone()),
        End::Judged { reason } => *reason,
    };
    let counts = fallback_run::eligibility(assessment);
    let (eligible, min) = (counts.eligible, counts.min);
    let won = |reason, message| Ending { won: Truth::True, succeeded: Truth::True, reason, message };
    match fallback::conclude(&assessment.snapshot.order.spec.fallbacks, counts) {
        Conclusion::Won => won(Reason::HighestScore, winner_message(status, assessment.worlds.len())),
        Conclusion::AcceptedPartially => {
            let accepted = format!("; worlds.min asks for {min}, and acceptPartialSuccess takes {eligible}");
            won(Reason::PartialSuccess, winner_message(status, assessment.worlds.len()) + &accepted)
        }
        Conclusion::Skipped => {
            let message = lost_message(stopped, &assessment.worlds, status, counts);
            let message = shortened(&format!("skipped without a winner: {message}"), LONGEST_MESSAGE);
            Ending { won: Truth::False, succeeded: Truth::True, reason: Reason::Skipped, message }
        }
        Conclusion::Lost => lost(lost_reason(stopped), lost_message(stopped, &assessment.worlds, status, counts)),
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

fn lost_message(reason: Reason, worlds: &[WorldState<'_>], status: &WorkOrderStatus, counts: Eligibility) -> String {
    let Eligibility { eligible, min, .. } = counts;
    let each: Vec<String> =
        status.ranking.iter().map(|ranked| format!("{}: {}", ranked.world, ranked.reason)).collect();
    let late = match reason {
        Reason::ActiveDeadlineExceeded => "deadlines.active passed; ",
        Reason::BudgetExhausted => "the budget is used up; ",
        _ => "",
    };
    let count = if eligible == 0 {
        format!("none of {} Worlds is eligible", worlds.len())
    } else {
        format!("{eligible} of {} Worlds are eligible, and worlds.min asks for {min}", worlds.len())
    };
    shortened(&format!("{late}{count}. {}", each.join("; ")), LONGEST_MESSAGE)
}

/// Returns the status as it was, with everything counted anew.
fn base(assessment: &Assessment<'_>, starting: &[usize]) -> WorkOrderStatus {
    let mut status = assessment.snapshot.order.status.clone().unwrap_or_default();
    status.observed_generation = assessment.snapshot.order.metadata.generation;
    status.worlds = counts(&assessment.worlds, starting);
    status.ranking = ranking(&assessment.worlds);
    status.best = status.ranking.first().filter(|best| best.score.is_some()).cloned();
    let attempts: i32 = assessment.worlds.iter().map(|state| state.status.attempt_count).sum();
    let running = assessment.worlds.iter().filter(|state| state.phase == Phase::Active).count() + starting.len();
    status.attempts = attempts + i32::try_from(running).unwrap_or(i32::MAX);
    if status.base_commit.is_none() {
        status.base_commit = assessment.worlds.iter().find_map(|state| state.status.base_commit.clone());
    }
    status.baseline = assessment.baseline.settled();
    status.artifacts = artifacts(&assessment.worlds);
    if let Some(answer) = &assessment.answer {
        status.reevaluation = Some(answer.status.clone());
    }
    if assessment.is_reopened() {
        let chosen = [OrderCondition::Evaluated.as_str(), OrderCondition::WinnerSelected.as_str()];
        status.conditions.retain(|condition| !chosen.contains(&condition.type_.as_str()));
        status.winner = None;
    }
    if !assessment.snapshot.models.usage.is_empty() {
        status.usage = Some(total(assessment.snapshot.models.usage.values()));
    }
    status
}

/// Notes what holds an order that goes on. What is noted stays, so that no change of labels frees an order of a Budget.
fn note_budgets(status: &mut WorkOrderStatus, budgets: &[String]) {
    for budget in budgets {
        if status.budgets.len() < MOST_BUDGETS && !status.budgets.contains(budget) {
            status.budgets.push(budget.clone());
        }
    }
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

fn counts(worlds: &[WorldState<'_>], starting: &[usize]) -> WorldCounts {
    let mut counts = WorldCounts::default();
    for state in worlds {
        let counter = match (state.phase, state.status.stage) {
            (Phase::Ended, Some(WorldStage::Scored)) => &mut counts.scored,
            (Phase::Ended, Some(WorldStage::Cut)) => &mut counts.cut,
            (Phase::Ended, _) => &mut counts.failed,
            (Phase::Active, _) => &mut counts.running,
            (Phase::Unopened | Phase::Idle { .. }, _) if starting.contains(&state.index) => &mut counts.running,
            (Phase::Unopened | Phase::Idle { .. }, _) => &mut counts.pending,
        };
        *counter += 1;
    }
    let ended = counts.scored + counts.failed + counts.cut;
    counts.summary = Some(format!("{ended}/{}", worlds.len()));
    counts
}

/// Ranks the Worlds that have ended, the best first.
fn ranking(worlds: &[WorldState<'_>]) -> Vec<RankedWorld> {
    let mut ended: Vec<(Candidate, &WorldState<'_>)> = worlds
        .iter()
        .filter(|state| state.phase == Phase::Ended)
        .map(|state| {
            let candidate = Candidate {
                name: state.variant.name.clone(),
                eligible: state.eligible(),
                score: state.status.score.as_ref().map(|score| score.total),
                changed_lines: state.status.diff.map_or(0, manyworlds_api::result::DiffStatistics::changed_lines),
                cost: state.status.usage.as_ref().map_or(Money::default(), |usage| usage.cost),
            };
            (candidate, state)
        })
        .collect();
    ended.sort_by(|(left, _), (right, _)| compare(left, right));
    ended
        .into_iter()
        .map(|(candidate, state)| RankedWorld {
            world: candidate.name,
            score: candidate.score,
            eligible: candidate.eligible,
            votes: None,
            reason: shortened(state.status.message.as_deref().unwrap_or_default(), 256),
        })
        .collect()
}

fn artifacts(worlds: &[WorldState<'_>]) -> Option<ArtifactCounts> {
    let digests = || worlds.iter().flat_map(|state| &state.status.artifacts);
    let count = i32::try_from(digests().count()).unwrap_or(i32::MAX);
    (count > 0).then(|| ArtifactCounts { count, bytes: digests().map(|digest| digest.bytes).sum() })
}

fn set_all(status: &mut WorkOrderStatus, assessment: &Assessment<'_>, lines: &[ConditionLine<'_>]) {
    let generation = assessment.snapshot.order.metadata.generation;
    for &(kind, truth, reason, message) in lines {
        let message = shortened(message, LONGEST_MESSAGE);
        set(
            &mut status.conditions,
            condition(kind.as_str(), truth, reason, &message, generation, assessment.snapshot.now),
        );
    }
}

/// Puts the status into the plan when it is worth a write now, else notes when it will be.
///
/// - **Guarantees:** one write for each change of a condition, and for each Event; counts and texts alone wait for
///   `progress_interval`, and longer where other orders have something to show too.
fn put_status(assessment: &Assessment<'_>, mut change: StatusChange, plan: &mut Plan) {
    change.events.extend(assessment.answer.iter().map(|answer| answer.event.clone()));
    match should_write_status(assessment, &change, plan.progress_writes) {
        Write::Never => {}
        Write::Now => plan.status = Some(Box::new(change)),
        Write::Progress => {
            plan.progress_writes += 1;
            plan.status = Some(Box::new(change));
        }
        Write::Later(due) => plan.next_check = Some(due),
    }
}

/// Whether a status is written in this look.
enum Write {
    /// It is as it is.
    Never,
    /// It is worth a write of its own.
    Now,
    /// It shows progress, and there is a write for that.
    Progress,
    /// It shows progress, and waits until then.
    Later(Timestamp),
}

fn should_write_status(assessment: &Assessment<'_>, change: &StatusChange, progress_writes: u32) -> Write {
    let snapshot = assessment.snapshot;
    let old = snapshot.order.status.clone().unwrap_or_default();
    if old == change.status {
        return Write::Never;
    }
    if is_significant(&old, &change.status) || !change.events.is_empty() {
        return Write::Now;
    }
    let interval = signed(snapshot.settings.progress_interval);
    match snapshot.status_written.map(|written| written + interval) {
        Some(due) if due > snapshot.now => Write::Later(due),
        _ if progress_writes >= snapshot.progress_writes => Write::Later(snapshot.now + interval),
        _ => Write::Progress,
    }
}

fn is_significant(old: &WorkOrderStatus, new: &WorkOrderStatus) -> bool {
    let words = |conditions: &[Condition]| -> Vec<(String, String, String)> {
        conditions
            .iter()
            .map(|condition| (condition.type_.clone(), condition.status.clone(), condition.reason.clone()))
            .collect()
    };
    let settled = |status: &WorkOrderStatus| -> Option<BaselineStatus> {
        status.baseline.clone().filter(|baseline| baseline.state != BaselineState::Judging)
    };
    new.is_finished()
        || settled(old) != settled(new)
        || words(&old.conditions) != words(&new.conditions)
        || old.summary != new.summary
        || old.observed_generation != new.observed_generation
        || old.budgets != new.budgets
}
