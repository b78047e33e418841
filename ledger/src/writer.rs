//! The one task that writes.
//!
//! It takes all commands that came while it wrote into the next transaction: a transaction costs about the same for one call
//! as for a hundred. Answers are sent after the commit.

mod audit_entry;
mod batch;
mod changed_rows;
mod checkpoints;
mod close_runs;
mod load;
mod prepared_statements;
mod recovery;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::audit::log::AuditLog;
use crate::command::{Command, Reply};
use crate::ending::Ending;
use crate::error::LedgerError;
use crate::history::HistoryRecord;
use crate::store::backend::Backend;
use crate::store::database::{Database, WritingConnection};
use crate::tables;
use crate::totals::RunningTotals;
use batch::Batches;
use checkpoints::Checkpoints;
use recovery::Recovery;

/// The most commands that wait for the writer. Further callers wait for a place among them.
const QUEUE: usize = 4096;
/// The most commands in one transaction.
const BATCH: usize = 256;
/// The interval in which a process extends its lease.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);

/// The sending end of the task's queue.
#[derive(Clone)]
pub(crate) struct Writer(mpsc::Sender<Command>);

impl Writer {
    /// Starts the task. `ending` is told when another process has ended this one's epoch, and of a panic.
    pub(crate) async fn start(
        connection: WritingConnection,
        epoch: i64,
        database: &Arc<Database>,
        audit: AuditLog,
        running_totals: RunningTotals,
        ending: &Ending,
    ) -> Result<Self, LedgerError> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let recovery = Recovery::new(database, ending.clone());
        let batches = Batches::new(connection, recovery, epoch, audit, running_totals).await?;
        ending.spawn(run(batches, receiver, Checkpoints::new(database)));
        Ok(Self(sender))
    }

    /// Sends a command and waits for its answer.
    pub(crate) async fn send<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, LedgerError> {
        let (reply, answer) = oneshot::channel();
        self.0.send(command(reply)).await.map_err(|_| LedgerError::Closed)?;
        answer.await.map_err(|_| LedgerError::Closed)?
    }

    /// Writes records, all or none.
    pub(crate) async fn record(&self, records: &[HistoryRecord], epoch: i64) -> Result<(), LedgerError> {
        let mut insertions = records.iter().map(|record| record.insertion(epoch)).collect::<Result<Vec<_>, _>>()?;
        insertions.sort_by_key(|insertion| tables::position(insertion.table));
        self.send(|reply| Command::Insert(insertions, reply)).await
    }

    /// Returns a sender that does not keep the task alive.
    pub(crate) fn downgrade(&self) -> WeakWriter {
        WeakWriter(self.0.downgrade())
    }
}

/// A sender that does not keep the task alive.
pub(crate) struct WeakWriter(mpsc::WeakSender<Command>);

impl WeakWriter {
    /// Writes records, all or none.
    pub(crate) async fn record(&self, records: &[HistoryRecord], epoch: i64) -> Result<(), LedgerError> {
        let sender = self.0.upgrade().ok_or(LedgerError::Closed)?;
        Writer(sender).record(records, epoch).await
    }
}

async fn run(mut batches: Batches, mut receiver: mpsc::Receiver<Command>, mut checkpoints: Checkpoints) {
    let backend = checkpoints.backend();
    let mut heartbeats = tokio::time::interval(HEARTBEAT_INTERVAL);
    let mut taken = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            // First, so that the lease of a process that always has something to write does not end.
            biased;
            _ = heartbeats.tick(), if backend == Backend::Postgres => {
                heartbeat(&mut batches).await;
                // From now on: where this waits for a lock as long as the interval is, no command would have a turn.
                heartbeats.reset();
                continue;
            }
            count = receiver.recv_many(&mut taken, BATCH) => if count == 0 { return },
        }
        // Commands behind one to close have to be refused, not forgotten.
        if let Some(position) = taken.iter().position(|command| matches!(command, Command::Close(_))) {
            let behind = taken.split_off(position);
            batches.run(std::mem::take(&mut taken)).await;
            let closed = batches.close(Timestamp::now()).await;
            if let Some(Command::Close(reply)) = behind.into_iter().next() {
                // The caller may be gone.
                let _ = reply.send(closed);
            }
            return;
        }
        batches.run(std::mem::take(&mut taken)).await;
        checkpoints.wrote(batches.connection()).await;
    }
}

/// Extends the lease of this process, and settles the reservations of processes whose lease has ended.
async fn heartbeat(batches: &mut Batches) {
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
