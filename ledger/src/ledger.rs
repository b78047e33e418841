//! The ledger as the rest of the operator uses it: opening, commands, closing.

use std::future::{Future, pending};
use std::sync::Arc;

use jiff::Timestamp;
use manyworlds_metering::rate_window::UpstreamLimit;
use sqlx::AnyPool;
use tokio::sync::watch;

use crate::audit::entry::{AuditEntry, AuditStage};
use crate::audit::log::{self, AuditLog};
use crate::audit::writer::AuditWriter;
use crate::call::{CallId, Reservation, ReserveResult, SettleResult, Settlement};
use crate::command::Command;
use crate::ending::Ending;
use crate::error::LedgerError;
use crate::history::HistoryRecord;
use crate::migrations;
use crate::store::backend::Backend;
use crate::store::database::Database;
use crate::totals::RunningTotals;
use crate::writer::Writer;

/// The ledger. Clones share it.
#[derive(Clone)]
pub struct Ledger {
    writer: Writer,
    readers: Arc<Database>,
    audit: AuditLog,
    running_totals: RunningTotals,
    epoch: i64,
    ended: watch::Receiver<Option<LedgerError>>,
}

impl Ledger {
    /// Opens a store that has been migrated, and begins a new epoch.
    ///
    /// - **Shape:** `sqlite://<path>` or `postgres://<user>:<password>@<host>/<database>`; `writer` names the process, such as its pod.
    /// - **Guarantees:** a SQLite file has one writing process at a time. Reservations of dead processes are settled at their upper bound.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when the store cannot be reached, belongs to another process, or has not been migrated.
    pub async fn open(url: &str, writer: &str, now: Timestamp) -> Result<Self, LedgerError> {
        let database = Database::open(url).await?;
        migrations::check_open(&database).await?;
        let (connection, epoch) = database.begin_epoch(writer, now).await?;
        let readers = Arc::new(database);
        let (audit, receiver) = log::channel();
        let running_totals = RunningTotals::default();
        let (ending, ended) = Ending::channel();
        let (lines, totals) = (audit.clone(), running_totals.clone());
        let writer = Writer::start(connection, epoch, &readers, lines, totals, &ending).await?;
        ending.spawn(AuditWriter::new(receiver, writer.downgrade(), epoch).run());
        let ledger = Self { writer, readers, audit, running_totals, epoch, ended };
        let left = ledger.recover(now).await?;
        if left > 0 {
            tracing::warn!(calls = left, "settled the calls of processes that died at their upper bound");
        }
        Ok(ledger)
    }

    /// Returns the epoch of this process. Its rows carry it.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Resolves when this process may write no more, and has to end and start anew.
    ///
    /// - **Guarantees:** happens after a panic in a part of the ledger, and on PostgreSQL when another process has ended this one's
    ///   epoch, because its lease had ended.
    pub fn must_end(&self) -> impl Future<Output = LedgerError> + Send + use<> {
        let mut ended = self.ended.clone();
        async move {
            let told = match ended.wait_for(Option::is_some).await {
                Ok(told) => told.clone(),
                Err(_) => None,
            };
            match told {
                Some(why) => why,
                // It was closed before.
                None => pending().await,
            }
        }
    }

    /// Returns the sums of all calls, those of earlier processes and those whose rows were removed included.
    ///
    /// - **Guarantees:** needs no query; never falls. Calls of other processes on the same PostgreSQL are missing for up to ten seconds.
    pub fn running_totals(&self) -> RunningTotals {
        self.running_totals.clone()
    }

    /// Reserves a call at the rate window, the breaker and every budget, in one transaction.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]: nothing is reserved then, and the call must not be made.
    pub async fn reserve(&self, reservation: Reservation) -> Result<ReserveResult, LedgerError> {
        self.writer.send(|reply| Command::Reserve(Box::new(reservation), reply)).await
    }

    /// Settles a call: its cost and its tokens take the place of what was reserved.
    ///
    /// - **Guarantees:** counts once, however often it is repeated.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]: the reservation stays, and is settled at its upper bound when this process is gone.
    pub async fn settle(&self, call: CallId, settlement: Settlement) -> Result<SettleResult, LedgerError> {
        self.writer.send(|reply| Command::Settle(call, Box::new(settlement), reply)).await
    }

    /// Gives back what was reserved for a call that never went out.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]: the reservation stays.
    pub async fn release(&self, call: CallId, now: Timestamp) -> Result<SettleResult, LedgerError> {
        self.writer.send(|reply| Command::Release(call, now, reply)).await
    }

    /// Records the limits that upstream reported, and the time before which it wants no call.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn record_upstream_limits(
        &self,
        provider: String,
        now: Timestamp,
        limits: Vec<UpstreamLimit>,
        not_before: Option<Timestamp>,
    ) -> Result<(), LedgerError> {
        self.writer.send(|reply| Command::UpstreamLimits { provider, now, limits, not_before, reply }).await
    }

    /// Settles the reservations of dead processes at their upper bound, and returns their number.
    ///
    /// - **Guarantees:** a repetition changes nothing; a call counts once even when its process lives after all.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn recover(&self, now: Timestamp) -> Result<u64, LedgerError> {
        self.writer.send(|reply| Command::Recover(now, reply)).await
    }

    /// Writes records of history, all or none.
    ///
    /// - **Guarantees:** a record may refer to any other one, before or behind it; of two with the same key the later one stays.
    ///
    /// # Errors
    ///
    /// [`LedgerError`], also when a record refers to one that is not there.
    pub async fn record(&self, records: &[HistoryRecord]) -> Result<(), LedgerError> {
        self.writer.record(records, self.epoch()).await
    }

    /// Closes runs that have not ended: themselves at `at`, and their tasks, attempts and worktrees at the end of the run.
    ///
    /// - **Guarantees:** whatever has ended stays as it is.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn close_runs(&self, ids: Vec<String>, outcome: &str, at: Timestamp) -> Result<(), LedgerError> {
        if ids.is_empty() {
            return Ok(());
        }
        let outcome = outcome.to_owned();
        self.writer.send(|reply| Command::CloseRuns { ids, outcome, at, reply }).await
    }

    /// Removes calls, audit entries and runs that ended before a time, and returns their number. Sums of budgets and of all calls
    /// stay.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn expire(&self, before: Timestamp, now: Timestamp) -> Result<u64, LedgerError> {
        self.writer.send(|reply| Command::Expire { before, now, reply }).await
    }

    /// Adds a line to the audit log.
    ///
    /// - **Guarantees:** never waits. A line that does not fit is dropped, and the log says how many were.
    pub fn audit(&self, stage: AuditStage, entry: AuditEntry) {
        self.audit.add(stage, entry);
    }

    /// Closes the ledger after all commands so far, so that another process may open the store.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn close(self) -> Result<(), LedgerError> {
        self.audit.flush().await;
        self.writer.send(Command::Close).await
    }

    /// Returns the connections that read.
    pub(crate) fn readers(&self) -> &AnyPool {
        &self.readers.pool
    }

    pub(crate) fn backend(&self) -> Backend {
        self.readers.backend
    }
}
