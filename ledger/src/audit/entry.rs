//! A line of the audit log.
//!
//! **Invariant:** no text of a client, a model or a repository comes in but the few characters around what was masked (S5),
//! themselves masked. `details` names resources; all other texts are closed words.

use jiff::Timestamp;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::call::Caller;
use crate::error::LedgerError;
use crate::store::table::{Column, Table, TableRow, Values, column_name, table};
use crate::store::value::{Field, Row};

/// The target of the log lines.
pub const TARGET: &str = "audit";

/// The place of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuditStage {
    /// The gateway refused a call before it went out.
    Gateway,
    /// A call that went out was settled as a failure, or was a further attempt.
    Call,
    /// An order came into another state.
    Order,
    /// Something was masked that must not pass.
    Filter,
    /// The worker compacted a conversation.
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
}

table! {
    AUDIT = "audit", sums [];
    /// A line of the audit log (S6).
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    pub struct AuditEntry {
        key {
            /// Its name.
            id: String,
        }
        columns {
            /// The time of the decision.
            at: Timestamp,
            /// The order that it is about.
            order_uid: Option<String>,
            /// The place of the decision: the name of an [`AuditStage`].
            stage: String,
            /// The result.
            result: String,
            /// The names of resources, masked, as a JSON object.
            details: String,
            /// Numbers, as a JSON object.
            counts: String,
            /// Bytes before.
            size_before: Option<i64>,
            /// Bytes after.
            size_after: Option<i64>,
            /// The number of attempts before this one.
            retry_count: Option<i64>,
            /// The reason of a failure.
            failure_reason: Option<String>,
        }
    }
}

impl AuditEntry {
    /// Returns an entry with a name of its own and nothing but these fields.
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

    /// Adds the attempt that it is about, and the names of further resources.
    #[must_use]
    pub fn with_caller(mut self, caller: &Caller, further: &[(&str, &str)]) -> Self {
        let Caller { namespace, work_order, order_uid, world, world_uid: _, attempt } = caller;
        let mut details = Map::new();
        for (name, value) in [("namespace", namespace), ("workOrder", work_order), ("world", world)] {
            details.insert(name.to_owned(), Json::from(value.as_str()));
        }
        details.insert("attempt".to_owned(), Json::from(*attempt));
        details.extend(further.iter().map(|(name, value)| ((*name).to_owned(), Json::from(*value))));
        self.details = Json::Object(details).to_string();
        self.order_uid = Some(order_uid.clone());
        self
    }

    /// Adds the reason of a failure.
    #[must_use]
    pub fn with_reason(mut self, reason: &str) -> Self {
        self.failure_reason = Some(reason.to_owned());
        self
    }

    /// Writes it to the log.
    pub(crate) fn log(&self) {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_of_the_log_is_json_with_the_fields_of_the_format() {
        let lines = tempfile::NamedTempFile::new().unwrap();
        let writer = lines.reopen().unwrap();
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(writer).finish();
        let at = Timestamp::from_second(7).unwrap();
        let entry = AuditEntry {
            order_uid: Some("o".to_owned()),
            retry_count: Some(2),
            size_before: Some(10),
            size_after: Some(4),
            ..AuditEntry::new(AuditStage::Gateway, "Refused", at).with_reason("model")
        };
        tracing::subscriber::with_default(subscriber, || entry.log());
        let line: Json = serde_json::from_reader(&lines).unwrap();
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
}
