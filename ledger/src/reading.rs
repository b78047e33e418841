//! What the operator, the console and reports read. It never waits for the writer.

use std::collections::BTreeMap;

use jiff::Timestamp;
use manyworlds_api::Money;
use manyworlds_metering::breaker::Breaker;
use manyworlds_metering::budget::Balance;
use manyworlds_metering::rate_window::RateWindow;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use crate::Ledger;
use crate::audit::AuditEntry;
use crate::error::LedgerError;
use crate::store::tables::{AUDIT, BREAKER, RATE_WINDOWS};
use crate::store::{account_of_row, count_of, money_of, parse_state, statement};

/// What calls have used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spending {
    /// What they have cost.
    pub cost: Money,
    /// Input tokens that were not read from the Provider's cache, those written to it counted.
    pub input_tokens: u64,
    /// Input tokens that were.
    pub cached_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// How many they are: those that a model answered, or may have.
    pub calls: u64,
}

impl Spending {
    /// Returns the sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            cost: Money::from_trillionths(self.cost.trillionths().saturating_add(other.cost.trillionths())),
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            cached_tokens: self.cached_tokens.saturating_add(other.cached_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            calls: self.calls.saturating_add(other.calls),
        }
    }
}

/// How many calls ended in one way, and what they have cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallCount {
    /// The outcome's name.
    pub outcome: String,
    /// How many.
    pub calls: u64,
    /// What they have cost.
    pub cost: Money,
}

/// How the last call of a Provider ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastCall {
    /// The outcome's name.
    pub outcome: String,
    /// The status of the answer; 0 where there was none.
    pub status: i64,
}

/// An order that calls were settled for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OrderReference {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub work_order: String,
    /// Its uid.
    pub order_uid: String,
}

/// A run that history has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRun {
    /// Uid of the order.
    pub id: String,
    /// Its namespace.
    pub namespace: String,
    /// Whether it has finished.
    pub is_finished: bool,
}

/// The columns of a [`Spending`].
const SUMS: &str = "CAST(COALESCE(SUM(cost), 0) AS BIGINT), \
    CAST(COALESCE(SUM(input_tokens + cache_write_5m_tokens + cache_write_1h_tokens), 0) AS BIGINT), \
    CAST(COALESCE(SUM(cached_tokens), 0) AS BIGINT), CAST(COALESCE(SUM(output_tokens), 0) AS BIGINT), \
    CAST(COALESCE(SUM(CASE WHEN outcome = 'Answered' OR estimated = 1 THEN 1 ELSE 0 END), 0) AS BIGINT)";

impl Ledger {
    /// Returns what each World of an order has spent, by its uid.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn spending_of_order(&self, order_uid: &str) -> Result<BTreeMap<String, Spending>, LedgerError> {
        let sql = format!("SELECT world_uid, {SUMS} FROM llm_calls WHERE order_uid = $1 GROUP BY world_uid");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(order_uid.to_owned());
        let rows = query.fetch_all(&self.readers.pool).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, spending(row, 1)?))).collect()
    }

    /// Returns the orders for which calls were settled since a time.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn orders_charged_since(&self, since: Timestamp) -> Result<Vec<OrderReference>, LedgerError> {
        let sql = "SELECT DISTINCT namespace, work_order, order_uid FROM llm_calls WHERE settled_at >= $1";
        let rows = sqlx::query(sql).bind(since.as_millisecond()).fetch_all(&self.readers.pool).await?;
        let touched = |row: &AnyRow| {
            Ok(OrderReference { namespace: row.try_get(0)?, work_order: row.try_get(1)?, order_uid: row.try_get(2)? })
        };
        rows.iter().map(touched).collect()
    }

    /// Returns what a Provider's calls have cost since a time.
    ///
    /// - **Shape:** `provider` is `<namespace>/<name>`.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn spending_of_provider(&self, provider: &str, since: Timestamp) -> Result<Spending, LedgerError> {
        let sql = format!("SELECT {SUMS} FROM llm_calls WHERE provider = $1 AND settled_at >= $2");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(provider.to_owned()).bind(since.as_millisecond());
        spending(&query.fetch_one(&self.readers.pool).await?, 0)
    }

    /// Returns how the last call of a Provider ended that says whether it can be reached.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn last_call(&self, provider: &str) -> Result<Option<LastCall>, LedgerError> {
        let sql = "SELECT outcome, status FROM llm_calls WHERE provider = $1 AND outcome IN \
            ('Answered', 'Outage', 'Refused', 'Faulty') ORDER BY settled_at DESC LIMIT 1";
        let row = sqlx::query(sql).bind(provider.to_owned()).fetch_optional(&self.readers.pool).await?;
        row.map(|row| Ok(LastCall { outcome: row.try_get(0)?, status: row.try_get(1)? })).transpose()
    }

    /// Returns how the calls of an order ended.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn outcomes_of_order(&self, order_uid: &str) -> Result<Vec<CallCount>, LedgerError> {
        let sql = "SELECT outcome, COUNT(*), CAST(SUM(cost) AS BIGINT) FROM llm_calls WHERE order_uid = $1 \
            GROUP BY outcome ORDER BY outcome";
        let rows = sqlx::query(sql).bind(order_uid.to_owned()).fetch_all(&self.readers.pool).await?;
        let count = |row: &AnyRow| {
            Ok(CallCount {
                outcome: row.try_get(0)?,
                calls: count_of(row.try_get(1)?),
                cost: money_of(row.try_get(2)?),
            })
        };
        rows.iter().map(count).collect()
    }

    /// Returns what was spent and is reserved from a budget in a period.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn balance(&self, holder: &str, period_start: Option<Timestamp>) -> Result<Balance, LedgerError> {
        let sql = "SELECT holder, period_start, epoch, spent_cost, spent_tokens, reserved_cost, reserved_tokens \
            FROM budgets WHERE holder = $1 AND period_start = $2";
        let period = period_start.map_or(0, Timestamp::as_millisecond);
        let query = sqlx::query(sql).bind(holder.to_owned()).bind(period);
        let row = query.fetch_optional(&self.readers.pool).await?;
        let Some(row) = row else { return Ok(Balance::default()) };
        let row = statement::read(&crate::store::tables::BUDGETS, &row)?;
        Ok(account_of_row(&row).map_or_else(Balance::default, |(_, account)| account))
    }

    /// Returns the rate window of a Provider.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn rate_window(&self, provider: &str) -> Result<RateWindow, LedgerError> {
        let query = sqlx::query("SELECT state FROM rate_windows WHERE provider = $1").bind(provider.to_owned());
        match query.fetch_optional(&self.readers.pool).await? {
            Some(row) => parse_state(&RATE_WINDOWS, row.try_get(0)?),
            None => Ok(RateWindow::default()),
        }
    }

    /// Returns the breakers of a Provider's models that have ever failed, by name.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn breakers(&self, provider: &str) -> Result<BTreeMap<String, Breaker>, LedgerError> {
        let query = sqlx::query("SELECT model, state FROM breaker WHERE provider = $1").bind(provider.to_owned());
        let rows = query.fetch_all(&self.readers.pool).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, parse_state(&BREAKER, row.try_get(1)?)?))).collect()
    }

    /// Returns the latest lines of the audit log, the newest first: all, or those about an order.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn audit_entries(&self, order_uid: Option<&str>, most: u32) -> Result<Vec<AuditEntry>, LedgerError> {
        let which = if order_uid.is_some() { "order_uid = $1" } else { "$1 = ''" };
        let sql = format!("{} WHERE {which} ORDER BY at DESC, id DESC LIMIT $2", statement::all(&AUDIT));
        let query = sqlx::query(AssertSqlSafe(sql)).bind(order_uid.unwrap_or_default().to_owned());
        let rows = query.bind(i64::from(most)).fetch_all(&self.readers.pool).await?;
        rows.iter().map(audit_entry).collect()
    }

    /// Returns every run that history has.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn runs(&self) -> Result<Vec<StoredRun>, LedgerError> {
        let sql = "SELECT id, namespace, finished_at FROM execution_runs";
        let rows = sqlx::query(sql).fetch_all(&self.readers.pool).await?;
        let known = |row: &AnyRow| {
            let is_finished = row.try_get::<Option<i64>, _>(2)?.is_some();
            Ok(StoredRun { id: row.try_get(0)?, namespace: row.try_get(1)?, is_finished })
        };
        rows.iter().map(known).collect()
    }

    /// Returns how many calls are under way.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn calls_in_flight(&self) -> Result<u64, LedgerError> {
        let row = sqlx::query("SELECT COUNT(*) FROM reservations").fetch_one(&self.readers.pool).await?;
        Ok(count_of(row.try_get(0)?))
    }
}

fn spending(row: &AnyRow, first: usize) -> Result<Spending, LedgerError> {
    Ok(Spending {
        cost: money_of(row.try_get(first)?),
        input_tokens: count_of(row.try_get(first + 1)?),
        cached_tokens: count_of(row.try_get(first + 2)?),
        output_tokens: count_of(row.try_get(first + 3)?),
        calls: count_of(row.try_get(first + 4)?),
    })
}

fn audit_entry(row: &AnyRow) -> Result<AuditEntry, LedgerError> {
    let milliseconds: i64 = row.try_get("at")?;
    Ok(AuditEntry {
        id: row.try_get("id")?,
        at: Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH),
        order_uid: row.try_get("order_uid")?,
        stage: row.try_get("stage")?,
        result: row.try_get("result")?,
        details: row.try_get("details")?,
        counts: row.try_get("counts")?,
        size_before: row.try_get("size_before")?,
        size_after: row.try_get("size_after")?,
        retry_count: row.try_get("retry_count")?,
        failure_reason: row.try_get("failure_reason")?,
    })
}
