//! Chat completions, completions and embeddings.

use serde_json::{Value, json};

use super::context::{Context, event};
use crate::conversation::Form;

fn usage(context: &Context<'_>) -> Value {
    let used = context.used;
    let input = used.input + used.cached;
    json!({
        "prompt_tokens": input,
        "completion_tokens": used.output,
        "total_tokens": input + used.output,
        "prompt_tokens_details": {"cached_tokens": used.cached},
        "completion_tokens_details": {"reasoning_tokens": 0},
    })
}

fn tool_calls(context: &Context<'_>) -> Vec<Value> {
    let calls = context.reply.tool_calls.iter().enumerate();
    calls
        .map(|(index, call)| {
            json!({
                "index": index,
                "id": context.call_name("call", index),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments.to_string()},
            })
        })
        .collect()
}

fn finish(context: &Context<'_>) -> &'static str {
    if context.reply.tool_calls.is_empty() { "stop" } else { "tool_calls" }
}

fn head(context: &Context<'_>, object: &str) -> Value {
    json!({
        "id": format!("chatcmpl-{}", context.number),
        "object": object,
        "created": 1_700_000_000,
        "model": context.conversation.model,
    })
}

pub(super) fn whole(context: &Context<'_>) -> Value {
    let chat = context.conversation.form == Form::Chat;
    let mut answer = head(context, if chat { "chat.completion" } else { "text_completion" });
    let mut choice = json!({"index": 0, "finish_reason": finish(context), "logprobs": null});
    if chat {
        let mut message = json!({"role": "assistant", "content": context.reply.text});
        if !context.reply.tool_calls.is_empty() {
            message["tool_calls"] = tool_calls(context).into();
        }
        choice["message"] = message;
    } else {
        choice["text"] = json!(context.reply.text.clone().unwrap_or_default());
    }
    answer["choices"] = json!([choice]);
    answer["usage"] = usage(context);
    answer
}

pub(super) fn stream(context: &Context<'_>) -> Vec<String> {
    let chat = context.conversation.form == Form::Chat;
    let chunk = |choices: Value, usage: Option<Value>| {
        let mut chunk = head(context, if chat { "chat.completion.chunk" } else { "text_completion" });
        chunk["choices"] = choices;
        if context.conversation.with_usage {
            chunk["usage"] = usage.unwrap_or_default();
        }
        event(&chunk)
    };
    let choice = |delta: Value, reason: Option<&str>| json!([{"index": 0, "delta": delta, "finish_reason": reason}]);
    let text = |part: &str| {
        if chat {
            choice(json!({"content": part}), None)
        } else {
            json!([{"index": 0, "text": part, "finish_reason": null}])
        }
    };
    let mut events = Vec::new();
    if chat {
        events.push(chunk(choice(json!({"role": "assistant", "content": ""}), None), None));
    }
    events.extend(context.reply.parts().iter().map(|part| chunk(text(part), None)));
    events.extend(tool_calls(context).into_iter().map(|call| chunk(choice(json!({"tool_calls": [call]}), None), None)));
    events.push(chunk(choice(json!({}), Some(finish(context))), None));
    if context.conversation.with_usage {
        events.push(chunk(json!([]), Some(usage(context))));
    }
    events.push("data: [DONE]\n\n".to_owned());
    events
}

pub(super) fn embeddings(context: &Context<'_>) -> Value {
    let input = context.used.input;
    json!({
        "object": "list",
        "model": context.conversation.model,
        "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5, 0.75]}],
        "usage": {"prompt_tokens": input, "total_tokens": input},
    })
}
