//! OpenAI's chat completions.

use manyworlds_metering::price::Tokens;
use serde_json::{Map, Value, json};

use super::message::{Completeness, ModelAnswer, ModelMessage, Request, ToolCall, Turn, number, shortened, text};

/// Fields of an answer's message that requests do not have, and that strict servers refuse there.
const OF_ANSWERS_ALONE: [&str; 2] = ["annotations", "audio"];

pub(super) fn body(request: &Request<'_>, turns: &[Turn]) -> Value {
    let mut messages = vec![json!({"role": "system", "content": request.system})];
    for turn in turns {
        match turn {
            Turn::User(text) => messages.push(json!({"role": "user", "content": text})),
            Turn::Model(message) => messages.push(message.raw.clone()),
            Turn::ToolResults(results) => {
                let all = results.iter();
                messages.extend(
                    all.map(|result| json!({"role": "tool", "tool_call_id": result.id, "content": result.text})),
                );
            }
        }
    }
    let tools = request.tools.iter().map(|tool| {
        let function = json!({"name": tool.name, "description": tool.description, "parameters": tool.parameters});
        json!({"type": "function", "function": function})
    });
    json!({
        "model": request.model,
        "messages": messages,
        "tools": tools.collect::<Vec<_>>(),
        "max_completion_tokens": request.max_output_tokens,
    })
}

pub(super) fn answer(body: &Value) -> Result<ModelAnswer, String> {
    let choice = &body["choices"][0];
    let Some(message) = choice["message"].as_object() else {
        return Err(format!("the answer has no message: {}", shortened(body)));
    };
    let completeness =
        if choice["finish_reason"] == "length" { Completeness::Truncated } else { Completeness::Complete };
    let calls = message.get("tool_calls").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let calls: Vec<_> = calls.iter().map(|value| call(value, completeness)).collect();
    let said = text(message.get("content").unwrap_or(&Value::Null));
    let usage = &body["usage"];
    // The prompt counts what was read from the cache and what was written to it, too.
    let (all, output) = (number(&usage["prompt_tokens"]), number(&usage["completion_tokens"]));
    let cached = number(&usage["prompt_tokens_details"]["cached_tokens"]).min(all);
    let written = number(&usage["prompt_tokens_details"]["cache_write_tokens"]).min(all - cached);
    let reasoning = number(&usage["completion_tokens_details"]["reasoning_tokens"]).min(output);
    let input = all - cached - written;
    let used = Tokens { input, cached, cache_write_5m: written, cache_write_1h: 0, output, reasoning };
    Ok(ModelAnswer::new(ModelMessage { text: said, calls, raw: request_message(message.clone()) }, completeness, used))
}

fn call(call: &Value, completeness: Completeness) -> ToolCall {
    let arguments = arguments(call);
    let completeness = if completeness == Completeness::Truncated && arguments.is_none() {
        Completeness::Truncated
    } else {
        Completeness::Complete
    };
    ToolCall {
        id: text(&call["id"]),
        name: text(&call["function"]["name"]),
        // What is no JSON is shown to the model as a call without arguments, which the tool refuses.
        arguments: arguments.unwrap_or_else(|| Value::Object(Map::new())),
        completeness,
    }
}

fn arguments(call: &Value) -> Option<Value> {
    serde_json::from_str(call["function"]["arguments"].as_str()?).ok()
}

/// Returns an answer's message as a request may hold it.
///
/// - **Guarantees:** all else is as it came, such as `reasoning_content` and a call's `extra_content`.
fn request_message(mut message: Map<String, Value>) -> Value {
    message.retain(|name, value| !value.is_null() && !OF_ANSWERS_ALONE.contains(&name.as_str()));
    message.insert("role".to_owned(), json!("assistant"));
    let calls = message.get_mut("tool_calls").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
    if calls.is_empty() {
        message.remove("tool_calls");
        // A message needs a text or a call.
        message.entry("content").or_insert_with(|| json!(""));
    } else {
        message.entry("content").or_insert(Value::Null);
        message.insert("tool_calls".to_owned(), calls.into_iter().map(request_call).collect());
    }
    Value::Object(message)
}

fn request_call(mut call: Value) -> Value {
    if arguments(&call).is_none()
        && let Some(function) = call.get_mut("function").and_then(Value::as_object_mut)
    {
        // Servers that read arguments refuse a conversation that has broken ones.
        function.insert("arguments".to_owned(), json!("{}"));
    }
    if let Some(call) = call.as_object_mut() {
        // The place in a stream, which some say also without one.
        call.remove("index");
        call.retain(|_, value| !value.is_null());
    }
    call
}
