//! The parts of an answer that every form needs.

use serde_json::Value;

use crate::conversation::Conversation;
use crate::script::{Reply, Usage};

/// The conversation, the scripted reply and the usage of an answer.
pub(super) struct Context<'a> {
    pub(super) conversation: &'a Conversation,
    pub(super) reply: &'a Reply,
    pub(super) used: Usage,
    /// The number of the call, for names that have to differ.
    pub(super) number: u64,
}

impl Context<'_> {
    /// Returns a name of a tool call that no other answer has.
    pub(super) fn call_name(&self, prefix: &str, index: usize) -> String {
        format!("{prefix}_{}_{index}", self.number)
    }
}

/// Returns an event without a name.
pub(super) fn event(value: &Value) -> String {
    format!("data: {value}\n\n")
}

/// Returns an event with a name.
pub(super) fn named_event(name: &str, value: &Value) -> String {
    format!("event: {name}\ndata: {value}\n\n")
}
