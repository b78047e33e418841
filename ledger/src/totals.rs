//! What all calls came to, for metrics: they say what the ledger says, also after a crash.
//!
//! The sums of a process begin with those of the store, read once, and go on with what it commits, in memory. Of rows that
//! are older than [`LATEST_COMMIT`] the store keeps the sums, which stay when the rows are removed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use manyworlds_api::Money;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use crate::call::CallOutcome;
use crate::error::LedgerError;
use crate::state::SettledCall;
use crate::store::{count_of, money_of};

/// A settlement is committed within this time after its own: later ones would be missing in the sums.
const LATEST_COMMIT: SignedDuration = SignedDuration::from_mins(10);

/// What some calls came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallTotal {
    /// How many they are.
    pub calls: u64,
    /// What they have cost.
    pub cost: Money,
    /// Input tokens that were neither read from the Provider's cache nor written to it.
    pub input_tokens: u64,
    /// Input tokens that were read from it.
    pub cached_tokens: u64,
    /// Input tokens that were written to it.
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

/// What all calls came to, by outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallTotals(HashMap<CallOutcome, CallTotal>);

impl CallTotals {
    /// Returns what those of an outcome came to.
    pub fn of(&self, outcome: CallOutcome) -> CallTotal {
        self.0.get(&outcome).copied().unwrap_or_default()
    }

    /// Returns what all of them came to.
    pub fn all(&self) -> CallTotal {
        let mut all = CallTotal::default();
        self.0.values().for_each(|total| all.add(*total));
        all
    }
}

/// The sums as they stand. Clones share them, and hold no store open.
#[derive(Clone, Debug, Default)]
pub struct RunningTotals(Arc<Mutex<Option<CallTotals>>>);

impl RunningTotals {
    /// Returns the sums, unless they could not be read.
    pub fn now(&self) -> Option<CallTotals> {
        self.inner().clone()
    }

    fn inner(&self) -> MutexGuard<'_, Option<CallTotals>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the sums of the store, in which everything is that was counted before.
    pub(crate) fn begin(&self, totals: CallTotals) {
        *self.inner() = Some(totals);
    }

    /// Counts calls that have been committed.
    pub(crate) fn count<'a>(&self, settled: impl Iterator<Item = &'a SettledCall>) {
        if let Some(totals) = self.inner().as_mut() {
            for SettledCall { held: _, settlement, tokens, cost } in settled {
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

/// The sums over rows of calls, in the order of the columns of `call_totals`.
const SUMS: &str = "outcome, COUNT(*), CAST(SUM(cost) AS BIGINT), CAST(SUM(input_tokens) AS BIGINT), \
    CAST(SUM(cached_tokens) AS BIGINT), CAST(SUM(cache_write_5m_tokens + cache_write_1h_tokens) AS BIGINT), \
    CAST(SUM(output_tokens) AS BIGINT)";
const COLUMNS: &str = "outcome, calls, cost, input_tokens, cached_tokens, cache_write_tokens, output_tokens";
/// Until when calls are in `call_totals`.
const UNTIL: &str = "(SELECT COALESCE(MAX(until), 0) FROM call_totals)";

/// Reads the sums of the store.
pub(crate) async fn read(connection: &mut AnyConnection) -> Result<CallTotals, LedgerError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM call_totals \
         UNION ALL SELECT {SUMS} FROM llm_calls WHERE settled_at >= {UNTIL} GROUP BY outcome"
    );
    let mut totals = CallTotals::default();
    for row in sqlx::query(AssertSqlSafe(sql)).fetch_all(connection).await? {
        let name: String = row.try_get(0)?;
        if let Some(outcome) = CallOutcome::ALL.into_iter().find(|outcome| outcome.name() == name) {
            totals.0.entry(outcome).or_default().add(total(&row)?);
        }
    }
    Ok(totals)
}

fn total(row: &AnyRow) -> Result<CallTotal, LedgerError> {
    let count = |column: usize| row.try_get(column).map(count_of);
    Ok(CallTotal {
        calls: count(1)?,
        cost: money_of(row.try_get(2)?),
        input_tokens: count(3)?,
        cached_tokens: count(4)?,
        cache_write_tokens: count(5)?,
        output_tokens: count(6)?,
    })
}

/// Removes what is older than `before`, and keeps what calls came to.
pub(crate) async fn expire(
    connection: &mut AnyConnection,
    epoch: i64,
    before: Timestamp,
    now: Timestamp,
) -> Result<u64, LedgerError> {
    let until = before.max(now - LATEST_COMMIT).as_millisecond();
    let more = COLUMNS.split(", ").skip(1).map(|column| format!("{column} = call_totals.{column} + excluded.{column}"));
    let more = more.collect::<Vec<_>>().join(", ");
    let keep = format!(
        "INSERT INTO call_totals ({COLUMNS}, epoch, until) \
         SELECT {SUMS}, CAST($1 AS BIGINT), CAST($2 AS BIGINT) FROM llm_calls \
         WHERE settled_at >= {UNTIL} AND settled_at < $2 GROUP BY outcome \
         ON CONFLICT (outcome) DO UPDATE SET epoch = excluded.epoch, until = excluded.until, {more}"
    );
    sqlx::query(AssertSqlSafe(keep)).bind(epoch).bind(until).execute(&mut *connection).await?;
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
