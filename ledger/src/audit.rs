//! The audit log (S6): one line for each decision, in the table `audit` and as JSON on the log target `audit`.
//!
//! - Who notes something never waits, and nothing fails because of it.
//! - What is the same within a minute is written once at once, and once more with its number when the minute is over: a
//!   client that keeps asking for what it may not have fills neither disk nor log.
//! - **Invariant:** no text of a client, a model or a repository comes in but the few characters around what was masked (S5),
//!   themselves masked. `details` names resources; all else are closed words.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::call::Caller;
use crate::history::HistoryRecord;
use crate::writer::WeakWriter;

/// How many entries may wait to be written; one that finds no place is counted.
const WAITING: usize = 4096;
/// How often it is looked whether a minute is over, and whether the ledger is back.
const LOOK: Duration = Duration::from_secs(1);
/// How long entries are gathered for one transaction.
const GATHERED: Duration = Duration::from_millis(250);
/// How long what is the same is only counted.
const SAME: SignedDuration = SignedDuration::from_secs(60);
/// The target of the log lines.
pub const TARGET: &str = "audit";

/// Where something was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuditStage {
    /// The gateway refused a call before it went out.
    Gateway,
    /// A call that went out was settled as a failure, or was one more attempt.
    Call,
    /// An order came into another state.
    Order,
    /// Something was masked that must not pass.
    Filter,
    /// The worker made a conversation smaller.
    Context,
}

impl AuditStage {
    /// Returns its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Call => "call",
            Self::Order => "order",
            Self::Filter => "filter",
            Self::Context => "context",
        }
    }

    /// Returns whether each one is written, also where it is like the one before.
    const fn keeps_each(self) -> bool {
        match self {
            Self::Order => true,
            Self::Gateway | Self::Call | Self::Filter | Self::Context => false,
        }
    }
}

/// One line of the audit log (S6).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AuditEntry {
    /// Names it.
    pub id: String,
    /// When it happened.
    pub at: Timestamp,
    /// The order that it is about.
    pub order_uid: Option<String>,
    /// Where it happened.
    pub stage: String,
    /// What came of it.
    pub result: String,
    /// What else is known, masked: the names of resources, as a JSON object.
    pub details: String,
    /// How many of what, as a JSON object.
    pub counts: String,
    /// Bytes before.
    pub size_before: Option<i64>,
    /// Bytes after.
    pub size_after: Option<i64>,
    /// How often it was tried again.
    pub retry_count: Option<i64>,
    /// Why it failed.
    pub failure_reason: Option<String>,
}

impl AuditEntry {
    /// Returns an entry with a name of its own that says nothing else yet.
    pub fn new(stage: AuditStage, result: &str, at: Timestamp) -> Self {
        Self {
            id: Uuid::now_v7().to_string(),
            at,
            order_uid: None,
            stage: stage.as_str().to_owned(),
            result: result.to_owned(),
            details: "{}".to_owned(),
            counts: "{}".to_owned(),
            size_before: None,
            size_after: None,
            retry_count: None,
            failure_reason: None,
        }
    }

    /// Says whose attempt it is about, and names further resources.
    #[must_use]
    pub fn with_caller(mut self, caller: &Caller, further: &[(&str, &str)]) -> Self {
        let Caller { namespace, work_order, order_uid, world, world_uid: _, attempt } = caller;
        let mut details = Map::new();
        for (name, value) in [("namespace", namespace), ("workOrder", work_order), ("world", world)] {
            details.insert(name.to_owned(), Value::from(value.as_str()));
        }
        details.insert("attempt".to_owned(), Value::from(*attempt));
        details.extend(further.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))));
        self.details = Value::Object(details).to_string();
        self.order_uid = Some(order_uid.clone());
        self
    }

    /// Says why it failed.
    #[must_use]
    pub fn with_reason(mut self, reason: &str) -> Self {
        self.failure_reason = Some(reason.to_owned());
        self
    }

    /// Writes it as a line of the log.
    fn log(&self) {
        tracing::info!(
            target: TARGET,
            at = %self.at,
            stage = self.stage,
            result = self.result,
            order_uid = self.order_uid,
            details = self.details,
            counts = self.counts,
            size_before = self.size_before,
            size_after = self.size_after,
            retry_count = self.retry_count,
            failure_reason = self.failure_reason,
            "audit"
        );
    }
}

enum Message {
    Note(AuditStage, Box<AuditEntry>),
    Flush(oneshot::Sender<()>),
}

/// The way to the audit log.
#[derive(Clone)]
pub(crate) struct AuditLog {
    sender: mpsc::Sender<Message>,
    dropped: Arc<AtomicU64>,
}

/// The other end of it.
pub(crate) struct AuditReceiver {
    receiver: mpsc::Receiver<Message>,
    dropped: Arc<AtomicU64>,
}

/// Returns both ends.
pub(crate) fn channel() -> (AuditLog, AuditReceiver) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let dropped = Arc::new(AtomicU64::new(0));
    (AuditLog { sender, dropped: dropped.clone() }, AuditReceiver { receiver, dropped })
}

impl AuditLog {
    /// Has an entry written.
    pub(crate) fn note(&self, stage: AuditStage, entry: AuditEntry) {
        if self.sender.try_send(Message::Note(stage, Box::new(entry))).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything that was noted is written.
    pub(crate) async fn flush(&self) {
        let (sender, flushed) = oneshot::channel();
        // Where the task has ended, there is nothing to wait for.
        if self.sender.send(Message::Flush(sender)).await.is_ok() {
            let _ = flushed.await;
        }
    }
}

/// What is the same is counted.
type RepeatKey = (AuditStage, Option<String>, String, String, Option<String>, Option<i64>);

/// Entries of the last minute, and how many more there were of each.
#[derive(Default)]
struct RepeatCounter(HashMap<RepeatKey, (AuditEntry, u64)>);

impl RepeatCounter {
    /// Returns the entry where it is the first of its kind for a minute.
    fn note(&mut self, stage: AuditStage, entry: AuditEntry) -> Option<AuditEntry> {
        if stage.keeps_each() {
            return Some(entry);
        }
        let AuditEntry { order_uid, result, details, failure_reason, retry_count, .. } = &entry;
        let same = (stage, order_uid.clone(), result.clone(), details.clone(), failure_reason.clone(), *retry_count);
        if let Some((_, more)) = self.0.get_mut(&same) {
            *more += 1;
            return None;
        }
        self.0.insert(same, (entry.clone(), 0));
        Some(entry)
    }

    /// Returns what was counted of entries whose minute is over, or of all of them.
    fn over(&mut self, now: Timestamp, which: FlushScope) -> Vec<AuditEntry> {
        let over = self.0.extract_if(|_, (first, _)| which == FlushScope::All || first.at + SAME <= now);
        over.filter(|(_, (_, more))| *more > 0)
            .map(|(_, (first, more))| {
                let counts = json!({ "times": more }).to_string();
                AuditEntry { id: Uuid::now_v7().to_string(), at: now, counts, ..first }
            })
            .collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FlushScope {
    Expired,
    All,
}

/// Writes what is noted.
pub(crate) struct AuditWriter {
    notes: AuditReceiver,
    writer: WeakWriter,
    epoch: i64,
    repeats: RepeatCounter,
    unwritten: Vec<HistoryRecord>,
}

impl AuditWriter {
    pub(crate) fn new(notes: AuditReceiver, writer: WeakWriter, epoch: i64) -> Self {
        Self { notes, writer, epoch, repeats: RepeatCounter::default(), unwritten: Vec::new() }
    }

    /// Writes until nobody can note anything any more.
    pub(crate) async fn run(mut self) {
        let mut taken = Vec::new();
        while self.receive(&mut taken).await {
            let (mut flushed, mut fresh, mut which) = (Vec::new(), Vec::new(), FlushScope::Expired);
            for message in taken.drain(..) {
                match message {
                    Message::Note(stage, entry) => fresh.extend(self.repeats.note(stage, *entry)),
                    Message::Flush(reply) => flushed.push(reply),
                }
            }
            if !flushed.is_empty() {
                which = FlushScope::All;
            }
            fresh.extend(self.repeats.over(Timestamp::now(), which));
            self.write(fresh).await;
            for reply in flushed {
                // Whoever waited may have gone.
                let _ = reply.send(());
            }
        }
    }

    /// Takes what was noted, and returns whether there will be more. It wakes by itself only where something is to be done.
    async fn receive(&mut self, taken: &mut Vec<Message>) -> bool {
        if self.repeats.0.is_empty() && self.unwritten.is_empty() {
            if self.notes.receiver.recv_many(taken, WAITING).await == 0 {
                return false;
            }
        } else {
            let received = tokio::time::timeout(LOOK, self.notes.receiver.recv_many(taken, WAITING)).await;
            if received == Ok(0) {
                return false;
            }
        }
        if matches!(taken.as_slice(), [Message::Note(..), ..]) {
            tokio::time::sleep(GATHERED).await;
            while taken.len() < WAITING
                && let Ok(message) = self.notes.receiver.try_recv()
            {
                taken.push(message);
            }
        }
        true
    }

    async fn write(&mut self, fresh: Vec<AuditEntry>) {
        let dropped = self.notes.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(target: TARGET, dropped, "entries were lost because too many were waiting");
        }
        fresh.iter().for_each(AuditEntry::log);
        self.unwritten.extend(fresh.into_iter().map(HistoryRecord::Audit));
        let surplus = self.unwritten.len().saturating_sub(WAITING);
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
    fn what_is_the_same_within_a_minute_is_written_once_and_then_with_its_number() {
        let mut repeats = RepeatCounter::default();
        assert!(repeats.note(AuditStage::Gateway, refusal("a", 0)).is_some());
        for second in 1..=30 {
            assert!(repeats.note(AuditStage::Gateway, refusal("a", second)).is_none());
        }
        assert!(repeats.note(AuditStage::Gateway, refusal("b", 30)).is_some(), "another order is not the same");
        assert!(repeats.over(at(59), FlushScope::Expired).is_empty());
        let over = repeats.over(at(60), FlushScope::Expired);
        assert_eq!(over.iter().map(|entry| entry.counts.as_str()).collect::<Vec<_>>(), ["{\"times\":30}"]);
        assert!(repeats.note(AuditStage::Gateway, refusal("a", 61)).is_some(), "a new minute begins");
        assert!(repeats.over(at(200), FlushScope::All).is_empty(), "what was written is not counted");
        assert!(repeats.0.is_empty());
    }

    #[test]
    fn each_state_of_an_order_is_written() {
        let mut repeats = RepeatCounter::default();
        for _ in 0..3 {
            assert!(repeats.note(AuditStage::Order, AuditEntry::new(AuditStage::Order, "Suspended", at(0))).is_some());
        }
    }

    #[test]
    fn a_line_of_the_log_is_json_with_the_fields_of_the_format() {
        let lines = tempfile::NamedTempFile::new().unwrap();
        let writer = lines.reopen().unwrap();
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(writer).finish();
        let entry = AuditEntry { retry_count: Some(2), size_before: Some(10), size_after: Some(4), ..refusal("o", 7) };
        tracing::subscriber::with_default(subscriber, || entry.log());
        let line: Value = serde_json::from_reader(&lines).unwrap();
        assert!(line["timestamp"].is_string(), "{line}");
        let fields = json!({
            "target": "audit", "at": "1970-01-01T00:00:07Z", "stage": "gateway", "result": "Refused",
            "order_uid": "o", "details": "{}", "counts": "{}", "size_before": 10, "size_after": 4,
            "retry_count": 2, "failure_reason": "model",
        });
        for (name, value) in fields.as_object().unwrap() {
            assert_eq!(&line[name], value, "{name}");
        }
    }

    #[test]
    fn what_finds_no_place_is_counted() {
        let (log, notes) = channel();
        for _ in 0..=WAITING {
            log.note(AuditStage::Order, AuditEntry::new(AuditStage::Order, "Running", at(0)));
        }
        assert_eq!(notes.dropped.load(Ordering::Relaxed), 1);
    }
}
