//! What a request's body says, and what of it is set for the variant.

use bytes::Bytes;
use manyworlds_api::provider::Temperature;
use manyworlds_planner::policy::price;
use serde_json::{Value, json};

use crate::access::Grant;
use crate::endpoint::Endpoint;
use crate::fields::Fields;
use crate::media;
use crate::refusal::Reason;

/// The most output tokens of a model that nobody knows a bound of.
const UNKNOWN_OUTPUT: u64 = 32_768;
/// What a picture or a file comes to as a rule, in tokens.
const USUAL_PART: u64 = 2_000;
/// What one may come to, and what upstream keeps of a conversation, in tokens, where the model's context is not known.
const UNKNOWN_CONTEXT: u64 = 200_000;
/// Fields that name what upstream keeps: a conversation, a text in its cache, a prompt.
const KEPT: [&str; 5] = ["previous_response_id", "conversation", "cachedContent", "cached_content", "prompt"];

/// A request that may be sent.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) body: Bytes,
    pub(crate) request: price::Request,
    /// The usage event was asked for by the gateway and is to be taken out again.
    pub(crate) usage_added: bool,
    /// The temperature that the body says.
    pub(crate) temperature: Option<f64>,
}

/// Returns the model that a request names.
pub(crate) fn model(endpoint: &Endpoint, fields: &Fields<'_>) -> Result<String, Reason> {
    match endpoint {
        Endpoint::GenerateContent(model) | Endpoint::StreamGenerateContent(model) | Endpoint::CountTokens(model) => {
            Ok(model.clone())
        }
        _ => match fields.get("model") {
            Some(Value::String(model)) if !model.is_empty() => Ok(model),
            _ => Err(Reason::Request("the field model is missing or is not a text".to_owned())),
        },
    }
}

/// Sets what the variant says, takes out what the model refuses, and reckons what the call may come to.
pub(crate) fn prepare(endpoint: &Endpoint, fields: &Fields<'_>, grant: &Grant) -> Result<Prepared, Reason> {
    refuse_other_prices(fields)?;
    refuse_two_settings(endpoint, fields)?;
    let without = match grant.model.temperature {
        Temperature::Settable => None,
        Temperature::Fixed => without_temperature(endpoint, fields),
    };
    match without {
        None => Ok(set(endpoint, fields, grant)),
        Some(body) => {
            let fields = Fields::read(body.as_bytes()).map_err(|error| Reason::Request(error.to_string()))?;
            Ok(set(endpoint, &fields, grant))
        }
    }
}

fn set(endpoint: &Endpoint, fields: &Fields<'_>, grant: &Grant) -> Prepared {
    let mut forced: Vec<(&str, Value)> = Vec::new();
    if !is_gemini(endpoint) && fields.get("model") != Some(json!(grant.model.model)) {
        forced.push(("model", json!(grant.model.model)));
    }
    let wanted = grant.sampling.temperature.filter(|_| takes_temperature(endpoint, fields, grant));
    forced.extend(wanted.map(|wanted| temperature_field(endpoint, fields, wanted)));
    let streamed = || fields.get("stream") == Some(Value::Bool(true));
    let asks = || fields.get("stream_options").is_some_and(|options| options["include_usage"] == json!(true));
    let usage_added = matches!(endpoint, Endpoint::ChatCompletions | Endpoint::Completions) && streamed() && !asks();
    if usage_added {
        let mut options = fields.get("stream_options").filter(Value::is_object).unwrap_or_else(|| json!({}));
        options["include_usage"] = json!(true);
        forced.push(("stream_options", options));
    }
    let body = if forced.is_empty() { fields.body().to_owned() } else { fields.with(&forced) };
    let request = reckon(endpoint, fields, grant, &body);
    let temperature = wanted.or_else(|| temperature(endpoint, fields));
    Prepared { body: Bytes::from(body), request, usage_added, temperature }
}

/// A dearer or cheaper tier of service would cost what no price is known of.
fn refuse_other_prices(fields: &Fields<'_>) -> Result<(), Reason> {
    match fields.get("service_tier") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(tier)) if matches!(tier.as_str(), "auto" | "default" | "standard_only") => Ok(()),
        Some(_) => Err(Reason::Request("service_tier has prices that are not known; leave it out".to_owned())),
    }
}

/// Gemini takes its settings under either of two names; which of both a server reads is its own affair.
fn refuse_two_settings(endpoint: &Endpoint, fields: &Fields<'_>) -> Result<(), Reason> {
    let both = ["generationConfig", "generation_config"].iter().all(|name| fields.get(name).is_some());
    if is_gemini(endpoint) && both {
        return Err(Reason::Request("generationConfig and generation_config are both there; leave one out".to_owned()));
    }
    Ok(())
}

fn is_gemini(endpoint: &Endpoint) -> bool {
    matches!(endpoint, Endpoint::GenerateContent(_) | Endpoint::StreamGenerateContent(_) | Endpoint::CountTokens(_))
}

/// Returns the temperature that a request asks for.
fn temperature(endpoint: &Endpoint, fields: &Fields<'_>) -> Option<f64> {
    if !is_gemini(endpoint) {
        return fields.get("temperature")?.as_f64();
    }
    fields.get("generation_config").or_else(|| fields.get("generationConfig"))?["temperature"].as_f64()
}

/// Returns whether an endpoint draws its answer by chance.
pub(crate) fn samples(endpoint: &Endpoint) -> bool {
    !matches!(endpoint, Endpoint::Embeddings | Endpoint::MessagesCountTokens | Endpoint::CountTokens(_))
}

/// Returns whether a call may say a temperature of its variant's.
fn takes_temperature(endpoint: &Endpoint, fields: &Fields<'_>, grant: &Grant) -> bool {
    // Anthropic refuses every temperature but 1 beside thinking.
    let thinks = || {
        let kind = fields.get("thinking").and_then(|thinking| Some(thinking["type"].as_str()?.to_owned()));
        matches!(endpoint, Endpoint::Messages) && matches!(kind.as_deref(), Some("enabled" | "adaptive"))
    };
    grant.model.temperature == Temperature::Settable && samples(endpoint) && !thinks()
}

/// Returns the body without its temperature, where it has one.
fn without_temperature(endpoint: &Endpoint, fields: &Fields<'_>) -> Option<String> {
    if !is_gemini(endpoint) {
        return fields.without("temperature");
    }
    let mut forced = Vec::new();
    for name in ["generation_config", "generationConfig"] {
        let mut settings = fields.get(name).unwrap_or_default();
        if settings.as_object_mut().and_then(|settings| settings.remove("temperature")).is_some() {
            forced.push((name, settings));
        }
    }
    (!forced.is_empty()).then(|| fields.with(&forced))
}

fn temperature_field(endpoint: &Endpoint, fields: &Fields<'_>, temperature: f64) -> (&'static str, Value) {
    if !is_gemini(endpoint) {
        return ("temperature", json!(temperature));
    }
    // Both spellings are the API's own; the one that is there is set.
    let name = if fields.get("generation_config").is_some() { "generation_config" } else { "generationConfig" };
    let mut settings = fields.get(name).filter(Value::is_object).unwrap_or_else(|| json!({}));
    settings["temperature"] = json!(temperature);
    (name, settings)
}

fn reckon(endpoint: &Endpoint, fields: &Fields<'_>, grant: &Grant, body: &str) -> price::Request {
    if matches!(endpoint, Endpoint::MessagesCountTokens | Endpoint::CountTokens(_)) {
        // To be told how many tokens there are costs nothing.
        return price::Request { bytes: 0, other_input: 0, most_other_input: 0, context_window: None, most_output: 0 };
    }
    let bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let context = grant.model.context_window.unwrap_or(UNKNOWN_CONTEXT);
    let kept = if keeps(endpoint, fields) { context } else { 0 };
    let parts = media::parts(body);
    price::Request {
        bytes,
        other_input: parts.saturating_mul(USUAL_PART).saturating_add(kept),
        most_other_input: if parts > 0 { context.saturating_add(kept) } else { kept },
        context_window: grant.model.context_window,
        most_output: most_output(endpoint, fields, grant),
    }
}

/// Returns whether a request goes on with something that upstream keeps.
fn keeps(endpoint: &Endpoint, fields: &Fields<'_>) -> bool {
    // Completions have their whole text in `prompt`.
    let kept = KEPT.iter().filter(|name| **name != "prompt" || matches!(endpoint, Endpoint::Responses));
    kept.filter_map(|name| fields.get(name)).any(|value| !value.is_null())
}

fn most_output(endpoint: &Endpoint, fields: &Fields<'_>, grant: &Grant) -> u64 {
    if matches!(endpoint, Endpoint::Embeddings) {
        return 0;
    }
    let number = |value: Option<Value>| value.and_then(|value| value.as_u64());
    let (most, choices) = if is_gemini(endpoint) {
        let settings = fields.get("generationConfig").or_else(|| fields.get("generation_config")).unwrap_or_default();
        let either = |one: &str, other: &str| settings[one].as_u64().or_else(|| settings[other].as_u64());
        (either("maxOutputTokens", "max_output_tokens"), either("candidateCount", "candidate_count"))
    } else {
        // A server may know one of them only.
        let most = ["max_completion_tokens", "max_output_tokens", "max_tokens"].map(|name| number(fields.get(name)));
        let choices = ["n", "best_of"].map(|name| number(fields.get(name)));
        (most.into_iter().flatten().max(), choices.into_iter().flatten().max())
    };
    let bound = grant.model.max_output_tokens;
    let most = match (most, bound) {
        (Some(asked), Some(bound)) => asked.min(bound),
        (Some(asked), None) => asked,
        (None, bound) => bound.unwrap_or(UNKNOWN_OUTPUT),
    };
    most.saturating_mul(choices.unwrap_or(1).max(1)).saturating_mul(prompts(endpoint, fields))
}

/// Returns how many texts are to be gone on with: completions take several at once, as texts or as lists of tokens.
fn prompts(endpoint: &Endpoint, fields: &Fields<'_>) -> u64 {
    match (endpoint, fields.get("prompt")) {
        (Endpoint::Completions, Some(Value::Array(all))) if !all.first().is_some_and(Value::is_number) => {
            u64::try_from(all.len()).unwrap_or(u64::MAX).max(1)
        }
        _ => 1,
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
