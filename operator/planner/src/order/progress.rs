//! The progress of an order that goes on: why it is not further, in a word and a sentence.

use jiff::Timestamp;
use manyworlds_api::WorkOrderStatus;
use manyworlds_api::conditions::Reason;

use super::assessment::Assessment;
use crate::grant::Grant;
use crate::world::{Phase, WorldState};
use manyworlds_metering::waits;

/// Returns why an active order is not further, and a sentence on it.
pub(super) fn progress(assessment: &Assessment<'_>, status: &WorkOrderStatus, grant: Grant) -> (Reason, String) {
    let (snapshot, worlds) = (assessment.snapshot, &assessment.worlds);
    let counts = &status.worlds;
    let ended = counts.scored + counts.failed + counts.cut;
    let all = worlds.len();
    let refused = snapshot.refusal.as_ref().and_then(|refusal| refusal.said(snapshot.now));
    let wants_pods = counts.pending > 0
        || assessment.baseline.next().is_some()
        || worlds.iter().any(|state| state.next_evaluation.is_some());
    if let Some((reason, message)) = refused.filter(|_| wants_pods) {
        return (reason, message.to_owned());
    }
    if let Some((state, reason)) = worlds.iter().find_map(|state| Some((state, trouble(state)?))) {
        let message = state.status.message.as_deref().unwrap_or_default();
        return (reason, format!("World {}: {message}", state.variant.name));
    }
    if let Some(trouble) = assessment.baseline.trouble() {
        return (trouble.reason, format!("the gates at the base: {}", trouble.message));
    }
    if counts.running > 0 {
        if let Some(unavailable) = &snapshot.models.unavailable {
            return (Reason::ProviderUnavailable, unavailable.clone());
        }
        if let Some((provider, since)) = waits::longest_limited(&snapshot.models.waits, snapshot.now) {
            return (Reason::RateLimited, rate_limited(provider, since));
        }
        let queue = grant.place.map_or_else(String::new, |place| {
            let awaited = awaited(grant);
            format!("; the others wait for {awaited}, place {place} of {} in the queue", grant.waiting)
        });
        return (Reason::InProgress, format!("{ended} of {all} Worlds have ended, {} run{queue}", counts.running));
    }
    if let Some(place) = grant.place {
        let message = format!(
            "waits for {}: place {place} of {} in the queue; the nodes hold {} Worlds of this size",
            awaited(grant),
            grant.waiting,
            grant.total
        );
        return (Reason::AwaitingCapacity, message);
    }
    if let Some(misfits) = grant.misfits {
        return (Reason::NoNodeFits, misfits.to_string());
    }
    let retrying = worlds.iter().find(|state| matches!(state.phase, Phase::Idle { not_before: Some(_) }));
    if let Some(state) = retrying {
        let why = state.status.message.as_deref().unwrap_or("it waits for its next attempt");
        let message = format!("{ended} of {all} Worlds have ended; World {}: {why}", state.variant.name);
        return (Reason::AwaitingRetry, message);
    }
    (Reason::InProgress, format!("{ended} of {all} Worlds have ended"))
}

/// Says what an order in the queue waits for.
fn awaited(grant: Grant) -> String {
    match grant.limit {
        Some(limit) => format!("a World of its namespace to end, which holds the {limit} slots that it may hold"),
        None => "room on the nodes".to_owned(),
    }
}

/// Says who has no room for an order's calls. It is the same sentence for as long as that lasts.
fn rate_limited(provider: &str, since: Timestamp) -> String {
    format!(
        "calls wait for room within the limits of the Provider {provider} since {}; the Worlds go on by themselves. To wait less, raise spec.limits of the Provider as far as its API allows, or lower worlds.parallelism",
        since.strftime("%Y-%m-%dT%H:%M:%SZ")
    )
}

/// Returns what keeps a World's pod from starting.
fn trouble(state: &WorldState<'_>) -> Option<Reason> {
    if state.phase != Phase::Active || state.status.message.is_none() {
        return None;
    }
    let kind = manyworlds_api::conditions::WorldCondition::Succeeded.as_str();
    let condition = state.status.conditions.iter().find(|condition| condition.type_ == kind)?;
    [Reason::Unschedulable, Reason::ImagePullFailed, Reason::ContainerCreationFailed]
        .into_iter()
        .find(|reason| reason.as_str() == condition.reason)
}
