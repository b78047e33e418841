//! Messages.

use serde_json::{Value, json};

use super::context::{Context, named_event};

fn stop_reason(context: &Context<'_>) -> &'static str {
    if context.reply.tool_calls.is_empty() { "end_turn" } else { "tool_use" }
}

fn usage(context: &Context<'_>, output: u64) -> Value {
    json!({
        "input_tokens": context.used.input,
        "cache_read_input_tokens": context.used.cached,
        "cache_creation_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
    })
}

fn head(context: &Context<'_>, output: u64) -> Value {
    json!({
        "id": format!("msg_{}", context.number),
        "type": "message",
        "role": "assistant",
        "model": context.conversation.model,
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
        "usage": usage(context, output),
    })
}

fn tool_use(context: &Context<'_>, index: usize) -> Value {
    let call = &context.reply.tool_calls[index];
    json!({"type": "tool_use", "id": context.call_name("toolu", index), "name": call.name, "input": call.arguments})
}

pub(super) fn whole(context: &Context<'_>) -> Value {
    let mut answer = head(context, context.used.output);
    let text = context.reply.text.iter().map(|text| json!({"type": "text", "text": text}));
    let calls = (0..context.reply.tool_calls.len()).map(|index| tool_use(context, index));
    answer["content"] = text.chain(calls).collect();
    answer["stop_reason"] = json!(stop_reason(context));
    answer
}

pub(super) fn stream(context: &Context<'_>) -> Vec<String> {
    let mut events = Vec::new();
    let mut say = |name: &str, mut value: Value| {
        value["type"] = json!(name);
        events.push(named_event(name, &value));
    };
    say("message_start", json!({"message": head(context, 1)}));
    let mut index = 0;
    if context.reply.text.is_some() {
        say("content_block_start", json!({"index": index, "content_block": {"type": "text", "text": ""}}));
        for part in context.reply.parts() {
            say("content_block_delta", json!({"index": index, "delta": {"type": "text_delta", "text": part}}));
        }
        say("content_block_stop", json!({"index": index}));
        index += 1;
    }
    for call in 0..context.reply.tool_calls.len() {
        let mut block = tool_use(context, call);
        let input = block["input"].to_string();
        block["input"] = json!({});
        say("content_block_start", json!({"index": index, "content_block": block}));
        let delta = json!({"type": "input_json_delta", "partial_json": input});
        say("content_block_delta", json!({"index": index, "delta": delta}));
        say("content_block_stop", json!({"index": index}));
        index += 1;
    }
    let delta = json!({"stop_reason": stop_reason(context), "stop_sequence": null});
    say("message_delta", json!({"delta": delta, "usage": {"output_tokens": context.used.output}}));
    say("message_stop", json!({}));
    events
}
