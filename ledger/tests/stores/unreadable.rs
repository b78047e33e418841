//! Rows that cannot be read: an error that names table and column, never 0, an empty text or 1970.

use jiff::{SignedDuration, Timestamp};
use manyworlds_ledger::audit::{AuditEntry, AuditStage};
use manyworlds_ledger::history::{ExecutionRun, HistoryRecord};
use manyworlds_ledger::{Ledger, LedgerError};

use super::support::{answered, budget, call, open};

/// Writes over what the ledger wrote.
async fn spoil(url: &str, statement: &'static str) {
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(url).await.unwrap();
    let changed = sqlx::query(statement).execute(&pool).await.unwrap().rows_affected();
    assert!(changed > 0, "{statement}");
    pool.close().await;
}

/// Asserts that a row was refused because of one of its columns.
#[track_caller]
fn is_refused<T: std::fmt::Debug>(read: Result<T, LedgerError>, table: &str, column: &str) {
    match read.unwrap_err() {
        LedgerError::Row { table: found, column: named, reason: _ } => assert_eq!((found, named), (table, column)),
        error => panic!("{error}"),
    }
}

/// Opens a ledger with a call that has ended, and one in flight.
async fn with_calls(url: &str) -> Ledger {
    let (ledger, now) = (open(url).await, Timestamp::now());
    let ended = call(now, "spoilt", vec![budget("b", "9.00")]);
    ledger.reserve(ended.clone()).await.unwrap();
    ledger.settle(ended.call, answered(now, "0.10")).await.unwrap();
    ledger.reserve(call(now, "spoilt", vec![budget("b", "9.00")])).await.unwrap();
    ledger
}

pub async fn an_unreadable_time_is_an_error(url: String) {
    let (ledger, now) = (with_calls(&url).await, Timestamp::now());
    let run = ExecutionRun { id: "r".into(), finished_at: Some(now), ..ExecutionRun::default() };
    let entry = AuditEntry::new(AuditStage::Order, "Failed", now);
    ledger.record(&[HistoryRecord::Run(run), HistoryRecord::Audit(entry)]).await.unwrap();
    assert_eq!((ledger.runs().await.unwrap().len(), ledger.audit_entries(None, 9).await.unwrap().len()), (1, 1));
    spoil(&url, "UPDATE audit SET at = 9223372036854775807").await;
    is_refused(ledger.audit_entries(None, 9).await, "audit", "at");
    spoil(&url, "UPDATE execution_runs SET finished_at = 9223372036854775807").await;
    is_refused(ledger.runs().await, "execution_runs", "finished_at");
    spoil(&url, "UPDATE reservations SET reserved_at = 9223372036854775807").await;
    ledger.close().await.unwrap();
    is_refused(reopened(&url).await.map(drop), "reservations", "reserved_at");
}

pub async fn an_unreadable_number_is_an_error(url: String) {
    let ledger = with_calls(&url).await;
    spoil(&url, "UPDATE llm_calls SET cost = -1").await;
    let since = Timestamp::now() - SignedDuration::from_hours(1);
    is_refused(ledger.spending_of_order("uid-spoilt").await, "llm_calls", "cost");
    is_refused(ledger.spending_of_provider("team/scripted", since).await, "llm_calls", "cost");
    is_refused(ledger.outcomes_of_order("uid-spoilt").await, "llm_calls", "cost");
    let (before, now) = (Timestamp::now(), Timestamp::now() + SignedDuration::from_hours(1));
    is_refused(ledger.expire(before, now).await, "llm_calls", "cost");
    spoil(&url, "UPDATE budgets SET spent_tokens = -1").await;
    is_refused(ledger.balance("b", None).await, "budgets", "spent_tokens");
    spoil(&url, "UPDATE reservations SET attempt = -1").await;
    ledger.close().await.unwrap();
    is_refused(reopened(&url).await.map(drop), "reservations", "attempt");
}

pub async fn an_unreadable_state_is_an_error(url: String) {
    let ledger = with_calls(&url).await;
    spoil(&url, "UPDATE rate_windows SET state = '[]'").await;
    is_refused(ledger.rate_window("team/scripted").await, "rate_windows", "state");
    spoil(&url, "UPDATE reservations SET details = ''").await;
    ledger.close().await.unwrap();
    is_refused(reopened(&url).await.map(drop), "reservations", "details");
}

pub async fn an_unreadable_outcome_is_an_error(url: String) {
    let ledger = with_calls(&url).await;
    spoil(&url, "UPDATE llm_calls SET outcome = 'Odd'").await;
    let (before, now) = (Timestamp::now(), Timestamp::now() + SignedDuration::from_hours(1));
    is_refused(ledger.expire(before, now).await, "llm_calls", "outcome");
    ledger.close().await.unwrap();
    let ledger = reopened(&url).await.unwrap();
    assert_eq!(ledger.running_totals().now(), None, "metrics show no sums rather than too little");
}

/// SQLite takes a value of any type.
pub async fn a_text_in_place_of_a_number_is_an_error(url: String) {
    let ledger = with_calls(&url).await;
    for (statement, column) in [
        ("UPDATE llm_calls SET cache_write_1h_tokens = 'many'", "input_tokens"),
        ("UPDATE llm_calls SET cost = 'much'", "cost"),
    ] {
        spoil(&url, statement).await;
        is_refused(ledger.spending_of_order("uid-spoilt").await, "llm_calls", column);
    }
    spoil(&url, "UPDATE budgets SET spent_cost = 'much'").await;
    is_refused(ledger.balance("b", None).await, "budgets", "spent_cost");
    spoil(&url, "UPDATE reservations SET cost = 'much'").await;
    ledger.close().await.unwrap();
    is_refused(reopened(&url).await.map(drop), "reservations", "cost");
}

/// Opens a store again and ends its earlier processes, so that their reservations are read.
async fn reopened(url: &str) -> Result<Ledger, LedgerError> {
    loop {
        match Ledger::open(url, "test", Timestamp::now()).await {
            Err(LedgerError::Taken(_)) => tokio::task::yield_now().await,
            opened => return opened,
        }
    }
}
