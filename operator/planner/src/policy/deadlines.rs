//! Deadlines: how long an order may wait and run. Time while it is suspended does not count.
//!
//! A suspended order has `activeSecondsBeforeSuspension` and no `resumeTime`; a resumed one has both.

use jiff::{SignedDuration, Timestamp};
use manyworlds_api::{Duration, WorkOrder, WorkOrderStatus};

/// Returns when the order has waited too long for its first World.
pub fn start_deadline(order: &WorkOrder) -> Option<Timestamp> {
    let limit = order.spec.deadlines.as_ref()?.start?;
    let created = order.metadata.creation_timestamp.as_ref()?.0;
    let Some(status) = &order.status else { return Some(created + signed(limit)) };
    if is_held(status) {
        return None;
    }
    let resumed = status.resume_time.as_ref().map_or(created, |time| time.0);
    Some(resumed.max(created) + signed(limit))
}

/// Returns when the order has run too long.
pub fn active_deadline(order: &WorkOrder, status: &WorkOrderStatus) -> Option<Timestamp> {
    let limit = order.spec.deadlines.as_ref()?.active?;
    if is_held(status) {
        return None;
    }
    Some(running_since(status)? + signed(limit))
}

/// Returns how long an order has run up to now, in seconds; the part before its last suspension included.
pub fn active_seconds(status: &WorkOrderStatus, now: Timestamp) -> i64 {
    running_since(status).map_or(0, |since| now.duration_since(since).as_secs().max(0))
}

/// Returns whether a status says that the order is suspended, so that its deadlines stand still.
pub fn is_held(status: &WorkOrderStatus) -> bool {
    status.active_seconds_before_suspension.is_some() && status.resume_time.is_none()
}

/// Returns the moment from which the order would have run without a break.
fn running_since(status: &WorkOrderStatus) -> Option<Timestamp> {
    let started = status.start_time.as_ref()?.0;
    let before = status.active_seconds_before_suspension.unwrap_or(0);
    Some(match &status.resume_time {
        Some(resumed) if resumed.0 >= started => resumed.0 - SignedDuration::from_secs(before),
        _ => started,
    })
}

/// Returns a duration that can be added to a time.
pub fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::from_millis(i64::try_from(duration.milliseconds()).unwrap_or(i64::MAX))
}
