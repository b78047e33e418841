//! What is written into a World's status: its conditions, its score, and how it ended.

use std::cmp::Ordering;

use jiff::Timestamp;
use manyworlds_api::WorldStatus;
use manyworlds_api::artifacts::ArtifactName;
use manyworlds_api::conditions::{Reason, Truth, WorldCondition, condition, set, shortened};
use manyworlds_api::result::{Collection, WorldResult};
use manyworlds_api::work_order::WorkOrderSpec;
use manyworlds_api::world::WorldStage;

use crate::attempt::AttemptFailure;
use crate::policy::score::judge;

/// The most findings that a status lists, as its schema has it.
const MOST_REASONS: usize = 16;

/// Writes how far a World is, and why it is no further.
pub(crate) fn set_stage_conditions(
    status: &mut WorldStatus,
    stage: WorldStage,
    reason: Reason,
    message: &str,
    now: Timestamp,
) {
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

/// Adds what the pod that worked has stored and found to what the pod that judged has.
pub(crate) fn note_collection(status: &mut WorldStatus, collection: Option<&Collection>) {
    let Some(Collection { artifacts, reasons }) = collection else { return };
    let judged = std::mem::take(&mut status.artifacts);
    let is_replaced = |name: ArtifactName| judged.iter().any(|artifact| artifact.name == name);
    status.artifacts = artifacts.iter().filter(|artifact| !is_replaced(artifact.name)).cloned().collect();
    status.artifacts.extend(judged);
    let judged = std::mem::take(&mut status.reasons);
    let found = reasons.iter().map(|reason| shortened(reason, 512));
    status.reasons = found.chain(judged).take(MOST_REASONS).collect();
}

/// Ends a World that has a result.
pub(crate) fn score(spec: &WorkOrderSpec, status: &mut WorldStatus, result: &WorldResult, now: Timestamp) {
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
    status.landlock_abi = result.landlock;
    status.commit.clone_from(&result.commit);
    status.diff = Some(result.diff);
    status.artifacts.clone_from(&result.artifacts);
    status.reasons = result.reasons.iter().take(MOST_REASONS).map(|reason| shortened(reason, 512)).collect();
}

/// Has a World wait for its next attempt.
pub(crate) fn wait(status: &mut WorldStatus, failure: &AttemptFailure, not_before: Timestamp, now: Timestamp) {
    let message = format!("attempt {} failed: {}", status.attempt_count, failure.message);
    set_stage_conditions(status, WorldStage::Waiting, Reason::AwaitingRetry, &message, now);
    status.stage = Some(WorldStage::Waiting);
    status.message = Some(shortened(&format!("{message}; the next attempt begins at {not_before:.0}"), 4096));
}

/// Ends a World that failed.
pub(crate) fn fail(status: &mut WorldStatus, finished: Reason, kind: Reason, message: &str, now: Timestamp) {
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

fn finish(status: &mut WorldStatus, reason: Reason, success: (Truth, Reason), message: &str, now: Timestamp) {
    let (truth, why) = success;
    set(&mut status.conditions, condition(WorldCondition::Succeeded.as_str(), truth, why, message, None, now));
    set(&mut status.conditions, condition(WorldCondition::Finished.as_str(), Truth::True, reason, message, None, now));
    status.observed_generation = Some(1);
}
