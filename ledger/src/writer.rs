//! The one task that writes.
//!
//! It takes all that was asked while it wrote into the next transaction: a transaction costs about the same for one call as
//! for a hundred. Answers are given when it has been committed.

mod batch;
mod changed_rows;
mod checkpoints;
mod close_runs;
mod load;
mod recovery;
mod single_statement;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use manyworlds_metering::rate_window::UpstreamLimit;
use tokio::sync::{mpsc, oneshot, watch};

use crate::audit::AuditLog;
use crate::call::{CallId, Reservation, ReserveResult, SettleResult, Settlement};
use crate::error::LedgerError;
use crate::history::HistoryRecord;
use crate::store::statement::{OnConflict, Row};
use crate::store::tables::{self, Table};
use crate::store::{Backend, Database, WritingConnection};
use crate::totals::RunningTotals;
use batch::Batches;
use checkpoints::Checkpoints;
use recovery::Recovery;

/// How many may wait for the writer. Who comes later waits to wait.
const QUEUE: usize = 4096;
/// How many are taken into one transaction.
const BATCH: usize = 256;
/// How often a process shows that it lives.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, LedgerError>>;

/// What the writer is asked.
pub(crate) enum Command {
    Reserve(Box<Reservation>, Reply<ReserveResult>),
    Settle(CallId, Box<Settlement>, Reply<SettleResult>),
    Release(CallId, Timestamp, Reply<SettleResult>),
    UpstreamLimits {
        provider: String,
        now: Timestamp,
        remaining: Vec<UpstreamLimit>,
        not_before: Option<Timestamp>,
        reply: Reply<()>,
    },
    Recover(Timestamp, Reply<u64>),
    Put(Vec<(&'static Table, OnConflict, Row)>, Reply<()>),
    CloseRuns {
        ids: Vec<String>,
        outcome: String,
        at: Timestamp,
        reply: Reply<()>,
    },
    Expire {
        before: Timestamp,
        now: Timestamp,
        reply: Reply<u64>,
    },
    Close(Reply<()>),
}

/// The way to the task.
#[derive(Clone)]
pub(crate) struct Writer(mpsc::Sender<Command>);

impl Writer {
    /// Starts the task. It tells whether another process has taken this one for dead.
    pub(crate) async fn start(
        connection: WritingConnection,
        epoch: i64,
        database: &Arc<Database>,
        audit: AuditLog,
        running_totals: RunningTotals,
    ) -> Result<(Self, watch::Receiver<bool>), LedgerError> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (superseding, superseded) = watch::channel(false);
        let recovery = Recovery::new(database, superseding);
        let batches = Batches::new(connection, recovery, epoch, audit, running_totals).await?;
        tokio::spawn(run(batches, receiver, Checkpoints::new(database)));
        Ok((Self(sender), superseded))
    }

    /// Asks and waits for the answer.
    pub(crate) async fn ask<T>(&self, asked: impl FnOnce(Reply<T>) -> Command) -> Result<T, LedgerError> {
        let (reply, answer) = oneshot::channel();
        self.0.send(asked(reply)).await.map_err(|_| LedgerError::Closed)?;
        answer.await.map_err(|_| LedgerError::Closed)?
    }

    /// Writes records down, all or none.
    pub(crate) async fn record(&self, records: &[HistoryRecord], epoch: i64) -> Result<(), LedgerError> {
        let mut rows: Vec<_> = records.iter().map(|record| record.row(epoch)).collect();
        rows.sort_by_key(|(table, ..)| tables::place(table));
        self.ask(|reply| Command::Put(rows, reply)).await
    }

    /// Returns a way that does not keep the task alive.
    pub(crate) fn downgrade(&self) -> WeakWriter {
        WeakWriter(self.0.downgrade())
    }
}

/// A way to the task as long as others have one.
pub(crate) struct WeakWriter(mpsc::WeakSender<Command>);

impl WeakWriter {
    /// Writes records down, all or none.
    pub(crate) async fn record(&self, records: &[HistoryRecord], epoch: i64) -> Result<(), LedgerError> {
        let sender = self.0.upgrade().ok_or(LedgerError::Closed)?;
        Writer(sender).record(records, epoch).await
    }
}

async fn run(mut batches: Batches, mut receiver: mpsc::Receiver<Command>, mut checkpoints: Checkpoints) {
    let backend = checkpoints.backend();
    let mut life = tokio::time::interval(HEARTBEAT_INTERVAL);
    let mut taken = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            // First, so that a process that always has something to write is not taken for dead.
            biased;
            _ = life.tick(), if backend == Backend::Postgres => {
                live(&mut batches).await;
                // From now on: where this waits for a lock as long as the interval is, nobody else would have a turn.
                life.reset();
                continue;
            }
            count = receiver.recv_many(&mut taken, BATCH) => if count == 0 { return },
        }
        // What is asked after a request to close has to be refused, not forgotten.
        if let Some(place) = taken.iter().position(|asked| matches!(asked, Command::Close(_))) {
            let behind = taken.split_off(place);
            batches.run(std::mem::take(&mut taken)).await;
            let closed = batches.close(Timestamp::now()).await;
            if let Some(Command::Close(reply)) = behind.into_iter().next() {
                // Whoever asked may have gone.
                let _ = reply.send(closed);
            }
            return;
        }
        batches.run(std::mem::take(&mut taken)).await;
        checkpoints.wrote(batches.connection()).await;
    }
}

/// Shows that this process lives, and settles what those that do not had reserved.
async fn live(batches: &mut Batches) {
    let now = Timestamp::now();
    if let Err(error) = batches.heartbeat(now).await {
        return tracing::warn!(%error, "the ledger could not be told that this process lives");
    }
    let (reply, answer) = oneshot::channel();
    batches.run(vec![Command::Recover(now, reply)]).await;
    if let Ok(Ok(calls @ 1..)) = answer.await {
        tracing::warn!(calls, "settled the calls of processes that died at their upper bound");
    }
}
