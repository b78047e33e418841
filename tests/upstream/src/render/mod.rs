//! Answers in the vendors' own forms.

mod anthropic;
mod context;
mod gemini;
mod openai;
mod responses;

use serde_json::{Value, json};

use crate::conversation::{Conversation, Form};
use crate::script::Reply;
use context::Context;

/// An answer as it is sent.
pub(crate) enum Rendered {
    /// As one document.
    Whole(String),
    /// As an event stream.
    Stream(Vec<String>),
}

/// Returns an answer in the form of its request.
pub(crate) fn render(conversation: &Conversation, reply: &Reply, number: u64) -> Rendered {
    let used = reply.used(conversation);
    let context = Context { conversation, reply, used, number };
    let whole = |value: Value| Rendered::Whole(value.to_string());
    match (conversation.form, conversation.streamed) {
        (Form::Chat | Form::Completions, false) => whole(openai::whole(&context)),
        (Form::Chat | Form::Completions, true) => Rendered::Stream(openai::stream(&context)),
        (Form::Embeddings, _) => whole(openai::embeddings(&context)),
        (Form::Responses, false) => whole(responses::whole(&context, "completed")),
        (Form::Responses, true) => Rendered::Stream(responses::stream(&context)),
        (Form::Messages, false) => whole(anthropic::whole(&context)),
        (Form::Messages, true) => Rendered::Stream(anthropic::stream(&context)),
        (Form::CountTokens, _) => whole(json!({"input_tokens": used.input + used.cached})),
        (Form::Gemini, false) => whole(gemini::whole(&context)),
        (Form::Gemini, true) => Rendered::Stream(gemini::stream(&context)),
        (Form::GeminiCount, _) => whole(json!({"totalTokens": used.input + used.cached})),
    }
}

/// Returns a failure as the vendor puts it.
pub(crate) fn failure(form: Form, status: u16) -> Value {
    let message = format!("scripted failure {status}");
    match form {
        Form::Messages | Form::CountTokens => {
            let kind = match status {
                400 => "invalid_request_error",
                401 => "authentication_error",
                402 => "billing_error",
                403 => "permission_error",
                404 => "not_found_error",
                413 => "request_too_large",
                429 => "rate_limit_error",
                529 => "overloaded_error",
                _ => "api_error",
            };
            json!({"type": "error", "error": {"type": kind, "message": message}})
        }
        Form::Gemini | Form::GeminiCount => {
            json!({"error": {"code": status, "message": message, "status": "UNAVAILABLE"}})
        }
        _ => {
            let code = if status == 429 { json!("rate_limit_exceeded") } else { Value::Null };
            json!({"error": {"message": message, "type": "server_error", "param": null, "code": code}})
        }
    }
}
