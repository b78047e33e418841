//! Before any phase: orders that are going, are over, or cannot be carried out.

use manyworlds_api::conditions::Reason;

use super::done;
use crate::order::assessment::Assessment;
use crate::order::decision::{Decision, End};
use crate::policy::support;

/// Decides about an order that no phase may look at.
pub(super) fn decide(assessment: &Assessment<'_>) -> Option<Decision> {
    let order = &assessment.snapshot.order;
    if order.metadata.deletion_timestamp.is_some() {
        return Some(Decision::Leave);
    }
    if order.is_finished() && !assessment.is_reopened() {
        return Some(Decision::Expire(done::expiry(assessment)));
    }
    if let Some((reason, message)) = refusal(assessment) {
        return Some(Decision::End(End::Failed { reason, message }));
    }
    let stale = assessment.snapshot.stale_worlds();
    (!stale.is_empty()).then(|| Decision::CleanUp(stale.to_vec()))
}

/// Returns why an order is not carried out.
pub(super) fn refusal(assessment: &Assessment<'_>) -> Option<(Reason, String)> {
    let spec = assessment.spec();
    if spec.cancel {
        return Some((Reason::Cancelled, "the order was cancelled".to_owned()));
    }
    if let Some(message) = support::unsupported(spec) {
        return Some((Reason::NotSupported, message));
    }
    if let Some(message) = support::invalid(spec) {
        return Some((Reason::InvalidSpecification, message));
    }
    if let Some(message) = assessment.snapshot.settings.pod_template.refusal(spec) {
        return Some((Reason::InvalidSpecification, message));
    }
    let error = assessment.size.as_ref().err()?;
    Some((Reason::InvalidSpecification, format!("worlds.sizing.perWorld: {error}")))
}
