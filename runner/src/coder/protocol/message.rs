//! A conversation with a model, whatever its wire form.

use manyworlds_metering::price::Tokens;
use serde_json::Value;

/// One step of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::coder) enum Turn {
    /// A message to the model.
    User(String),
    /// A message of the model.
    Model(ModelMessage),
    /// The results of its tool calls, in their order.
    ToolResults(Vec<ToolResult>),
}

/// A message of the model.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::coder) struct ModelMessage {
    pub(in crate::coder) text: String,
    pub(in crate::coder) calls: Vec<ToolCall>,
    /// Its turn in the wire form, as it came: the model's API takes back thinking and signatures as they were, or refuses the
    /// conversation. This is what is sent; text and calls are a view of it.
    pub(in crate::coder) raw: Value,
}

/// A call of a tool by the model.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::coder) struct ToolCall {
    pub(in crate::coder) id: String,
    pub(in crate::coder) name: String,
    pub(in crate::coder) arguments: Value,
    pub(in crate::coder) completeness: Completeness,
}

/// The result of a tool call.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::coder) struct ToolResult {
    pub(in crate::coder) id: String,
    pub(in crate::coder) text: String,
}

/// An answer of the model.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::coder) struct ModelAnswer {
    pub(in crate::coder) message: ModelMessage,
    pub(in crate::coder) completeness: Completeness,
    /// Tokens of input and output.
    pub(in crate::coder) tokens: u64,
    /// The tokens that cost what the list of models says.
    pub(in crate::coder) charged: Tokens,
}

impl ModelAnswer {
    pub(super) fn new(message: ModelMessage, completeness: Completeness, used: Tokens) -> Self {
        Self { message, completeness, tokens: used.all_input().saturating_add(used.output), charged: used }
    }
}

/// The definition of a tool.
#[derive(Clone, Debug)]
pub(in crate::coder) struct Tool {
    pub(in crate::coder) name: &'static str,
    pub(in crate::coder) description: &'static str,
    /// JSON Schema of its arguments.
    pub(in crate::coder) parameters: Value,
}

impl Tool {
    /// Returns its size in a request, in bytes.
    pub(in crate::coder) fn size(&self) -> usize {
        self.name.len() + self.description.len() + self.parameters.to_string().len()
    }
}

/// A request, without its conversation.
pub(in crate::coder) struct Request<'a> {
    pub(in crate::coder) model: &'a str,
    pub(in crate::coder) temperature: Option<f64>,
    pub(in crate::coder) system: &'a str,
    pub(in crate::coder) tools: &'a [Tool],
    pub(in crate::coder) max_output_tokens: u64,
}

/// The completeness of an answer, or of a call in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::coder) enum Completeness {
    Complete,
    /// The answer used all the tokens that it may have, or that there is room for.
    Truncated,
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub(super) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

pub(super) fn shortened(body: &Value) -> String {
    body.to_string().chars().take(300).collect()
}
