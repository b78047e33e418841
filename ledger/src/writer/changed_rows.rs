//! The changes of a batch as rows.

use sqlx::AnyConnection;

use crate::error::LedgerError;
use crate::state::{Changes, LedgerState};
use crate::store::rows::{
    BREAKER, BUDGETS, LLM_CALLS, RATE_WINDOWS, RESERVATIONS, breaker_row, budget_row, call_row, reservation_row,
    window_row,
};
use crate::store::statement::{OnConflict, insert, remove};
use crate::store::table::Table;
use crate::store::value::Row;

/// The tables that calls change, and what becomes of a row with the same key.
pub(super) const TABLES: [(&Table, OnConflict); 5] = [
    (&RESERVATIONS, OnConflict::Keep),
    (&LLM_CALLS, OnConflict::Keep),
    (&BUDGETS, OnConflict::Replace),
    (&RATE_WINDOWS, OnConflict::Replace),
    (&BREAKER, OnConflict::Replace),
];

/// The rows that have to be written.
#[derive(Default)]
pub(super) struct ChangedRows {
    /// The rows of each of [`TABLES`].
    pub(super) inserted: [Vec<Row>; 5],
    /// The reservations that have ended.
    pub(super) removed: Vec<String>,
}

impl ChangedRows {
    /// Returns the rows of changes.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Range`] when a number does not fit.
    pub(super) fn of(state: &LedgerState, changes: &Changes, epoch: i64) -> Result<Self, LedgerError> {
        let reserved = changes.reserved.iter().filter_map(|call| state.open.get_key_value(call));
        let reserved = reserved.map(|(call, open)| reservation_row(call, open));
        let calls = changes.settled.iter().map(|(call, settled)| call_row(call, settled, epoch));
        let balances = changes.balances.iter().filter_map(|key| state.balances.get_key_value(key));
        let balances = balances.map(|(key, balance)| budget_row(key, balance, epoch));
        let windows = changes.windows.iter().filter_map(|key| state.windows.get_key_value(key));
        let windows = windows.map(|(provider, window)| window_row(provider, window, epoch));
        let breakers = changes.breakers.iter().filter_map(|key| state.breakers.get_key_value(key));
        let breakers = breakers.map(|(key, breaker)| breaker_row(key, breaker, epoch));
        Ok(Self {
            inserted: [
                reserved.collect::<Result<_, _>>()?,
                calls.collect::<Result<_, _>>()?,
                balances.collect::<Result<_, _>>()?,
                windows.collect::<Result<_, _>>()?,
                breakers.collect::<Result<_, _>>()?,
            ],
            removed: changes.removed.iter().map(|call| call.as_str().to_owned()).collect(),
        })
    }

    /// Returns whether nothing has to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.inserted.iter().all(Vec::is_empty)
    }

    /// Writes them in a transaction that has begun.
    pub(super) async fn write(&self, connection: &mut AnyConnection) -> Result<(), LedgerError> {
        remove(connection, &RESERVATIONS, &self.removed).await?;
        for ((table, on_conflict), rows) in TABLES.iter().zip(&self.inserted) {
            insert(connection, table, *on_conflict, rows).await?;
        }
        Ok(())
    }
}
