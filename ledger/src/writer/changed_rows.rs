//! What a batch has changed, as rows.

use serde_json::json;
use sqlx::AnyConnection;

use crate::audit::{AuditEntry, AuditStage};
use crate::call::{CallOutcome, CallUsage, Settlement};
use crate::error::LedgerError;
use crate::state::{Changes, LedgerState, SettledCall};
use crate::store::statement::{self, OnConflict, Row};
use crate::store::tables::{BREAKER, BUDGETS, LLM_CALLS, RATE_WINDOWS, RESERVATIONS, Table};
use crate::store::{account_row, breaker_row, call_row, reservation_row, window_row};

/// The tables that calls change, and what becomes of rows that are there.
pub(super) const TABLES: [(&Table, OnConflict); 5] = [
    (&RESERVATIONS, OnConflict::Keep),
    (&LLM_CALLS, OnConflict::Keep),
    (&BUDGETS, OnConflict::Replace),
    (&RATE_WINDOWS, OnConflict::Replace),
    (&BREAKER, OnConflict::Replace),
];

/// Rows that have to be written.
pub(super) struct ChangedRows {
    /// In the order of [`TABLES`].
    pub(super) put: [Vec<Row>; 5],
    /// Reservations that have ended.
    pub(super) removed: Vec<String>,
}

impl ChangedRows {
    pub(super) fn of(state: &LedgerState, changes: &Changes, epoch: i64) -> Result<Self, LedgerError> {
        let reserved = changes.reserved.iter().filter_map(|call| state.held.get_key_value(call));
        let reserved = reserved.map(|(call, held)| reservation_row(call, held));
        let calls = changes.settled.iter().map(|(call, settled)| call_row(call, settled, epoch));
        let accounts = changes.accounts.iter().filter_map(|key| state.accounts.get_key_value(key));
        let accounts = accounts.map(|(key, account)| account_row(key, account, epoch));
        let windows = changes.windows.iter().filter_map(|key| state.windows.get_key_value(key));
        let windows = windows.map(|(provider, window)| window_row(provider, window, epoch));
        let breakers = changes.breakers.iter().filter_map(|key| state.breakers.get_key_value(key));
        let breakers = breakers.map(|(key, breaker)| breaker_row(key, breaker, epoch));
        Ok(Self {
            put: [
                reserved.collect::<Result<_, _>>()?,
                calls.collect::<Result<_, _>>()?,
                accounts.collect::<Result<_, _>>()?,
                windows.collect::<Result<_, _>>()?,
                breakers.collect::<Result<_, _>>()?,
            ],
            removed: changes.removed.iter().map(|call| call.as_str().to_owned()).collect(),
        })
    }

    /// Writes them in a transaction that has begun.
    pub(super) async fn write(&self, connection: &mut AnyConnection) -> Result<(), LedgerError> {
        statement::remove(connection, &RESERVATIONS, &self.removed).await?;
        for ((table, existing), rows) in TABLES.iter().zip(&self.put) {
            statement::put(connection, table, *existing, rows).await?;
        }
        Ok(())
    }
}

/// Returns what the audit log says of a call that was settled as a failure, or that was one more attempt.
pub(super) fn audit_entry_of(settled: &SettledCall) -> Option<AuditEntry> {
    let SettledCall { held, settlement, tokens, cost } = settled;
    let Settlement { outcome, status, at, retry_count, .. } = settlement;
    if *outcome == CallOutcome::Answered && *retry_count == 0 {
        return None;
    }
    let counts = json!({ "inputTokens": tokens.all_input(), "outputTokens": tokens.output, "cost": cost.to_string() });
    let why = match (*status, settlement.usage) {
        (0, CallUsage::Reported { .. }) => "no answer".to_owned(),
        // It went out, or may have, and it is not known whether upstream has made it.
        (0, CallUsage::Unknown { .. }) => "unknown".to_owned(),
        (status, _) => format!("status {status}"),
    };
    let entry = AuditEntry::new(AuditStage::Call, outcome.name(), *at)
        .with_caller(&held.caller, &[("provider", &held.provider), ("model", &held.model)]);
    let failure_reason = (*outcome != CallOutcome::Answered).then_some(why);
    Some(AuditEntry { counts: counts.to_string(), retry_count: Some(i64::from(*retry_count)), failure_reason, ..entry })
}
