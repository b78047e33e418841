//! The ledger: money, limits, history and audit, in SQLite or PostgreSQL.
//!
//! - [`Ledger`]: opens a store; reserves, settles and releases calls; writes history and audit.
//! - `call`: what is asked of it and what it answers.
//! - `state`: the rules over what is held in memory: pure.
//! - [`audit`]: what was decided, as rows and as lines of the log.
//! - `writer`: the one task that writes. It takes what has been asked in the meantime into one transaction.
//! - `totals`: what all calls came to, for metrics.
//! - `store`: tables, rows and SQL.
//!
//! **Architecture invariant:** whoever gets an answer reads it after its transaction has been committed. A process that
//! dies at any point leaves reservations, which the next one settles at their upper bound.

pub mod audit;
mod call;
mod error;
pub mod history;
pub mod migrations;
mod reading;
mod state;
mod store;
mod totals;
mod transfer;
mod writer;

use std::future::{Future, pending};
use std::sync::Arc;

use jiff::Timestamp;
use manyworlds_metering::rate_window::UpstreamLimit;

pub use call::{
    BudgetAccount, CallId, CallOutcome, CallUsage, Caller, OpenReservation, Reservation, ReservationDetails,
    ReserveResult, SettleResult, Settlement,
};
pub use error::LedgerError;
pub use reading::{CallCount, LastCall, OrderReference, Spending, StoredRun};
pub use totals::{CallTotal, CallTotals, RunningTotals};
pub use transfer::{TransferredTable, rows, transfer};

use audit::{AuditEntry, AuditLog, AuditStage, AuditWriter};
use store::Database;
use tokio::sync::watch;
use writer::{Command, Writer};

/// The ledger. Clones share it.
#[derive(Clone)]
pub struct Ledger {
    writer: Writer,
    readers: Arc<Database>,
    audit: AuditLog,
    running_totals: RunningTotals,
    epoch: i64,
    superseded: watch::Receiver<bool>,
}

impl Ledger {
    /// Opens a store that has been migrated, and takes a new epoch.
    ///
    /// - **Shape:** `sqlite://<path>` or `postgres://<user>:<password>@<host>/<database>`; `writer` names the process, such as its pod.
    /// - **Guarantees:** a SQLite file has one writing process at a time. What dead processes had reserved is settled at its upper bound.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when the store cannot be reached, belongs to another process, or has not been migrated.
    pub async fn open(url: &str, writer: &str, now: Timestamp) -> Result<Self, LedgerError> {
        let database = Database::open(url).await?;
        migrations::check_open(&database).await?;
        let (connection, epoch) = database.begin_epoch(writer, now).await?;
        let readers = Arc::new(database);
        let (audit, notes) = audit::channel();
        let running_totals = RunningTotals::default();
        let (writer, superseded) =
            Writer::start(connection, epoch, &readers, audit.clone(), running_totals.clone()).await?;
        tokio::spawn(AuditWriter::new(notes, writer.downgrade(), epoch).run());
        let ledger = Self { writer, readers, audit, running_totals, epoch, superseded };
        let left = ledger.recover(now).await?;
        if left > 0 {
            tracing::warn!(calls = left, "settled the calls of processes that died at their upper bound");
        }
        Ok(ledger)
    }

    /// Returns the epoch of this process, which its rows carry.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Resolves when another process has taken this one for dead and goes on in its place, as PostgreSQL's processes do: this one
    /// writes no more, and has to end so that it is started anew.
    pub fn superseded(&self) -> impl Future<Output = LedgerError> + Send + use<> {
        let (mut superseded, epoch) = (self.superseded.clone(), self.epoch);
        async move {
            if superseded.wait_for(|superseded| *superseded).await.is_err() {
                // It was closed before.
                pending::<()>().await;
            }
            LedgerError::Superseded(epoch)
        }
    }

    /// Returns what all calls came to, those of earlier processes and those whose rows were removed included.
    ///
    /// - **Guarantees:** costs no query; never becomes smaller. Of other processes on the same PostgreSQL it is ten seconds old.
    pub fn running_totals(&self) -> RunningTotals {
        self.running_totals.clone()
    }

    /// Asks for a call: the rate window, the breaker and every holder, in one transaction.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]: nothing is reserved then, and the call must not be made.
    pub async fn reserve(&self, reservation: Reservation) -> Result<ReserveResult, LedgerError> {
        self.writer.ask(|reply| Command::Reserve(Box::new(reservation), reply)).await
    }

    /// AuditReceiver what a call has used.
    ///
    /// - **Guarantees:** counts once, however often it is said.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]: the reservation stands, and is settled at its upper bound when this process is gone.
    pub async fn settle(&self, call: CallId, settlement: Settlement) -> Result<SettleResult, LedgerError> {
        self.writer.ask(|reply| Command::Settle(call, Box::new(settlement), reply)).await
    }

    /// Gives back what was reserved for a call that never went out.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]: the reservation stands.
    pub async fn release(&self, call: CallId, now: Timestamp) -> Result<SettleResult, LedgerError> {
        self.writer.ask(|reply| Command::Release(call, now, reply)).await
    }

    /// AuditReceiver what upstream says of its own count, and when it wants the next call.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn record_upstream_limits(
        &self,
        provider: String,
        now: Timestamp,
        remaining: Vec<UpstreamLimit>,
        not_before: Option<Timestamp>,
    ) -> Result<(), LedgerError> {
        self.writer.ask(|reply| Command::UpstreamLimits { provider, now, remaining, not_before, reply }).await
    }

    /// Settles what dead processes had reserved at its upper bound.
    ///
    /// - **Guarantees:** again changes nothing; a call counts once even when its process lives after all.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn recover(&self, now: Timestamp) -> Result<u64, LedgerError> {
        self.writer.ask(|reply| Command::Recover(now, reply)).await
    }

    /// Has a line of the audit log written.
    ///
    /// - **Guarantees:** never waits. A line that finds no place is counted in the log.
    pub fn audit(&self, stage: AuditStage, entry: AuditEntry) {
        self.audit.note(stage, entry);
    }

    /// Ends the writing task after what was asked so far, so that another process may open the store.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn close(self) -> Result<(), LedgerError> {
        self.audit.flush().await;
        self.writer.ask(Command::Close).await
    }
}
