//! The task that writes the audit log.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use uuid::Uuid;

use super::entry::{AuditEntry, AuditStage, TARGET};
use super::log::{AuditReceiver, Message, QUEUE};
use crate::history::HistoryRecord;
use crate::writer::WeakWriter;

/// The interval of looking for minutes that are over, and for a ledger that is back.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The time in which entries are gathered for one transaction.
const GATHER_TIME: Duration = Duration::from_millis(250);
/// The time in which equal entries are only counted.
const REPEAT_WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// Returns whether each entry of a stage is written, also where it is equal to the one before.
const fn keeps_each(stage: AuditStage) -> bool {
    match stage {
        AuditStage::Order => true,
        AuditStage::Gateway | AuditStage::Call | AuditStage::Filter | AuditStage::Context => false,
    }
}

/// The fields by which entries are equal.
type RepeatKey = (AuditStage, Option<String>, String, String, Option<String>, Option<i64>);

/// The first entries of the last minute, and how many equal ones followed each.
#[derive(Default)]
struct RepeatCounter(HashMap<RepeatKey, (AuditEntry, u64)>);

impl RepeatCounter {
    /// Returns the entry where it is the first of its kind for a minute.
    fn add(&mut self, stage: AuditStage, entry: AuditEntry) -> Option<AuditEntry> {
        if keeps_each(stage) {
            return Some(entry);
        }
        let AuditEntry { order_uid, result, details, failure_reason, retry_count, .. } = &entry;
        let key = (stage, order_uid.clone(), result.clone(), details.clone(), failure_reason.clone(), *retry_count);
        if let Some((_, more)) = self.0.get_mut(&key) {
            *more += 1;
            return None;
        }
        self.0.insert(key, (entry.clone(), 0));
        Some(entry)
    }

    /// Returns the counts of entries whose minute is over, or of all entries.
    fn take(&mut self, now: Timestamp, scope: FlushScope) -> Vec<AuditEntry> {
        let is_due = |first: &AuditEntry| scope == FlushScope::All || first.at + REPEAT_WINDOW <= now;
        let due = self.0.extract_if(|_, (first, _)| is_due(first));
        due.filter(|(_, (_, more))| *more > 0)
            .map(|(_, (first, more))| {
                let counts = json!({ "times": more }).to_string();
                AuditEntry { id: Uuid::now_v7().to_string(), at: now, counts, ..first }
            })
            .collect()
    }
}

/// The counts that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FlushScope {
    Expired,
    All,
}

/// Writes the entries of a queue.
pub(crate) struct AuditWriter {
    receiver: AuditReceiver,
    writer: WeakWriter,
    epoch: i64,
    repeats: RepeatCounter,
    unwritten: Vec<HistoryRecord>,
}

impl AuditWriter {
    pub(crate) fn new(receiver: AuditReceiver, writer: WeakWriter, epoch: i64) -> Self {
        Self { receiver, writer, epoch, repeats: RepeatCounter::default(), unwritten: Vec::new() }
    }

    /// Writes until the last sender is gone.
    pub(crate) async fn run(mut self) {
        let mut taken = Vec::new();
        while self.receive(&mut taken).await {
            let (mut flushed, mut fresh, mut scope) = (Vec::new(), Vec::new(), FlushScope::Expired);
            for message in taken.drain(..) {
                match message {
                    Message::Add(stage, entry) => fresh.extend(self.repeats.add(stage, *entry)),
                    Message::Flush(reply) => flushed.push(reply),
                }
            }
            if !flushed.is_empty() {
                scope = FlushScope::All;
            }
            fresh.extend(self.repeats.take(Timestamp::now(), scope));
            self.write(fresh).await;
            for reply in flushed {
                // The caller may be gone.
                let _ = reply.send(());
            }
        }
    }

    /// Takes what is in the queue, and returns whether more can come. Wakes by itself only where something is left to do.
    async fn receive(&mut self, taken: &mut Vec<Message>) -> bool {
        if self.repeats.0.is_empty() && self.unwritten.is_empty() {
            if self.receiver.messages.recv_many(taken, QUEUE).await == 0 {
                return false;
            }
        } else {
            let received = tokio::time::timeout(CHECK_INTERVAL, self.receiver.messages.recv_many(taken, QUEUE)).await;
            if received == Ok(0) {
                return false;
            }
        }
        if matches!(taken.as_slice(), [Message::Add(..), ..]) {
            tokio::time::sleep(GATHER_TIME).await;
            while taken.len() < QUEUE
                && let Ok(message) = self.receiver.messages.try_recv()
            {
                taken.push(message);
            }
        }
        true
    }

    async fn write(&mut self, fresh: Vec<AuditEntry>) {
        let dropped = self.receiver.take_dropped();
        if dropped > 0 {
            tracing::warn!(target: TARGET, dropped, "entries were lost because too many were waiting");
        }
        fresh.iter().for_each(AuditEntry::log);
        self.unwritten.extend(fresh.into_iter().map(HistoryRecord::Audit));
        let surplus = self.unwritten.len().saturating_sub(QUEUE);
        self.unwritten.drain(..surplus);
        if self.unwritten.is_empty() {
            return;
        }
        match self.writer.record(&self.unwritten, self.epoch).await {
            Ok(()) => self.unwritten.clear(),
            Err(error) => {
                tracing::warn!(%error, surplus, "the audit log could not be written to the ledger yet; its lines are in the log");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn refusal(order: &str, second: i64) -> AuditEntry {
        let entry = AuditEntry::new(AuditStage::Gateway, "Refused", at(second)).with_reason("model");
        AuditEntry { order_uid: Some(order.to_owned()), ..entry }
    }

    #[test]
    fn equal_entries_within_a_minute_are_written_once_and_then_with_their_number() {
        let mut repeats = RepeatCounter::default();
        assert!(repeats.add(AuditStage::Gateway, refusal("a", 0)).is_some());
        for second in 1..=30 {
            assert!(repeats.add(AuditStage::Gateway, refusal("a", second)).is_none());
        }
        assert!(repeats.add(AuditStage::Gateway, refusal("b", 30)).is_some(), "another order is not the same");
        assert!(repeats.take(at(59), FlushScope::Expired).is_empty());
        let over = repeats.take(at(60), FlushScope::Expired);
        assert_eq!(over.iter().map(|entry| entry.counts.as_str()).collect::<Vec<_>>(), ["{\"times\":30}"]);
        assert!(repeats.add(AuditStage::Gateway, refusal("a", 61)).is_some(), "a new minute begins");
        assert!(repeats.take(at(200), FlushScope::All).is_empty(), "what was written is not counted");
        assert!(repeats.0.is_empty());
    }

    #[test]
    fn each_state_of_an_order_is_written() {
        let mut repeats = RepeatCounter::default();
        for _ in 0..3 {
            let entry = AuditEntry::new(AuditStage::Order, "Suspended", at(0));
            assert!(repeats.add(AuditStage::Order, entry).is_some());
        }
    }
}
