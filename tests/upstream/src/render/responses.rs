//! The Responses API.

use serde_json::{Value, json};

use super::context::{Context, named_event};

fn text_item(context: &Context<'_>, text: &str, status: &str) -> Value {
    json!({
        "type": "message",
        "id": context.call_name("msg", 0),
        "status": status,
        "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    })
}

fn call_item(context: &Context<'_>, index: usize) -> Value {
    let call = &context.reply.tool_calls[index];
    json!({
        "type": "function_call",
        "id": context.call_name("fc", index),
        "call_id": context.call_name("call", index),
        "name": call.name,
        "arguments": call.arguments.to_string(),
        "status": "completed",
    })
}

fn items(context: &Context<'_>) -> Vec<Value> {
    let text = context.reply.text.iter().map(|text| text_item(context, text, "completed"));
    text.chain((0..context.reply.tool_calls.len()).map(|index| call_item(context, index))).collect()
}

pub(super) fn whole(context: &Context<'_>, status: &str) -> Value {
    let used = context.used;
    let input = used.input + used.cached;
    let usage = json!({
        "input_tokens": input,
        "input_tokens_details": {"cached_tokens": used.cached},
        "output_tokens": used.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": input + used.output,
    });
    let done = status == "completed";
    json!({
        "id": format!("resp_{}", context.number),
        "object": "response",
        "created_at": 1_700_000_000,
        "status": status,
        "model": context.conversation.model,
        "output": if done { items(context) } else { Vec::new() },
        "parallel_tool_calls": true,
        "tool_choice": "auto",
        "tools": [],
        "error": null,
        "incomplete_details": null,
        "instructions": null,
        "metadata": {},
        "usage": if done { usage } else { Value::Null },
    })
}

pub(super) fn stream(context: &Context<'_>) -> Vec<String> {
    let mut events = Vec::new();
    let mut say = |name: &str, mut value: Value| {
        value["type"] = json!(name);
        value["sequence_number"] = json!(events.len());
        events.push(named_event(name, &value));
    };
    say("response.created", json!({"response": whole(context, "in_progress")}));
    say("response.in_progress", json!({"response": whole(context, "in_progress")}));
    let mut place = 0;
    if let Some(text) = &context.reply.text {
        let name = context.call_name("msg", 0);
        let at = |mut value: Value| {
            value["item_id"] = json!(name);
            value["output_index"] = json!(0);
            value["content_index"] = json!(0);
            value
        };
        let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": []});
        let mut empty = text_item(context, "", "in_progress");
        empty["content"] = json!([]);
        say("response.output_item.added", json!({"output_index": 0, "item": empty}));
        say("response.content_part.added", at(json!({"part": part("")})));
        for delta in context.reply.parts() {
            say("response.output_text.delta", at(json!({"delta": delta})));
        }
        say("response.output_text.done", at(json!({"text": text})));
        say("response.content_part.done", at(json!({"part": part(text)})));
        let item = text_item(context, text, "completed");
        say("response.output_item.done", json!({"output_index": 0, "item": item}));
        place = 1;
    }
    for index in 0..context.reply.tool_calls.len() {
        let item = call_item(context, index);
        let (name, arguments) = (item["id"].clone(), item["arguments"].clone());
        let mut begun = item.clone();
        begun["arguments"] = json!("");
        begun["status"] = json!("in_progress");
        let output_index = place + index;
        say("response.output_item.added", json!({"output_index": output_index, "item": begun}));
        let delta = json!({"item_id": name, "output_index": output_index, "delta": arguments});
        say("response.function_call_arguments.delta", delta);
        let done = json!({"item_id": name, "output_index": output_index, "arguments": arguments});
        say("response.function_call_arguments.done", done);
        say("response.output_item.done", json!({"output_index": output_index, "item": item}));
    }
    say("response.completed", json!({"response": whole(context, "completed")}));
    events
}
