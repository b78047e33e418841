//! The sums of all calls, for metrics. They say what the ledger says, also after a crash.
//!
//! The sums of a process begin with those of the store, read once, and grow in memory with each commit. The store keeps the
//! sums of rows that are older than [`LATEST_COMMIT`], so that they stay when the rows are removed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use manyworlds_api::Money;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe};

use crate::call::CallOutcome;
use crate::error::LedgerError;
use crate::state::SettledCall;
use crate::store::backend::Backend;
use crate::store::rows::{CALL_TOTALS, CallTotalRow, LLM_CALLS};
use crate::store::statement::{bind, placeholders};
use crate::store::table::{Table, TableRow, column};

/// The longest time between a settlement and its commit: a later one would be missing in the sums.
const LATEST_COMMIT: SignedDuration = SignedDuration::from_mins(10);

/// The sums of some calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallTotal {
    /// The number of calls.
    pub calls: u64,
    /// Their cost.
    pub cost: Money,
    /// Input tokens that were neither read from the Provider's cache nor written to it.
    pub input_tokens: u64,
    /// Input tokens that were read from the Provider's cache.
    pub cached_tokens: u64,
    /// Input tokens that were written to the Provider's cache.
    pub cache_write_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
}

impl CallTotal {
    fn add(&mut self, other: Self) {
        self.calls = self.calls.saturating_add(other.calls);
        let cost = self.cost.trillionths().saturating_add(other.cost.trillionths());
        self.cost = Money::from_trillionths(cost);
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.cached_tokens = self.cached_tokens.saturating_add(other.cached_tokens);
        self.cache_write_tokens = self.cache_write_tokens.saturating_add(other.cache_write_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
    }
}

/// The sums of all calls, by outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallTotals(HashMap<CallOutcome, CallTotal>);

impl CallTotals {
    /// Returns the sums of calls with one outcome.
    pub fn of(&self, outcome: CallOutcome) -> CallTotal {
        self.0.get(&outcome).copied().unwrap_or_default()
    }

    /// Returns the sums of all calls.
    pub fn all(&self) -> CallTotal {
        let mut all = CallTotal::default();
        self.0.values().for_each(|total| all.add(*total));
        all
    }
}

/// The sums as they grow. Clones share them, and do not keep the store open.
#[derive(Clone, Debug, Default)]
pub struct RunningTotals(Arc<Mutex<Option<CallTotals>>>);

impl RunningTotals {
    /// Returns the present sums, unless they could not be read.
    pub fn now(&self) -> Option<CallTotals> {
        self.inner().clone()
    }

    fn inner(&self) -> MutexGuard<'_, Option<CallTotals>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the sums of the store, which include everything that was counted before.
    pub(crate) fn begin(&self, totals: CallTotals) {
        *self.inner() = Some(totals);
    }

    /// Adds calls that have been committed.
    pub(crate) fn count<'a>(&self, settled: impl Iterator<Item = &'a SettledCall>) {
        if let Some(totals) = self.inner().as_mut() {
            for SettledCall { open: _, settlement, tokens, cost } in settled {
                totals.0.entry(settlement.outcome).or_default().add(CallTotal {
                    calls: 1,
                    cost: *cost,
                    input_tokens: tokens.input,
                    cached_tokens: tokens.cached,
                    cache_write_tokens: tokens.cache_write_5m.saturating_add(tokens.cache_write_1h),
                    output_tokens: tokens.output,
                });
            }
        }
    }
}

/// The columns of the sums, as [`total`] reads them.
const COLUMNS: &str = "outcome, calls, cost, input_tokens, cached_tokens, cache_write_tokens, output_tokens";
/// The time before which calls are in `call_totals`.
const UNTIL: &str = "(SELECT COALESCE(MAX(until), 0) FROM call_totals)";

/// Returns the same columns over rows of calls.
fn sums(backend: Backend) -> String {
    let cache_write = backend.sum_of(&["cache_write_5m_tokens", "cache_write_1h_tokens"]);
    let [cost, input, cached, output] =
        ["cost", "input_tokens", "cached_tokens", "output_tokens"].map(|column| backend.sum(column));
    format!("outcome, COUNT(*), {cost}, {input}, {cached}, {cache_write}, {output}")
}

/// Reads the sums of the store.
pub(crate) async fn read(connection: &mut AnyConnection) -> Result<CallTotals, LedgerError> {
    let mut totals = CallTotals::default();
    let kept = sqlx::query(AssertSqlSafe(format!("SELECT {COLUMNS} FROM call_totals")));
    for row in kept.fetch_all(&mut *connection).await? {
        let (outcome, kept) = total(&CALL_TOTALS, &row)?;
        totals.0.entry(outcome).or_default().add(kept);
    }
    let sums = sums(Backend::of(connection));
    let sql = format!("SELECT {sums} FROM llm_calls WHERE settled_at >= {UNTIL} GROUP BY outcome");
    for row in sqlx::query(AssertSqlSafe(sql)).fetch_all(connection).await? {
        let (outcome, fresh) = total(&LLM_CALLS, &row)?;
        totals.0.entry(outcome).or_default().add(fresh);
    }
    Ok(totals)
}

fn total(table: &'static Table, row: &AnyRow) -> Result<(CallOutcome, CallTotal), LedgerError> {
    let total = CallTotal {
        calls: column(row, 1, table, "calls")?,
        cost: column(row, 2, table, "cost")?,
        input_tokens: column(row, 3, table, "input_tokens")?,
        cached_tokens: column(row, 4, table, "cached_tokens")?,
        cache_write_tokens: column(row, 5, table, "cache_write_tokens")?,
        output_tokens: column(row, 6, table, "output_tokens")?,
    };
    Ok((column(row, 0, table, "outcome")?, total))
}

/// Removes rows that are older than `before`, and returns their number. Adds older calls to the sums that stay.
pub(crate) async fn expire(
    connection: &mut AnyConnection,
    epoch: i64,
    before: Timestamp,
    now: Timestamp,
) -> Result<u64, LedgerError> {
    keep_sums(connection, epoch, before.max(now - LATEST_COMMIT)).await?;
    let mut removed = 0;
    for sql in [
        "DELETE FROM llm_calls WHERE settled_at < $1",
        "DELETE FROM audit WHERE at < $1",
        "DELETE FROM execution_runs WHERE finished_at < $1",
    ] {
        removed += sqlx::query(sql).bind(before.as_millisecond()).execute(&mut *connection).await?.rows_affected();
    }
    Ok(removed)
}

/// Adds the calls that were settled before `until`, and are not in them yet, to the sums that stay.
async fn keep_sums(connection: &mut AnyConnection, epoch: i64, until: Timestamp) -> Result<(), LedgerError> {
    let sums = sums(Backend::of(connection));
    let sql = format!("SELECT {sums} FROM llm_calls WHERE settled_at >= {UNTIL} AND settled_at < $1 GROUP BY outcome");
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(until.as_millisecond()).fetch_all(&mut *connection).await?;
    let addition = addition();
    for row in rows {
        let (outcome, total) = total(&LLM_CALLS, &row)?;
        let CallTotal { calls, cost, input_tokens, cached_tokens, cache_write_tokens, output_tokens } = total;
        let row = CallTotalRow {
            outcome,
            until,
            calls,
            cost,
            input_tokens,
            cached_tokens,
            cache_write_tokens,
            output_tokens,
        };
        let values = row.into_values(epoch)?;
        let query = values.iter().fold(sqlx::query(AssertSqlSafe(addition.as_str())), bind);
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Returns the statement that adds a row to the row of its outcome.
fn addition() -> String {
    let columns: Vec<_> = CALL_TOTALS.columns.iter().map(|column| column.name).collect();
    let added = CALL_TOTALS.sums.iter().map(|column| format!("{column} = call_totals.{column} + excluded.{column}"));
    let added: Vec<_> = added.collect();
    format!(
        "INSERT INTO call_totals ({}) VALUES ({}) ON CONFLICT (outcome) DO UPDATE SET epoch = excluded.epoch, \
         until = excluded.until, {}",
        columns.join(", "),
        placeholders(columns.len()),
        added.join(", ")
    )
}
