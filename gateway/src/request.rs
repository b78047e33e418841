//! Prepares a request for its model: sets what the variant wants, and estimates what the call can cost.

use bytes::Bytes;
use manyworlds_api::provider::Temperature;
use manyworlds_metering::price;
use serde_json::{Value, json};

use crate::access::Grant;
use crate::endpoint::Endpoint;
use crate::fields::{Fields, FieldsError};
use crate::modalities::Modalities;
use crate::refusal::Refusal;
use crate::request_policy;

/// The most output tokens of a model without a known bound.
const UNKNOWN_OUTPUT: u64 = 32_768;
/// The usual size of a picture or a file, in tokens.
const USUAL_PART: u64 = 2_000;
/// The context of a model where it is not known, in tokens. A picture, or a conversation that upstream keeps, may fill it.
const UNKNOWN_CONTEXT: u64 = 200_000;
/// Fields that refer to what upstream keeps: a conversation, or a text in its cache.
const KEPT: [&str; 6] =
    ["previous_response_id", "conversation", "thread", "cachedContent", "cached_content", "continuationToken"];

/// A request that may be sent.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) body: Bytes,
    pub(crate) request: price::RequestSize,
    /// The number of answers that it asks for: choices of each prompt.
    pub(crate) answers: u64,
    /// The gateway asked for the usage event and has to take it out again.
    pub(crate) usage_added: bool,
    /// The temperature in the body.
    pub(crate) temperature: Option<f64>,
}

impl Prepared {
    /// Returns the size of the request as if it asked for one answer.
    pub(crate) fn single(&self) -> price::RequestSize {
        price::RequestSize { max_output: self.request.max_output / self.answers.max(1), ..self.request }
    }
}

/// Returns the model that a request names.
pub(crate) fn model(endpoint: &Endpoint, fields: &Fields<'_>) -> Result<String, Refusal> {
    match endpoint {
        Endpoint::GenerateContent(model) | Endpoint::StreamGenerateContent(model) | Endpoint::CountTokens(model) => {
            Ok(model.clone())
        }
        _ => match fields.get("model")? {
            Some(Value::String(model)) if !model.is_empty() => Ok(model),
            _ => Err(Refusal::Request("the field model is missing or is not a text".to_owned())),
        },
    }
}

/// Refuses what no model may be asked for, and returns the modalities of the request. Both are the same for every model.
pub(crate) fn inspect(endpoint: &Endpoint, fields: &Fields<'_>) -> Result<Modalities, Refusal> {
    let modalities = Modalities::of(fields.body());
    request_policy::enforce(endpoint, fields, modalities)?;
    refuse_two_settings(endpoint, fields)?;
    Ok(modalities)
}

/// Sets what the variant wants, takes out what the model refuses, and estimates the most that the call can cost.
pub(crate) fn prepare(
    endpoint: &Endpoint,
    fields: &Fields<'_>,
    grant: &Grant,
    modalities: Modalities,
) -> Result<Prepared, Refusal> {
    let without = match grant.model.temperature {
        Temperature::Settable => None,
        Temperature::Fixed => without_temperature(endpoint, fields)?,
    };
    match without {
        None => set(endpoint, fields, grant, modalities),
        Some(body) => {
            let fields = Fields::read(body.as_bytes())?;
            set(endpoint, &fields, grant, modalities)
        }
    }
}

fn set(endpoint: &Endpoint, fields: &Fields<'_>, grant: &Grant, modalities: Modalities) -> Result<Prepared, Refusal> {
    let mut forced: Vec<(&str, Value)> = Vec::new();
    if !is_gemini(endpoint) && fields.get("model")? != Some(json!(grant.model.model)) {
        forced.push(("model", json!(grant.model.model)));
    }
    let wanted = if takes_temperature(endpoint, fields, grant)? { grant.sampling.temperature } else { None };
    if let Some(wanted) = wanted {
        forced.push(temperature_field(endpoint, fields, wanted)?);
    }
    let mut usage_added = false;
    if matches!(endpoint, Endpoint::ChatCompletions | Endpoint::Completions)
        && fields.get("stream")? == Some(Value::Bool(true))
    {
        let mut options = fields.get("stream_options")?.filter(Value::is_object).unwrap_or_else(|| json!({}));
        if options["include_usage"] != json!(true) {
            options["include_usage"] = json!(true);
            forced.push(("stream_options", options));
            usage_added = true;
        }
    }
    let body = if forced.is_empty() { fields.body().to_owned() } else { fields.with(&forced) };
    let output = max_output(endpoint, fields, grant)?;
    let request = estimate(endpoint, fields, grant, (body.len(), output.all), modalities)?;
    let temperature = wanted.map_or_else(|| temperature(endpoint, fields), |wanted| Ok(Some(wanted)))?;
    Ok(Prepared { body: Bytes::from(body), request, answers: output.answers, usage_added, temperature })
}

/// Refuses a request with Gemini's settings under both of their names: nobody knows which of them a server reads.
fn refuse_two_settings(endpoint: &Endpoint, fields: &Fields<'_>) -> Result<(), Refusal> {
    let both = ["generationConfig", "generation_config"].iter().all(|name| fields.raw(name).is_some());
    if is_gemini(endpoint) && both {
        return Err(Refusal::Request(
            "generationConfig and generation_config are both there; leave one out".to_owned(),
        ));
    }
    Ok(())
}

fn is_gemini(endpoint: &Endpoint) -> bool {
    matches!(endpoint, Endpoint::GenerateContent(_) | Endpoint::StreamGenerateContent(_) | Endpoint::CountTokens(_))
}

/// Returns the temperature that a request asks for.
fn temperature(endpoint: &Endpoint, fields: &Fields<'_>) -> Result<Option<f64>, FieldsError> {
    if !is_gemini(endpoint) {
        return Ok(fields.get("temperature")?.and_then(|temperature| temperature.as_f64()));
    }
    let Some(settings) = settings(fields)? else { return Ok(None) };
    Ok(settings.get("temperature")?.and_then(|temperature| temperature.as_f64()))
}

/// Returns Gemini's settings, under either of their names.
fn settings<'a>(fields: &Fields<'a>) -> Result<Option<Fields<'a>>, FieldsError> {
    match fields.object("generation_config")? {
        None => fields.object("generationConfig"),
        found => Ok(found),
    }
}

/// Returns whether an endpoint draws its answer by chance.
pub(crate) fn samples(endpoint: &Endpoint) -> bool {
    !matches!(endpoint, Endpoint::Embeddings | Endpoint::MessagesCountTokens | Endpoint::CountTokens(_))
}

/// Returns whether the variant's temperature may be set in a call.
fn takes_temperature(endpoint: &Endpoint, fields: &Fields<'_>, grant: &Grant) -> Result<bool, FieldsError> {
    if grant.model.temperature != Temperature::Settable || !samples(endpoint) {
        return Ok(false);
    }
    if !matches!(endpoint, Endpoint::Messages) {
        return Ok(true);
    }
    // Anthropic refuses every temperature but 1 beside thinking.
    let thinking = fields.get("thinking")?.unwrap_or_default();
    Ok(!matches!(thinking["type"].as_str(), Some("enabled" | "adaptive")))
}

/// Returns the body without its temperature, where it has one.
fn without_temperature(endpoint: &Endpoint, fields: &Fields<'_>) -> Result<Option<String>, FieldsError> {
    if !is_gemini(endpoint) {
        return Ok(fields.without("temperature"));
    }
    let mut forced = Vec::new();
    for name in ["generation_config", "generationConfig"] {
        let mut settings = fields.get(name)?.unwrap_or_default();
        if settings.as_object_mut().and_then(|settings| settings.remove("temperature")).is_some() {
            forced.push((name, settings));
        }
    }
    Ok((!forced.is_empty()).then(|| fields.with(&forced)))
}

fn temperature_field(
    endpoint: &Endpoint,
    fields: &Fields<'_>,
    temperature: f64,
) -> Result<(&'static str, Value), FieldsError> {
    if !is_gemini(endpoint) {
        return Ok(("temperature", json!(temperature)));
    }
    // Both spellings are the API's own. The one that is there is set.
    let name = if fields.raw("generation_config").is_some() { "generation_config" } else { "generationConfig" };
    let mut settings = fields.get(name)?.filter(Value::is_object).unwrap_or_else(|| json!({}));
    settings["temperature"] = json!(temperature);
    Ok((name, settings))
}

fn estimate(
    endpoint: &Endpoint,
    fields: &Fields<'_>,
    grant: &Grant,
    (bytes, max_output): (usize, u64),
    modalities: Modalities,
) -> Result<price::RequestSize, Refusal> {
    if matches!(endpoint, Endpoint::MessagesCountTokens | Endpoint::CountTokens(_)) {
        // Counting tokens costs nothing.
        return Ok(price::RequestSize {
            bytes: 0,
            other_input: 0,
            max_other_input: 0,
            context_window: None,
            max_output: 0,
        });
    }
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    let context = grant.model.context_window.unwrap_or(UNKNOWN_CONTEXT);
    let kept = if keeps(endpoint, fields)? { context } else { 0 };
    let parts = modalities.parts;
    Ok(price::RequestSize {
        bytes,
        other_input: parts.saturating_mul(USUAL_PART).saturating_add(kept),
        max_other_input: if parts > 0 { context.saturating_add(kept) } else { kept },
        context_window: grant.model.context_window,
        max_output,
    })
}

/// Returns whether a request continues something that upstream keeps.
fn keeps(endpoint: &Endpoint, fields: &Fields<'_>) -> Result<bool, FieldsError> {
    let mut keeps = KEPT.iter().any(|name| fields.says(name));
    if matches!(endpoint, Endpoint::Responses) {
        // An item may be nothing but the name of one that is kept.
        fields.each_of::<FieldsError>("input", |item| {
            keeps |= item.raw("id").is_some() && item.names().all(|name| matches!(name, "id" | "type"));
            Ok(())
        })?;
    }
    Ok(keeps)
}

/// The output that a request asks for, in tokens.
struct Output {
    /// Of all answers together.
    all: u64,
    /// The number of answers.
    answers: u64,
}

fn max_output(endpoint: &Endpoint, fields: &Fields<'_>, grant: &Grant) -> Result<Output, Refusal> {
    let (most, choices) = match endpoint {
        Endpoint::Embeddings | Endpoint::MessagesCountTokens | Endpoint::CountTokens(_) => {
            return Ok(Output { all: 0, answers: 1 });
        }
        Endpoint::GenerateContent(_) | Endpoint::StreamGenerateContent(_) => {
            // A server may know one spelling only.
            let settings = settings(fields)?;
            let named = |names| settings.as_ref().map_or(Ok(None), |settings| largest(settings, names));
            (named(&["maxOutputTokens", "max_output_tokens"])?, named(&["candidateCount", "candidate_count"])?)
        }
        _ => {
            // A server passes over a bound that is another endpoint's.
            let bounds: &[&str] = match endpoint {
                Endpoint::Responses => &["max_output_tokens"],
                Endpoint::ChatCompletions => &["max_completion_tokens", "max_tokens"],
                _ => &["max_tokens"],
            };
            (largest(fields, bounds)?, largest(fields, &["n", "best_of"])?)
        }
    };
    let most = match (most, grant.model.max_output_tokens) {
        (Some(asked), Some(bound)) => asked.min(bound),
        (Some(asked), None) => asked,
        (None, bound) => bound.unwrap_or(UNKNOWN_OUTPUT),
    };
    // A predicted output that did not come is charged as output, too.
    let predicted = fields.raw("prediction").map_or(0, |text| u64::try_from(text.len()).unwrap_or(u64::MAX));
    let answers = choices.unwrap_or(1).max(1).saturating_mul(prompts(endpoint, fields)?);
    Ok(Output { all: most.saturating_add(predicted).saturating_mul(answers), answers })
}

/// Returns the largest of some numbers, of which each may be left out. Zero and less are no bound, where a server takes them.
fn largest(fields: &Fields<'_>, names: &[&str]) -> Result<Option<u64>, Refusal> {
    let mut largest = None;
    for name in names {
        let value = fields.get(name)?.unwrap_or_default();
        match value.as_u64().or_else(|| whole(value.as_f64()?)) {
            Some(number) => largest = largest.max(Some(number).filter(|number| *number > 0)),
            None if value.is_null() => {}
            // Some servers read a number out of a text.
            None => return Err(Refusal::Request(format!("{name} is not a whole number"))),
        }
    }
    Ok(largest)
}

/// Returns a number that is written with a point or a sign as a whole one, at least zero.
fn whole(number: f64) -> Option<u64> {
    // A bound of more than that is none.
    let bounded = number.clamp(0.0, f64::from(u32::MAX));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and within 32 bits, see above")]
    (number.fract() == 0.0).then_some(bounded as u64)
}

/// Returns the number of prompts: completions take several at once, as texts or as lists of tokens.
fn prompts(endpoint: &Endpoint, fields: &Fields<'_>) -> Result<u64, FieldsError> {
    let text = fields.raw("prompt").filter(|_| matches!(endpoint, Endpoint::Completions)).unwrap_or_default();
    let first = text.strip_prefix('[').map(str::trim_ascii_start);
    // Numbers are the tokens of one text.
    if first.is_none_or(|first| first.starts_with(|letter: char| letter.is_ascii_digit())) {
        return Ok(1);
    }
    let mut count = 0;
    fields.values_of::<FieldsError>("prompt", |_| {
        count += 1;
        Ok(())
    })?;
    Ok(count.max(1))
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
