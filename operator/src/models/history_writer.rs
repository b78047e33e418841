//! The history in the ledger (W10): which runs, tasks, Worlds, checkpoints and worktrees there were.
//!
//! Every row is computed from the resources, so that nothing is lost when the operator ends before it has written: the next
//! one computes it again. Only what was deleted meanwhile cannot be; its run is ended as `Deleted`.
//!
//! **Architecture invariant:** no reconciliation waits for history. The index notes which orders have changed; every few seconds
//! they are written, a few in one transaction, with a pause between transactions.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use manyworlds_api::object::OrderUid;
use manyworlds_ledger::history::HistoryRecord;
use manyworlds_ledger::{Ledger, LedgerError};
use tokio::time::MissedTickBehavior;

use super::history_progress::progress;
use super::history_rows::{OrderView, finished, rows};
use crate::index::Index;
use crate::index::changed_order::{ChangedOrder, Existence};

/// The interval between two writes of the orders that have changed. Most orders change several times within it.
const INTERVAL: Duration = Duration::from_secs(5);
/// The most orders that are written in one transaction. Their rows share statements, and a call that meets them waits a few
/// milliseconds.
const BATCH: usize = 8;
/// The shortest pause after a transaction. It leaves the ledger to calls and the thread to reconciliations.
const PAUSE: Duration = Duration::from_millis(2);
/// The pause after a transaction as a multiple of its length, so that history takes a fifth of the ledger's time at most.
const PAUSE_FACTOR: u32 = 4;
/// The outcome of an attempt that was under way when its order was over.
const CUT: &str = "Cut";
/// The outcome of a run whose order was deleted.
const DELETED: &str = "Deleted";

/// The rows of an order: hashes of their contents by hashes of their names.
type RowHashes = HashMap<u64, u64>;

/// Writes the history of orders to the ledger.
pub(crate) struct HistoryWriter {
    ledger: Ledger,
    index: Arc<Index>,
    retention: SignedDuration,
    /// The rows of orders that go on, as they were last written.
    written: HashMap<OrderUid, RowHashes>,
    /// Orders that have finished and whose rows are there.
    done: HashSet<OrderUid>,
    waiting: VecDeque<ChangedOrder>,
    /// The interval between two checkpoints of the attempts that are under way.
    interval: SignedDuration,
    /// The number of the interval in which checkpoints were last written.
    checkpointed_in: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrote {
    Rows,
    Nothing,
}

impl HistoryWriter {
    /// Makes a writer, and has the index note from now on which orders change.
    ///
    /// - **Shape:** every `interval` a checkpoint of each attempt that is under way is written.
    pub(crate) fn new(ledger: Ledger, index: Arc<Index>, retention: SignedDuration, interval: SignedDuration) -> Self {
        index.note_changes();
        let (written, done, waiting, checkpointed_in) = Default::default();
        Self { ledger, index, retention, written, done, waiting, interval, checkpointed_in }
    }

    /// Writes for ever, once everything that exists has been seen.
    ///
    /// - **Shape:** `namespace` is the only one that is watched, if there is one.
    pub(crate) async fn run(self, synced: impl Future<Output = ()>, namespace: Option<String>) {
        synced.await;
        self.write_for_ever(namespace).await;
    }

    async fn write_for_ever(mut self, namespace: Option<String>) {
        let mut tick = tokio::time::interval(INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut has_begun = false;
        loop {
            tick.tick().await;
            let now = Timestamp::now();
            if !has_begun {
                let begun = self.load(namespace.as_deref(), now).await;
                has_begun = begun.is_ok();
                log_failure(begun);
            }
            if has_begun {
                log_failure(self.write(now).await);
                log_failure(self.checkpoint(now).await);
            }
        }
    }

    /// Reads which runs the ledger has, and ends those whose order was deleted while no operator ran.
    pub(super) async fn load(&mut self, namespace: Option<&str>, now: Timestamp) -> Result<(), LedgerError> {
        let mut gone = Vec::new();
        for run in self.ledger.runs().await? {
            let is_watched = namespace.is_none_or(|namespace| run.namespace == namespace);
            match (self.index.has_order(&run.id), run.is_finished) {
                (true, true) => self.done.extend(run.id.parse::<OrderUid>()),
                (false, false) if is_watched => gone.push(run.id),
                (true | false, _) => {}
            }
        }
        self.ledger.close_runs(gone, DELETED, now).await
    }

    /// Writes the orders that have changed.
    pub(super) async fn write(&mut self, now: Timestamp) -> Result<(), LedgerError> {
        let (keys, gone) = self.index.take_changes();
        self.waiting.extend(gone);
        self.waiting.extend(keys.iter().filter_map(|key| self.index.whole(key)));
        while !self.waiting.is_empty() {
            let begun = Instant::now();
            let together: Vec<_> = self.waiting.drain(..self.waiting.len().min(BATCH)).collect();
            match self.write_orders(&together, now).await {
                Ok(Wrote::Rows) => tokio::time::sleep(PAUSE.max(begun.elapsed() * PAUSE_FACTOR)).await,
                Ok(Wrote::Nothing) => {}
                Err(_) => self.write_each(together, now).await?,
            }
        }
        Ok(())
    }

    /// Writes, once in each interval, a checkpoint of each attempt that is under way (W11).
    ///
    /// - **Guarantees:** one row for each; a process that begins in the middle of an interval writes no second one.
    pub(super) async fn checkpoint(&mut self, now: Timestamp) -> Result<(), LedgerError> {
        let milliseconds = i64::try_from(self.interval.as_millis()).unwrap_or(i64::MAX);
        let number = now.as_millisecond().div_euclid(milliseconds.max(1));
        if self.checkpointed_in == Some(number) {
            return Ok(());
        }
        for key in self.index.order_keys() {
            let Some(ChangedOrder { order, worlds, pods, .. }) = self.index.whole(&key) else { continue };
            // A checkpoint belongs to the row of an attempt, which is written first.
            let Some(written) = self.written.get(order.uid()) else { continue };
            let all = progress(&OrderView { order: &order, worlds: &worlds, pods: &pods }, number, now);
            let all = all.into_iter().filter(|one| written.contains_key(&hash(one.world_execution.as_str())));
            let all: Vec<_> = all.map(HistoryRecord::Checkpoint).collect();
            if !all.is_empty() {
                let begun = Instant::now();
                self.ledger.record(&all).await?;
                tokio::time::sleep(PAUSE.max(begun.elapsed() * PAUSE_FACTOR)).await;
            }
        }
        self.checkpointed_in = Some(number);
        Ok(())
    }

    /// Writes orders in one transaction: all of them or none.
    async fn write_orders(&mut self, orders: &[ChangedOrder], now: Timestamp) -> Result<Wrote, LedgerError> {
        let (mut all, mut written, mut cut, mut gone) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for ChangedOrder { order, worlds, pods, existence } in orders {
            let (uid, finished) = (order.uid(), finished(order));
            if finished.is_none() && *existence == Existence::Exists {
                // It had finished, and is judged again: there is more to write.
                self.done.remove(uid);
            }
            // What is older than the ledger keeps would be removed again at once.
            let is_kept = finished.is_none_or(|finished| finished > now - self.retention);
            if !is_kept || self.done.contains(uid) {
                continue;
            }
            let (changed, known) = self.changed(uid, rows(&OrderView { order, worlds, pods }));
            all.extend(changed);
            match (finished, existence) {
                (None, Existence::Exists) => written.push((uid, known)),
                (Some(_), _) => cut.push(uid.clone()),
                (None, Existence::Deleted) => gone.push(uid.clone()),
            }
        }
        let ended = [cut.clone(), gone.clone()].concat();
        let wrote = if all.is_empty() && ended.is_empty() { Wrote::Nothing } else { Wrote::Rows };
        // Asked at once, they come into one transaction. Attempts of a run that has finished end with it.
        tokio::try_join!(
            async { if all.is_empty() { Ok(()) } else { self.ledger.record(&all).await } },
            self.ledger.close_runs(texts(&cut), CUT, now),
            self.ledger.close_runs(texts(&gone), DELETED, now),
        )?;
        self.written.extend(written.into_iter().map(|(uid, known)| (uid.clone(), known)));
        for uid in ended {
            self.written.remove(&uid);
            self.done.insert(uid);
        }
        for ChangedOrder { order, .. } in orders.iter().filter(|changed| changed.existence == Existence::Deleted) {
            self.done.remove(order.uid());
        }
        Ok(wrote)
    }

    /// Returns the rows of an order that differ from those that were last written, and the hashes of all its rows.
    fn changed(&self, uid: &OrderUid, mut all: Vec<HistoryRecord>) -> (Vec<HistoryRecord>, RowHashes) {
        let mut known = RowHashes::with_capacity(all.len());
        let before = self.written.get(uid);
        all.retain(|row| {
            let (name, content) = (hash(name(row)), hash(row));
            known.insert(name, content);
            before.and_then(|before| before.get(&name)) != Some(&content)
        });
        (all, known)
    }

    /// Writes orders one by one, so that one that the ledger refuses does not keep the others from being written. Where the
    /// ledger takes nothing at all, they are kept for later.
    async fn write_each(&mut self, orders: Vec<ChangedOrder>, now: Timestamp) -> Result<(), LedgerError> {
        let mut orders = VecDeque::from(orders);
        while let Some(changed) = orders.pop_front() {
            let Err(error) = self.write_orders(std::slice::from_ref(&changed), now).await else { continue };
            if let Err(error) = self.ledger.record(&[]).await {
                orders.push_front(changed);
                orders.append(&mut self.waiting);
                self.waiting = orders;
                return Err(error);
            }
            self.written.remove(changed.order.uid());
            tracing::warn!(work_order = changed.order.name(), %error, "the history of an order cannot be written down");
        }
        Ok(())
    }
}

/// Returns uids as the ledger takes them.
fn texts(uids: &[OrderUid]) -> Vec<String> {
    uids.iter().map(OrderUid::to_string).collect()
}

fn log_failure(result: Result<(), LedgerError>) {
    if let Err(error) = result {
        tracing::warn!(%error, "history could not be written down yet");
    }
}

fn name(row: &HistoryRecord) -> &str {
    match row {
        HistoryRecord::Run(run) => &run.id,
        HistoryRecord::Task(task) => &task.id,
        HistoryRecord::World(world) | HistoryRecord::WorldIfAbsent(world) => &world.id,
        HistoryRecord::Checkpoint(checkpoint) => &checkpoint.id,
        HistoryRecord::Worktree(worktree) => &worktree.id,
        HistoryRecord::Audit(entry) => &entry.id,
    }
}

fn hash(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
#[path = "history_writer_tests.rs"]
mod tests;
