//! The queries of the operator, the console and reports. They do not wait for the writer.

use std::collections::BTreeMap;

use jiff::Timestamp;
use manyworlds_api::Money;
use manyworlds_metering::breaker::Breaker;
use manyworlds_metering::budget::Balance;
use manyworlds_metering::rate_window::RateWindow;
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use crate::audit::entry::{AUDIT, AuditEntry};
use crate::error::LedgerError;
use crate::history::EXECUTION_RUNS;
use crate::ledger::Ledger;
use crate::store::backend::Backend;
use crate::store::rows::{BREAKER, BUDGETS, LLM_CALLS, RATE_WINDOWS, RESERVATIONS, balance};
use crate::store::statement::selection;
use crate::store::table::{TableRow, column, read};

/// The sums of some calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spending {
    /// Their cost.
    pub cost: Money,
    /// Input tokens that were not read from the Provider's cache, those written to it included.
    pub input_tokens: u64,
    /// Input tokens that were read from the Provider's cache.
    pub cached_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// The number of calls that a model answered, or may have.
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

/// The number and the cost of calls with one outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallCount {
    /// The outcome's name.
    pub outcome: String,
    /// The number of calls.
    pub calls: u64,
    /// Their cost.
    pub cost: Money,
}

/// The end of the last call to a Provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastCall {
    /// The outcome's name.
    pub outcome: String,
    /// The status of the answer; 0 where there was none.
    pub status: i64,
}

/// An order, by its names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OrderReference {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub work_order: String,
    /// Its uid.
    pub order_uid: String,
}

/// A run of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRun {
    /// Uid of the order.
    pub id: String,
    /// Its namespace.
    pub namespace: String,
    /// Whether it has finished.
    pub is_finished: bool,
}

/// Returns the columns of a [`Spending`].
fn spending_columns(backend: Backend) -> String {
    let input = ["input_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"];
    let (cost, input) = (backend.sum("cost"), backend.sum_of(&input));
    let (cached, output) = (backend.sum("cached_tokens"), backend.sum("output_tokens"));
    let answered = backend.sum("CASE WHEN outcome = 'Answered' OR estimated = 1 THEN 1 ELSE 0 END");
    format!("{cost}, {input}, {cached}, {output}, {answered}")
}

impl Ledger {
    /// Returns the spending of each World of an order, by its uid.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn spending_of_order(&self, order_uid: &str) -> Result<BTreeMap<String, Spending>, LedgerError> {
        let sums = spending_columns(self.backend());
        let sql = format!("SELECT world_uid, {sums} FROM llm_calls WHERE order_uid = $1 GROUP BY world_uid");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(order_uid.to_owned());
        let rows = query.fetch_all(self.readers()).await?;
        rows.iter().map(|row| Ok((column(row, 0, &LLM_CALLS, "world_uid")?, spending(row, 1)?))).collect()
    }

    /// Returns the orders for which calls were settled since a time.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn orders_charged_since(&self, since: Timestamp) -> Result<Vec<OrderReference>, LedgerError> {
        let sql = "SELECT DISTINCT namespace, work_order, order_uid FROM llm_calls WHERE settled_at >= $1";
        let rows = sqlx::query(sql).bind(since.as_millisecond()).fetch_all(self.readers()).await?;
        let order = |row: &AnyRow| {
            Ok(OrderReference {
                namespace: column(row, 0, &LLM_CALLS, "namespace")?,
                work_order: column(row, 1, &LLM_CALLS, "work_order")?,
                order_uid: column(row, 2, &LLM_CALLS, "order_uid")?,
            })
        };
        rows.iter().map(order).collect()
    }

    /// Returns the spending on a Provider's calls since a time.
    ///
    /// - **Shape:** `provider` is `<namespace>/<name>`.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn spending_of_provider(&self, provider: &str, since: Timestamp) -> Result<Spending, LedgerError> {
        let sums = spending_columns(self.backend());
        let sql = format!("SELECT {sums} FROM llm_calls WHERE provider = $1 AND settled_at >= $2");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(provider.to_owned()).bind(since.as_millisecond());
        spending(&query.fetch_one(self.readers()).await?, 0)
    }

    /// Returns the last call of a Provider whose outcome says whether it can be reached.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn last_call(&self, provider: &str) -> Result<Option<LastCall>, LedgerError> {
        let sql = "SELECT outcome, status FROM llm_calls WHERE provider = $1 AND outcome IN \
            ('Answered', 'Outage', 'Refused', 'Faulty') ORDER BY settled_at DESC LIMIT 1";
        let row = sqlx::query(sql).bind(provider.to_owned()).fetch_optional(self.readers()).await?;
        let last = |row: &AnyRow| {
            Ok(LastCall {
                outcome: column(row, 0, &LLM_CALLS, "outcome")?,
                status: column(row, 1, &LLM_CALLS, "status")?,
            })
        };
        row.as_ref().map(last).transpose()
    }

    /// Returns the number and the cost of an order's calls, by outcome.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn outcomes_of_order(&self, order_uid: &str) -> Result<Vec<CallCount>, LedgerError> {
        let cost = self.backend().sum("cost");
        let sql = format!(
            "SELECT outcome, COUNT(*), {cost} FROM llm_calls WHERE order_uid = $1 GROUP BY outcome ORDER BY outcome"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(order_uid.to_owned());
        let rows = query.fetch_all(self.readers()).await?;
        let count = |row: &AnyRow| {
            Ok(CallCount {
                outcome: column(row, 0, &LLM_CALLS, "outcome")?,
                calls: column(row, 1, &LLM_CALLS, "COUNT(*)")?,
                cost: column(row, 2, &LLM_CALLS, "cost")?,
            })
        };
        rows.iter().map(count).collect()
    }

    /// Returns the balance of a budget in a period.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn balance(&self, budget: &str, period_start: Option<Timestamp>) -> Result<Balance, LedgerError> {
        let sql = format!("{} WHERE holder = $1 AND period_start = $2", selection(&BUDGETS));
        let period = period_start.map_or(0, Timestamp::as_millisecond);
        let query = sqlx::query(AssertSqlSafe(sql)).bind(budget.to_owned()).bind(period);
        match query.fetch_optional(self.readers()).await? {
            Some(row) => Ok(balance(read(&BUDGETS, &row)?)?.1),
            None => Ok(Balance::default()),
        }
    }

    /// Returns the rate window of a Provider.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn rate_window(&self, provider: &str) -> Result<RateWindow, LedgerError> {
        let query = sqlx::query("SELECT state FROM rate_windows WHERE provider = $1").bind(provider.to_owned());
        match query.fetch_optional(self.readers()).await? {
            Some(row) => column(&row, 0, &RATE_WINDOWS, "state"),
            None => Ok(RateWindow::default()),
        }
    }

    /// Returns the breakers of those models of a Provider that have ever failed, by name.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn breakers(&self, provider: &str) -> Result<BTreeMap<String, Breaker>, LedgerError> {
        let query = sqlx::query("SELECT model, state FROM breaker WHERE provider = $1").bind(provider.to_owned());
        let rows = query.fetch_all(self.readers()).await?;
        let breaker = |row: &AnyRow| Ok((column(row, 0, &BREAKER, "model")?, column(row, 1, &BREAKER, "state")?));
        rows.iter().map(breaker).collect()
    }

    /// Returns the latest lines of the audit log, the newest first: of one order, or of all.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn audit_entries(&self, order_uid: Option<&str>, limit: u32) -> Result<Vec<AuditEntry>, LedgerError> {
        let order = if order_uid.is_some() { "order_uid = $1" } else { "$1 = ''" };
        let sql = format!("{} WHERE {order} ORDER BY at DESC, id DESC LIMIT $2", selection(&AUDIT));
        let query = sqlx::query(AssertSqlSafe(sql)).bind(order_uid.unwrap_or("").to_owned());
        let rows = query.bind(i64::from(limit)).fetch_all(self.readers()).await?;
        rows.iter().map(|row| Ok(AuditEntry::of_row(row)?.0)).collect()
    }

    /// Returns every run of the history.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn runs(&self) -> Result<Vec<StoredRun>, LedgerError> {
        let sql = "SELECT id, namespace, finished_at FROM execution_runs";
        let rows = sqlx::query(sql).fetch_all(self.readers()).await?;
        let stored = |row: &AnyRow| {
            let finished_at: Option<Timestamp> = column(row, 2, &EXECUTION_RUNS, "finished_at")?;
            Ok(StoredRun {
                id: column(row, 0, &EXECUTION_RUNS, "id")?,
                namespace: column(row, 1, &EXECUTION_RUNS, "namespace")?,
                is_finished: finished_at.is_some(),
            })
        };
        rows.iter().map(stored).collect()
    }

    /// Returns the number of calls in flight.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn calls_in_flight(&self) -> Result<u64, LedgerError> {
        let row = sqlx::query("SELECT COUNT(*) FROM reservations").fetch_one(self.readers()).await?;
        column(&row, 0, &RESERVATIONS, "COUNT(*)")
    }
}

fn spending(row: &AnyRow, first: usize) -> Result<Spending, LedgerError> {
    Ok(Spending {
        cost: column(row, first, &LLM_CALLS, "cost")?,
        input_tokens: column(row, first + 1, &LLM_CALLS, "input_tokens")?,
        cached_tokens: column(row, first + 2, &LLM_CALLS, "cached_tokens")?,
        output_tokens: column(row, first + 3, &LLM_CALLS, "output_tokens")?,
        calls: column(row, first + 4, &LLM_CALLS, "COUNT(*)")?,
    })
}
