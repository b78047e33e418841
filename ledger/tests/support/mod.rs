//! The parts that the ledger's tests share.

mod postgres;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::OnceLock;

use jiff::{SignedDuration, Timestamp};
use manyworlds_api::Money;
use manyworlds_api::provider::Limits;
use manyworlds_ledger::{
    BudgetAccount, CallId, CallOutcome, CallUsage, Caller, Ledger, LedgerError, Reservation, Settlement,
};
use manyworlds_metering::breaker::BreakerSettings;
use manyworlds_metering::budget::{Amount, SpendingLimit};
use manyworlds_metering::price::Tokens;
use manyworlds_metering::rate_window::{Demand, RateLimits};

pub use postgres::Postgres;

/// Returns the PostgreSQL server that all tests of this process share; nothing where none can be started, which is said.
///
/// # Panics
///
/// Where `CI` is set and none can be started: there no test is skipped.
pub fn shared_server() -> Option<&'static Postgres> {
    static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
    SHARED.get_or_init(own_server).as_ref()
}

/// Starts a PostgreSQL server of the test's own, which it may stop; nothing where none can be started, which is said.
///
/// # Panics
///
/// As for [`shared_server`].
pub fn own_server() -> Option<Postgres> {
    if let Err(error) = Command::new(postgres::find("initdb")).arg("--version").output() {
        let reason = format!("skipped: PostgreSQL cannot be started, {error}; install the package postgresql");
        assert!(std::env::var_os("CI").is_none(), "{reason}");
        // Not captured by the test runner, unlike `eprintln!`.
        eprintln!("{reason}");
        return None;
    }
    Some(Postgres::start())
}

/// Opens a store. One whose last writer has just gone may be held for a moment longer.
pub async fn open(url: &str) -> Ledger {
    for _ in 0..200 {
        match Ledger::open(url, "test", Timestamp::now()).await {
            Err(LedgerError::Taken(_)) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            opened => return opened.unwrap(),
        }
    }
    panic!("the store is still held");
}

pub fn dollars(text: &str) -> Money {
    text.parse().unwrap()
}

pub fn caller(order: &str, world: &str) -> Caller {
    Caller {
        namespace: "team".into(),
        work_order: order.into(),
        order_uid: format!("uid-{order}"),
        world: format!("{order}-{world}"),
        world_uid: format!("uid-{order}-{world}"),
        attempt: 1,
    }
}

pub fn budget(key: &str, most: &str) -> BudgetAccount {
    let limit = SpendingLimit { cost: Some(dollars(most)), tokens: None };
    BudgetAccount { key: key.into(), name: key.into(), limit, period_start: None }
}

/// A call of 1,000 tokens that may cost a dollar.
pub fn call(now: Timestamp, order: &str, budgets: Vec<BudgetAccount>) -> Reservation {
    let limits = Limits { requests_per_minute: 1_000_000, tokens_per_minute: 1_000_000_000, ..Limits::default() };
    Reservation {
        call: CallId::new(),
        at: now,
        caller: caller(order, "alpha"),
        provider: "team/scripted".into(),
        model: "m".into(),
        prices: "table".into(),
        demand: Demand { input: 500, output: 500 },
        most: Amount { cost: dollars("1.00"), tokens: 1000 },
        single: Amount { cost: dollars("1.00"), tokens: 1000 },
        limits: RateLimits::of(&limits),
        breaker: BreakerSettings { failures: 5, open_for: SignedDuration::from_secs(60), successes: 2 },
        budgets,
    }
}

pub fn answered(now: Timestamp, cost: &str) -> Settlement {
    let tokens = Tokens { input: 40, cached: 60, output: 20, ..Tokens::default() };
    ended(now, CallOutcome::Answered, 200, CallUsage::Reported { tokens, cost: dollars(cost) })
}

pub fn ended(now: Timestamp, outcome: CallOutcome, status: u16, usage: CallUsage) -> Settlement {
    Settlement { at: now, outcome, usage, status, retry_count: 0, first_byte_ms: Some(3), total_ms: 9 }
}

pub fn nothing(now: Timestamp, outcome: CallOutcome, status: u16) -> Settlement {
    ended(now, outcome, status, CallUsage::Reported { tokens: Tokens::default(), cost: Money::default() })
}

/// Returns what all Worlds of an order have spent.
pub async fn cost_of(ledger: &Ledger, order: &str) -> Money {
    let worlds: BTreeMap<_, _> = ledger.spending_of_order(&format!("uid-{order}")).await.unwrap();
    Money::from_trillionths(worlds.values().map(|spending| spending.cost.trillionths()).sum())
}
