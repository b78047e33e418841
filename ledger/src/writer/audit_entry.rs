//! The lines of the audit log about calls.

use serde_json::json;

use crate::audit::entry::{AuditEntry, AuditStage};
use crate::call::{CallOutcome, CallUsage, Settlement};
use crate::state::SettledCall;

/// Returns the line about a call that was settled as a failure, or that was a further attempt.
pub(super) fn audit_entry(settled: &SettledCall) -> Option<AuditEntry> {
    let SettledCall { open, settlement, tokens, cost } = settled;
    let Settlement { outcome, status, at, retry_count, .. } = settlement;
    if *outcome == CallOutcome::Answered && *retry_count == 0 {
        return None;
    }
    let counts = json!({ "inputTokens": tokens.all_input(), "outputTokens": tokens.output, "cost": cost.to_string() });
    let reason = match (*status, settlement.usage) {
        (0, CallUsage::Reported { .. }) => "no answer".to_owned(),
        // It went out, or may have, and upstream may have answered it.
        (0, CallUsage::Unknown { .. }) => "unknown".to_owned(),
        (status, _) => format!("status {status}"),
    };
    let entry = AuditEntry::new(AuditStage::Call, outcome.name(), *at)
        .with_caller(&open.caller, &[("provider", &open.provider), ("model", &open.model)]);
    let failure_reason = (*outcome != CallOutcome::Answered).then_some(reason);
    Some(AuditEntry { counts: counts.to_string(), retry_count: Some(i64::from(*retry_count)), failure_reason, ..entry })
}
