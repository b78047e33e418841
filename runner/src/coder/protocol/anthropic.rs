//! Anthropic's messages.

use manyworlds_metering::price::Tokens;
use serde_json::{Value, json};

use super::message::{Completeness, ModelAnswer, ModelMessage, Request, ToolCall, Turn, number, shortened, text};

/// The stop reasons of an answer that is truncated.
const CUT: [&str; 2] = ["max_tokens", "model_context_window_exceeded"];

pub(super) fn body(request: &Request<'_>, turns: &[Turn]) -> Value {
    let mut messages = Vec::new();
    for turn in turns {
        match turn {
            Turn::User(text) => messages.push(json!({"role": "user", "content": text})),
            Turn::Model(message) => messages.push(json!({"role": "assistant", "content": message.raw})),
            Turn::ToolResults(results) => {
                let all = results
                    .iter()
                    .map(|result| json!({"type": "tool_result", "tool_use_id": result.id, "content": result.text}));
                messages.push(json!({"role": "user", "content": all.collect::<Vec<_>>()}));
            }
        }
    }
    let tools = request
        .tools
        .iter()
        .map(|tool| json!({"name": tool.name, "description": tool.description, "input_schema": tool.parameters}));
    // What stays the same from call to call is read from the cache: the tools, and the system's text behind them.
    let system = json!([{"type": "text", "text": request.system, "cache_control": {"type": "ephemeral"}}]);
    json!({
        "model": request.model,
        "system": system,
        "messages": messages,
        "tools": tools.collect::<Vec<_>>(),
        "max_tokens": request.max_output_tokens,
    })
}

pub(super) fn answer(body: &Value) -> Result<ModelAnswer, String> {
    let Some(blocks) = body["content"].as_array() else {
        return Err(format!("the answer has no content: {}", shortened(body)));
    };
    let said: Vec<_> =
        blocks.iter().filter(|block| block["type"] == "text").map(|block| text(&block["text"])).collect();
    let completeness = if CUT.iter().any(|reason| body["stop_reason"] == *reason) {
        Completeness::Truncated
    } else {
        Completeness::Complete
    };
    let calls =
        blocks.iter().enumerate().filter(|(_, block)| block["type"] == "tool_use").map(|(index, block)| ToolCall {
            id: text(&block["id"]),
            name: text(&block["name"]),
            arguments: block["input"].clone(),
            // What was there of its arguments has been made an object, so that nothing but its place tells.
            completeness: if completeness == Completeness::Truncated && index + 1 == blocks.len() {
                Completeness::Truncated
            } else {
                Completeness::Complete
            },
        });
    let usage = &body["usage"];
    let used = Tokens {
        input: number(&usage["input_tokens"]),
        cached: number(&usage["cache_read_input_tokens"]),
        // What is asked for is kept for five minutes.
        cache_write_5m: number(&usage["cache_creation_input_tokens"]),
        output: number(&usage["output_tokens"]),
        ..Tokens::default()
    };
    Ok(ModelAnswer::new(
        ModelMessage { text: said.join("\n"), calls: calls.collect(), raw: request_content(blocks) },
        completeness,
        used,
    ))
}

/// Returns an answer's blocks as a request may hold them.
///
/// - **Guarantees:** all but empty texts is as it came, thinking and its signatures before all.
fn request_content(blocks: &[Value]) -> Value {
    let is_empty = |block: &Value| block["type"] == "text" && text(&block["text"]).trim().is_empty();
    let mut kept: Vec<_> = blocks.iter().filter(|block| !is_empty(block)).cloned().collect();
    let is_thought = |block: &Value| block["type"] == "thinking" || block["type"] == "redacted_thinking";
    // A message without content is refused, and one that ends with a thought.
    if kept.last().is_none_or(is_thought) {
        kept.push(json!({"type": "text", "text": "-"}));
    }
    Value::Array(kept)
}
