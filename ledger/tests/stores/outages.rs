//! A PostgreSQL server that ends, ends connections, or keeps a lock; and a process that another has taken the place of.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use manyworlds_ledger::{Ledger, LedgerError, ReserveResult, SettleResult};
use sqlx::{AnyConnection, Connection};
use tokio::time::timeout;

use super::support::{Postgres, answered, budget, call, dollars, open};

/// More than anybody may have to wait.
const PATIENCE: Duration = Duration::from_mins(3);

async fn reserve(ledger: &Ledger) -> Result<ReserveResult, LedgerError> {
    let asked = ledger.reserve(call(Timestamp::now(), "away", vec![budget("b", "9.00")]));
    timeout(PATIENCE, asked).await.unwrap()
}

/// Waits until the ledger reserves again.
async fn is_granted(ledger: &Ledger) {
    let end = Instant::now() + PATIENCE;
    while reserve(ledger).await.is_err() {
        assert!(Instant::now() < end, "the ledger does not go on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A fail-over ends connections, and so does an administrator; who asks next does not notice.
pub async fn a_connection_that_the_server_ends_is_made_anew_unseen(server: &Postgres, url: &str) {
    let ledger = open(url).await;
    let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'ledger'";
    for _ in 0..3 {
        assert!(server.sql("postgres", ended));
        assert_eq!(reserve(&ledger).await.unwrap(), ReserveResult::Granted);
    }
    assert_eq!(ledger.calls_in_flight().await.unwrap(), 3);
    ledger.close().await.unwrap();
}

/// While the server is away, callers get an error; afterwards what was reserved is settled, in the same epoch.
pub async fn calls_go_on_when_the_server_has_started_again(server: &mut Postgres, url: &str) {
    let (ledger, now) = (open(url).await, Timestamp::now());
    let before = call(now, "restart", vec![budget("r", "9.00")]);
    assert_eq!(ledger.reserve(before.clone()).await.unwrap(), ReserveResult::Granted);
    server.stop();
    assert!(matches!(reserve(&ledger).await.unwrap_err(), LedgerError::Unreachable(_)));
    server.serve();
    is_granted(&ledger).await;
    let settled = ledger.settle(before.call, answered(now, "0.10")).await.unwrap();
    assert_eq!(settled, SettleResult::Settled(dollars("0.10")));
    assert_eq!(ledger.balance("r", None).await.unwrap().spent.cost, dollars("0.10"));
    ledger.close().await.unwrap();
}

/// A process that is cut off in the middle of a transaction keeps the lock; all that ask meanwhile are answered together.
pub async fn who_meets_a_lock_that_is_held_gets_an_error(url: &str) {
    let ledger = open(url).await;
    let mut other = AnyConnection::connect(url).await.unwrap();
    let mut held = other.begin().await.unwrap();
    let lock = i64::from_be_bytes(*b"\0\0worlds");
    let taken = sqlx::query("SELECT CAST(pg_advisory_xact_lock($1) AS TEXT)").bind(lock);
    taken.fetch_one(&mut *held).await.unwrap();
    let (one, two, three) = tokio::join!(reserve(&ledger), reserve(&ledger), reserve(&ledger));
    for answer in [one, two, three] {
        assert!(matches!(answer.unwrap_err(), LedgerError::Locked));
    }
    held.rollback().await.unwrap();
    is_granted(&ledger).await;
    ledger.close().await.unwrap();
}

/// Who was taken for dead hears of it with the next call, so that it can end.
pub async fn who_is_superseded_is_told_so(url: &str) {
    let ledger = open(url).await;
    let mut other = AnyConnection::connect(url).await.unwrap();
    let ended = sqlx::query("UPDATE epochs SET ended_at = 1 WHERE epoch = $1").bind(ledger.epoch());
    ended.execute(&mut other).await.unwrap();
    let superseded = ledger.must_end();
    assert!(matches!(reserve(&ledger).await.unwrap_err(), LedgerError::Superseded(_)));
    let told = timeout(PATIENCE, superseded).await.unwrap();
    assert!(told.to_string().contains("has to start anew"), "{told}");
}
