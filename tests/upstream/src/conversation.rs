//! The conversation in a request, whatever its protocol.

use serde_json::Value;

/// The protocol and form of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Chat,
    Responses,
    Completions,
    Embeddings,
    Messages,
    CountTokens,
    Gemini,
    GeminiCount,
}

/// The conversation of one request.
#[derive(Clone, Debug)]
pub(crate) struct Conversation {
    pub(crate) form: Form,
    pub(crate) model: String,
    /// The number of answers that it has already.
    pub(crate) turns: usize,
    /// The text behind the last answer.
    pub(crate) last: String,
    pub(crate) streamed: bool,
    /// The request asks for the usage. OpenAI's chat completions report it only then.
    pub(crate) with_usage: bool,
    pub(crate) bytes: usize,
}

impl Conversation {
    /// Reads a request. `path_model` is the model that Gemini's paths hold.
    pub(crate) fn read(form: Form, path_model: Option<&str>, streamed: bool, body: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let (items, answer_role) = match form {
            Form::Responses => (&value["input"], "assistant"),
            Form::Gemini | Form::GeminiCount => (&value["contents"], "model"),
            _ => (&value["messages"], "assistant"),
        };
        let (turns, last) = match items {
            Value::Array(items) => read_items(items, answer_role),
            Value::String(text) => (0, text.clone()),
            _ => (0, value["prompt"].as_str().unwrap_or_default().to_owned()),
        };
        Some(Self {
            form,
            model: path_model.or_else(|| value["model"].as_str()).unwrap_or_default().to_owned(),
            turns,
            last,
            streamed: streamed || value["stream"] == Value::Bool(true),
            with_usage: value["stream_options"]["include_usage"] == Value::Bool(true),
            bytes: body.len(),
        })
    }
}

/// Counts the answers. Items of one answer follow each other, as the Responses API writes them, and count once.
fn read_items(items: &[Value], answer_role: &str) -> (usize, String) {
    let is_answer = |item: &Value| {
        item["role"] == answer_role
            || matches!(item["type"].as_str(), Some("function_call" | "custom_tool_call" | "reasoning"))
    };
    let (mut turns, mut last, mut answering) = (0, String::new(), false);
    for item in items {
        if is_answer(item) {
            turns += usize::from(!answering);
            last.clear();
        } else {
            last.push_str(&item.to_string());
        }
        answering = is_answer(item);
    }
    (turns, last)
}
