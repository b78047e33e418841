//! The queue of the audit log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::entry::{AuditEntry, AuditStage};

/// The most entries that wait to be written; further ones are dropped and counted.
pub(super) const QUEUE: usize = 4096;

/// A message to the task that writes.
pub(super) enum Message {
    Add(AuditStage, Box<AuditEntry>),
    Flush(oneshot::Sender<()>),
}

/// The sending end of the queue.
#[derive(Clone)]
pub(crate) struct AuditLog {
    sender: mpsc::Sender<Message>,
    dropped: Arc<AtomicU64>,
}

/// The receiving end of the queue.
pub(crate) struct AuditReceiver {
    pub(super) messages: mpsc::Receiver<Message>,
    dropped: Arc<AtomicU64>,
}

/// Returns both ends of a queue.
pub(crate) fn channel() -> (AuditLog, AuditReceiver) {
    let (sender, messages) = mpsc::channel(QUEUE);
    let dropped = Arc::new(AtomicU64::new(0));
    (AuditLog { sender, dropped: dropped.clone() }, AuditReceiver { messages, dropped })
}

impl AuditLog {
    /// Adds an entry. Never waits: an entry that does not fit is dropped and counted.
    pub(crate) fn add(&self, stage: AuditStage, entry: AuditEntry) {
        if self.sender.try_send(Message::Add(stage, Box::new(entry))).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all entries are written.
    pub(crate) async fn flush(&self) {
        let (sender, flushed) = oneshot::channel();
        // Where the task has ended, there is nothing to wait for.
        if self.sender.send(Message::Flush(sender)).await.is_ok() {
            let _ = flushed.await;
        }
    }
}

impl AuditReceiver {
    /// Returns the number of entries that were dropped since the last time.
    pub(super) fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn an_entry_that_does_not_fit_is_counted() {
        let (log, receiver) = channel();
        for _ in 0..=QUEUE {
            let entry = AuditEntry::new(AuditStage::Order, "Running", Timestamp::UNIX_EPOCH);
            log.add(AuditStage::Order, entry);
        }
        assert_eq!(receiver.take_dropped(), 1);
    }
}
