//! Masks secrets in the calls of our own worker, in both directions (S5): texts that look like a secret, and known secrets.
//!
//! - `texts`: requests and answers that are there as a whole. `json`: their texts, one by one.
//! - `events`: streams, by the texts that grow in them. `channels`: the growing texts of each protocol.
//!
//! **Architecture invariant:** calls of other clients are never redacted.

mod channels;
mod events;
mod json;
mod texts;

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use manyworlds_api::provider::Protocol;
use manyworlds_ledger::Caller;
use manyworlds_ledger::audit::{AuditEntry, AuditStage};
use manyworlds_masking::{Filter, Findings};
use serde_json::json;

use crate::kept_bytes::{AnswerRoom, KeptBytes};
use crate::shared::Shared;
use events::EventRedactor;
pub(crate) use events::TooLarge;

/// The largest answer that is not streamed, in bytes.
const LARGEST_ANSWER: usize = 32 * 1024 * 1024;

/// The direction of a body.
#[derive(Clone, Copy, Debug)]
enum Direction {
    Request,
    Answer,
}

/// Redacts the calls of one caller.
#[derive(Clone)]
pub(crate) struct Redactor {
    shared: Arc<Shared>,
    caller: Caller,
    filter: Filter,
}

impl Redactor {
    pub(crate) fn new(shared: &Arc<Shared>, caller: &Caller, filter: Filter) -> Self {
        Self { shared: shared.clone(), caller: caller.clone(), filter }
    }

    /// Returns a request without its secrets.
    pub(crate) fn request(&self, body: Bytes) -> Bytes {
        self.whole(body, Direction::Request)
    }

    /// Returns a whole answer without its secrets.
    pub(crate) fn answer(&self, body: Bytes) -> Bytes {
        self.whole(body, Direction::Answer)
    }

    /// Begins to redact a stream of events.
    pub(crate) fn events(&self, protocol: Protocol, room: &AnswerRoom) -> AnswerRedactor {
        let events = EventRedactor::new(protocol, self.filter.clone()).within(room);
        AnswerRedactor::new(self, Form::Events(Box::new(events)))
    }

    /// Begins to redact an answer that comes in parts and is one document.
    pub(crate) fn document(&self, room: &AnswerRoom) -> AnswerRedactor {
        AnswerRedactor::new(self, Form::Document(KeptBytes::within(room)))
    }

    fn whole(&self, body: Bytes, direction: Direction) -> Bytes {
        let mut findings = Findings::default();
        let Some(masked) = texts::body(&self.filter, &body, &mut findings) else { return body };
        let masked = Bytes::from(masked);
        self.note(direction, &findings, body.len(), masked.len());
        masked
    }

    /// Counts what was masked, and writes it into the audit log.
    fn note(&self, direction: Direction, findings: &Findings, before: usize, after: usize) {
        let direction = match direction {
            Direction::Request => "request",
            Direction::Answer => "answer",
        };
        let size = |bytes: usize| Some(i64::try_from(bytes).unwrap_or(i64::MAX));
        for finding in findings.iter() {
            let (id, snippet) = (finding.pattern_id, finding.masked_snippet.as_str());
            let further = [("direction", direction), ("pattern_id", id), ("masked_snippet", snippet)];
            let entry =
                AuditEntry::new(AuditStage::Filter, "Masked", Timestamp::now()).with_caller(&self.caller, &further);
            let counts = json!({"count": finding.count}).to_string();
            let entry = AuditEntry { counts, size_before: size(before), size_after: size(after), ..entry };
            self.shared.ledger.audit(AuditStage::Filter, entry);
            self.shared.metrics.secrets_masked.with_label_values(&[id]).inc_by(finding.count);
        }
    }
}

enum Form {
    Document(KeptBytes),
    Events(Box<EventRedactor>),
}

/// Redacts an answer as it comes.
///
/// - **Guarantees:** what was masked is in the audit log also where nobody waits for the rest.
pub(crate) struct AnswerRedactor {
    redactor: Redactor,
    form: Form,
    findings: Findings,
    before: usize,
    after: usize,
}

impl AnswerRedactor {
    fn new(redactor: &Redactor, form: Form) -> Self {
        Self { redactor: redactor.clone(), form, findings: Findings::default(), before: 0, after: 0 }
    }

    /// Takes the next part and returns what may pass.
    ///
    /// # Errors
    ///
    /// [`TooLarge`]: nothing more may pass.
    pub(crate) fn feed(&mut self, part: &[u8]) -> Result<Bytes, TooLarge> {
        self.before += part.len();
        let passed = match &mut self.form {
            Form::Events(events) => events.feed(part)?,
            Form::Document(body) if body.len() + part.len() > LARGEST_ANSWER => return Err(TooLarge),
            Form::Document(body) => {
                body.extend(part).map_err(|_| TooLarge)?;
                Bytes::new()
            }
        };
        self.after += passed.len();
        Ok(passed)
    }

    /// Returns what was held back, at the end of the answer.
    pub(crate) fn finish(&mut self) -> Bytes {
        let rest = match &mut self.form {
            Form::Events(events) => events.finish(),
            Form::Document(body) => {
                let body = body.take();
                let masked = texts::body(&self.redactor.filter, &body, &mut self.findings);
                masked.map_or_else(|| body.into(), Bytes::from)
            }
        };
        self.after += rest.len();
        rest
    }
}

impl Drop for AnswerRedactor {
    fn drop(&mut self) {
        if let Form::Events(events) = &mut self.form {
            self.findings.add(events.take_findings());
        }
        self.redactor.note(Direction::Answer, &self.findings, self.before, self.after);
    }
}
