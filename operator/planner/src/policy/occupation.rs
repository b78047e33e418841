//! Occupation: which pods of a World hold their slot (W7).
//!
//! An attempt has one slot from its first pod to its end. What a pod takes of its node is free as soon as it has ended, but
//! the next pod of the attempt is made without asking for a slot, so nobody else may have been given that one meanwhile.

use manyworlds_api::conditions::{Truth, WorldCondition, truth};
use manyworlds_api::world::WorldStage;
use manyworlds_api::{World, WorldStatus};

use crate::observation::{OrderPod, PodPhase, Presence};
use crate::role::Leaves;

/// Returns whether a pod holds its slot.
///
/// - **Shape:** `world` is its owner, where that is known and is a World; `pods` are those of the same owner and attempt, the pod
///   itself among them or not.
/// - **Guarantees:** of the pods of an attempt that have ended, at most one holds a slot, and none does beside one that runs.
pub fn holds_slot<'a>(pod: &OrderPod, world: Option<&World>, pods: impl IntoIterator<Item = &'a OrderPod>) -> bool {
    if pod.presence == Presence::Gone {
        return false;
    }
    if !pod.phase.is_terminal() {
        return true;
    }
    // One that is gone has given its slot back to the one before it.
    let mut others = pods.into_iter().filter(|other| other.presence != Presence::Gone);
    let is_newest = others.all(|other| place(other) <= place(pod));
    is_newest && may_be_followed(pod) && world.is_some_and(|world| is_open(world, pod.attempt))
}

/// Returns the place of a pod among those of its attempt: the one that works comes first, then those that judge.
fn place(pod: &OrderPod) -> (bool, i32) {
    (pod.role().leaves == Leaves::Result, pod.number)
}

/// Returns whether another pod of the attempt may come after one that has ended: it is judged, or judged again.
fn may_be_followed(pod: &OrderPod) -> bool {
    match pod.role().leaves {
        Leaves::Collection => pod.phase == PodPhase::Succeeded,
        Leaves::Result => pod.phase == PodPhase::Failed,
    }
}

/// Returns whether an attempt of a World goes on. One that is suspended asks for a slot anew, and so does one that was over and is
/// to be judged again.
fn is_open(world: &World, attempt: i32) -> bool {
    let none = WorldStatus::default();
    let status = world.status.as_ref().unwrap_or(&none);
    let is_finished = truth(&status.conditions, WorldCondition::Finished.as_str()) == Truth::True;
    let is_judged_again = status.reevaluation.as_ref().is_some_and(|reevaluation| reevaluation.attempt == attempt);
    let asks_anew = match status.stage {
        Some(WorldStage::Suspended) => true,
        Some(WorldStage::Waiting) => is_judged_again,
        _ => false,
    };
    !is_finished && !asks_anew && attempt > status.attempt_count
}

#[cfg(test)]
#[path = "occupation_tests.rs"]
mod tests;
