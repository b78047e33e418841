//! The last phase: the order ends, and is deleted when its time to live is over.

use jiff::Timestamp;
use manyworlds_api::conditions::{OrderCondition, Truth, truth};

use super::worlds;
use crate::order::assessment::Assessment;
use crate::order::decision::{Decision, End};
use crate::policy::deadlines::signed;

/// Ends an order whose other phases are over.
pub(super) fn decide(assessment: &Assessment<'_>) -> Decision {
    Decision::End(End::Judged { reason: worlds::end_reason(assessment) })
}

/// Returns when a finished order is to be deleted.
pub(super) fn expiry(assessment: &Assessment<'_>) -> Option<Timestamp> {
    let ttl = assessment.spec().ttl.as_ref()?;
    let status = assessment.snapshot.order.status.as_ref()?;
    let limit = match truth(&status.conditions, OrderCondition::Succeeded.as_str()) {
        Truth::True => ttl.after_success,
        Truth::False | Truth::Unknown => ttl.after_failure,
    }?;
    Some(status.completion_time.as_ref()?.0 + signed(limit))
}
