//! The phase in which Worlds work: until all have ended, or no more results are waited for.

use manyworlds_api::conditions::{Reason, WorldCondition};
use manyworlds_api::work_order::BudgetExceeded;

use super::step::Step;
use crate::attempt_pods::JudgedAgain;
use crate::order::assessment::{Assessment, Overdue};
use crate::order::decision::{Decision, End, Hold};
use crate::snapshot::Exhausted;
use crate::world::{Phase, WorldState};

/// Decides while Worlds work.
pub(super) fn decide(assessment: &Assessment<'_>) -> Step {
    if let Some(end) = failed(assessment).or_else(|| without_evidence(assessment)) {
        return Step::Stay(Decision::End(end));
    }
    if has_results(assessment).is_some() {
        return Step::Next;
    }
    if assessment.spec().suspend {
        return Step::Stay(Decision::Hold(Hold::Suspended));
    }
    if assessment.only_judges_again() {
        // No time limit and no budget holds what neither works nor spends.
        return Step::Stay(Decision::Proceed);
    }
    if assessment.overdue() == Some(Overdue::Start) {
        let message =
            "no World could be started before deadlines.start; raise it, free capacity, or raise the priority";
        let end = End::Failed { reason: Reason::StartDeadlineExceeded, message: message.to_owned() };
        return Step::Stay(Decision::End(end));
    }
    if is_stopped(assessment).is_some() {
        return Step::Next;
    }
    let models = &assessment.snapshot.models;
    if let Some(Exhausted { what, .. }) = &models.exhausted {
        return Step::Stay(Decision::Hold(Hold::BudgetExhausted(what.clone())));
    }
    let unbudgeted = models.unbudgeted.as_ref().map(|said| (Reason::BudgetRequired, said));
    let problem = unbudgeted.or(models.problem.as_ref().map(|said| (Reason::ModelUnavailable, said)));
    Step::Stay(match problem {
        Some((reason, said)) if !assessment.has_begun() => Decision::Await(reason, said.clone()),
        Some(_) | None => Decision::Proceed,
    })
}

/// Returns why the Worlds of an order in a later phase have come to their end.
pub(super) fn end_reason(assessment: &Assessment<'_>) -> Reason {
    has_results(assessment).or_else(|| is_stopped(assessment)).unwrap_or(Reason::AllWorldsEnded)
}

/// Returns why the results that there are decide.
fn has_results(assessment: &Assessment<'_>) -> Option<Reason> {
    // A World that an order had not opened when it finished is not opened any more.
    let over = |state: &WorldState<'_>| match state.phase {
        Phase::Ended => true,
        Phase::Unopened => assessment.only_judges_again(),
        Phase::Idle { .. } | Phase::Active => false,
    };
    if assessment.worlds.iter().all(over) {
        return Some(Reason::AllWorldsEnded);
    }
    let judges_again = assessment.worlds.iter().any(is_judged_again);
    (!judges_again && is_enough(assessment)).then_some(Reason::EarlyTermination)
}

/// Returns whether a World is judged again: what it had is gone, so that no result of another one cuts it.
fn is_judged_again(state: &WorldState<'_>) -> bool {
    state.phase != Phase::Ended && JudgedAgain::of(&state.status).is_some()
}

/// Returns why Worlds that still work are cut.
fn is_stopped(assessment: &Assessment<'_>) -> Option<Reason> {
    if assessment.only_judges_again() {
        return None;
    }
    if assessment.overdue() == Some(Overdue::Active) {
        return Some(Reason::ActiveDeadlineExceeded);
    }
    let exhausted = assessment.snapshot.models.exhausted.as_ref()?;
    (exhausted.on_exceeded == BudgetExceeded::Stop).then_some(Reason::BudgetExhausted)
}

/// Returns whether the results so far are good enough to cut the rest.
fn is_enough(assessment: &Assessment<'_>) -> bool {
    let Some(early) = &assessment.spec().early_termination else { return false };
    let mut eligible = assessment.worlds.iter().filter(|state| state.eligible());
    let count = eligible.clone().count();
    let best = eligible.any(|state| {
        early.score.is_some_and(|least| state.status.score.as_ref().is_some_and(|score| score.total >= least))
    });
    let many = early.after_eligible.is_some_and(|least| usize::try_from(least).is_ok_and(|least| count >= least));
    let min = usize::try_from(assessment.spec().worlds.min).unwrap_or(1);
    count >= min && (best || many)
}

/// Returns the end of an order that a World fails by the retry rules.
fn failed(assessment: &Assessment<'_>) -> Option<End> {
    let state = assessment.worlds.iter().find(|state| state.fails_order())?;
    let message = state.status.message.as_deref().unwrap_or_default();
    let reason = reason_of(state).unwrap_or(Reason::OrderFailed);
    Some(End::Failed { reason, message: format!("World {}: {message}", state.variant.name) })
}

/// Returns the end of an order whose gates cannot be run at its base. No World of it could be judged.
fn without_evidence(assessment: &Assessment<'_>) -> Option<End> {
    let (reason, message) = assessment.baseline.obstacle()?;
    Some(End::Failed { reason, message })
}

fn reason_of(state: &WorldState<'_>) -> Option<Reason> {
    let kind = WorldCondition::Succeeded.as_str();
    let succeeded = state.status.conditions.iter().find(|condition| condition.type_ == kind)?;
    Reason::ALL.iter().copied().find(|reason| reason.as_str() == succeeded.reason)
}
