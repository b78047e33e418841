//! Gemini's `generateContent`.

use serde_json::{Value, json};

use super::context::{Context, event};

fn usage(context: &Context<'_>) -> Value {
    let used = context.used;
    let input = used.input + used.cached;
    json!({
        "promptTokenCount": input,
        "cachedContentTokenCount": used.cached,
        "candidatesTokenCount": used.output,
        "totalTokenCount": input + used.output,
    })
}

fn answer(context: &Context<'_>, parts: &[Value], finish: Option<&str>) -> Value {
    let mut candidate = json!({"index": 0, "content": {"role": "model", "parts": parts}});
    if let Some(finish) = finish {
        candidate["finishReason"] = json!(finish);
    }
    json!({
        "candidates": [candidate],
        "modelVersion": context.conversation.model,
        "responseId": format!("r{}", context.number),
        "usageMetadata": usage(context),
    })
}

fn calls(context: &Context<'_>) -> Vec<Value> {
    let calls = context.reply.tool_calls.iter();
    calls.map(|call| json!({"functionCall": {"name": call.name, "args": call.arguments}})).collect()
}

pub(super) fn whole(context: &Context<'_>) -> Value {
    let text = context.reply.text.iter().map(|text| json!({"text": text}));
    answer(context, &text.chain(calls(context)).collect::<Vec<_>>(), Some("STOP"))
}

pub(super) fn stream(context: &Context<'_>) -> Vec<String> {
    let text = context.reply.parts().into_iter().map(|part| answer(context, &[json!({"text": part})], None));
    let last = answer(context, &calls(context), Some("STOP"));
    text.chain([last]).map(|value| event(&value)).collect()
}
