use manyworlds_api::provider::{Prices, ProviderSpec, Temperature};
use manyworlds_metering::model_choice::PricedModel;

use super::*;
use crate::access::Sampling;

fn grant(temperature: Option<f64>) -> Grant {
    let provider = json!({"protocol": "OpenAI", "baseUrl": "http://127.0.0.1:1/v1", "models": [{"name": "m"}]});
    Grant {
        model: PricedModel {
            provider: "p".into(),
            model: "m".into(),
            prices: Prices::default(),
            context_window: Some(100_000),
            max_output_tokens: Some(8_000),
            strength: None,
            temperature: Temperature::Settable,
        },
        provider_key: "n/p".into(),
        provider: serde_json::from_value::<ProviderSpec>(provider).unwrap().into(),
        key: None,
        prices: "t".into(),
        sampling: Sampling { temperature },
        budgets: Vec::new(),
        cache_scope: None,
        filter: None,
        priority: 0,
    }
}

fn prepared(endpoint: &Endpoint, body: &str, temperature: Option<f64>) -> Result<Prepared, Refusal> {
    prepared_for(endpoint, body, &grant(temperature))
}

fn prepared_for(endpoint: &Endpoint, body: &str, grant: &Grant) -> Result<Prepared, Refusal> {
    let fields = Fields::read(body.as_bytes()).unwrap();
    prepare(endpoint, &fields, grant, inspect(endpoint, &fields)?)
}

#[test]
fn a_request_that_is_as_the_variant_wants_it_is_not_touched() {
    let body = "{ \"model\" : \"m\", \"new\":1.0e3 }";
    assert_eq!(prepared(&Endpoint::Messages, body, None).unwrap().body, body);
}

#[test]
fn the_variants_temperature_takes_the_place_of_the_clients() {
    let body = r#"{"model":"m","temperature":2,"a":1}"#;
    let set = prepared(&Endpoint::ChatCompletions, body, Some(0.5)).unwrap();
    assert_eq!(set.body, r#"{"model":"m","temperature":0.5,"a":1}"#);
    let gemini = Endpoint::GenerateContent("m".into());
    let set = prepared(&gemini, r#"{"generationConfig":{"temperature":2,"topK":3}}"#, Some(0.5)).unwrap();
    let value: Value = serde_json::from_slice(&set.body).unwrap();
    assert_eq!(value, json!({"generationConfig": {"temperature": 0.5, "topK": 3}}));
    let untouched = prepared(&Endpoint::Embeddings, r#"{"model":"m","input":"a"}"#, Some(0.5)).unwrap();
    assert_eq!(untouched.body, r#"{"model":"m","input":"a"}"#, "there is nothing to sample");
}

#[test]
fn a_model_that_takes_no_temperature_is_sent_none() {
    let gemini = Endpoint::GenerateContent("m".into());
    for (endpoint, body, sent) in [
        (Endpoint::ChatCompletions, r#"{"model":"m","temperature":2,"a":1.0}"#, r#"{"model":"m","a":1.0}"#),
        (Endpoint::Responses, r#"{"temperature":0,"model":"m"}"#, r#"{"model":"m"}"#),
        (Endpoint::Messages, r#"{"model":"m", "x":1.0}"#, r#"{"model":"m", "x":1.0}"#),
        (gemini, r#"{"generationConfig":{"temperature":2,"topK":3}}"#, r#"{"generationConfig":{"topK":3}}"#),
    ] {
        for variant in [Some(0.0), None] {
            let mut grant = grant(variant);
            grant.model.temperature = Temperature::Fixed;
            let prepared = prepared_for(&endpoint, body, &grant).unwrap();
            assert_eq!((prepared.body, prepared.temperature), (sent.into(), None), "{endpoint:?}");
        }
    }
}

/// Anthropic's API takes only 1 beside thinking.
#[test]
fn a_call_that_has_the_model_think_keeps_its_own_temperature() {
    for thinking in [r#"{"type":"enabled","budget_tokens":1024}"#, r#"{"type":"adaptive"}"#] {
        let body = format!(r#"{{"model":"m","thinking":{thinking}}}"#);
        let kept = prepared(&Endpoint::Messages, &body, Some(0.0)).unwrap();
        assert_eq!((kept.body, kept.temperature), (body.into(), None), "it is not at temperature 0");
    }
    for (endpoint, thinking) in [(Endpoint::Messages, "disabled"), (Endpoint::ChatCompletions, "enabled")] {
        let body = format!(r#"{{"model":"m","thinking":{{"type":"{thinking}"}}}}"#);
        assert_eq!(prepared(&endpoint, &body, Some(0.5)).unwrap().temperature, Some(0.5), "{endpoint:?}");
    }
}

#[test]
fn the_usage_of_a_stream_is_asked_for_where_the_client_did_not() {
    let streamed = prepared(&Endpoint::ChatCompletions, r#"{"model":"m","stream":true}"#, None).unwrap();
    assert!(streamed.usage_added);
    let value: Value = serde_json::from_slice(&streamed.body).unwrap();
    assert_eq!(value["stream_options"], json!({"include_usage": true}));
    let asked = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#;
    for (endpoint, body) in [
        (Endpoint::ChatCompletions, asked),
        (Endpoint::ChatCompletions, r#"{"model":"m"}"#),
        (Endpoint::Responses, r#"{"model":"m","stream":true}"#),
        (Endpoint::Messages, r#"{"model":"m","stream":true}"#),
    ] {
        let kept = prepared(&endpoint, body, None).unwrap();
        assert!(!kept.usage_added && kept.body == body, "{endpoint:?}");
    }
}

#[test]
fn the_most_that_an_answer_may_have_is_found_in_each_protocol() {
    for (endpoint, body, most) in [
        (Endpoint::ChatCompletions, r#"{"max_tokens":100,"n":3}"#, 300),
        (Endpoint::ChatCompletions, r#"{"max_completion_tokens":1,"max_tokens":7000}"#, 7_000),
        (Endpoint::Completions, r#"{"max_tokens":10,"n":1,"best_of":4,"prompt":["a","b","c"]}"#, 120),
        (Endpoint::Completions, r#"{"max_tokens":10,"prompt":[1,2,3]}"#, 10),
        (Endpoint::Completions, r#"{"max_tokens":10,"prompt":[[1,2],[3]]}"#, 20),
        (Endpoint::Completions, r#"{"max_tokens":10,"prompt":"a"}"#, 10),
        (Endpoint::ChatCompletions, r#"{"max_completion_tokens":200}"#, 200),
        (Endpoint::Responses, r#"{"max_output_tokens":300}"#, 300),
        (Endpoint::Messages, r#"{"max_tokens":64000}"#, 8_000),
        (Endpoint::Messages, "{}", 8_000),
        (Endpoint::Embeddings, "{}", 0),
        (
            Endpoint::GenerateContent("m".into()),
            r#"{"generationConfig":{"maxOutputTokens":50,"candidateCount":2}}"#,
            100,
        ),
        (
            Endpoint::GenerateContent("m".into()),
            r#"{"generationConfig":{"maxOutputTokens":1,"max_output_tokens":70,"candidate_count":2.0}}"#,
            140,
        ),
        // Bounds of other endpoints, and what bounds nothing.
        (Endpoint::ChatCompletions, r#"{"max_output_tokens":1}"#, 8_000),
        (Endpoint::Responses, r#"{"max_tokens":1}"#, 8_000),
        (Endpoint::ChatCompletions, r#"{"max_tokens":0,"n":null}"#, 8_000),
        (Endpoint::ChatCompletions, r#"{"max_tokens":-1}"#, 8_000),
        (Endpoint::ChatCompletions, r#"{"max_tokens":10,"prediction":"abcd"}"#, 16),
    ] {
        let found = prepared(&endpoint, body, None).unwrap().request.max_output;
        assert_eq!(found, most, "{body}");
    }
}

#[test]
fn each_answer_of_a_request_has_its_part_of_the_output() {
    for (endpoint, body, single) in [
        (Endpoint::ChatCompletions, r#"{"max_tokens":100,"n":3}"#, 100),
        (Endpoint::Completions, r#"{"max_tokens":10,"best_of":4,"prompt":["a","b"]}"#, 10),
        (Endpoint::Messages, r#"{"max_tokens":10}"#, 10),
        (Endpoint::Embeddings, "{}", 0),
    ] {
        assert_eq!(prepared(&endpoint, body, None).unwrap().single().max_output, single, "{body}");
    }
}

#[test]
fn numbers_that_are_none_are_refused() {
    for (endpoint, body) in [
        (Endpoint::GenerateContent("m".into()), r#"{"generationConfig":{"candidateCount":"8"}}"#),
        (Endpoint::ChatCompletions, r#"{"model":"m","n":"8"}"#),
        (Endpoint::ChatCompletions, r#"{"model":"m","n":1.5}"#),
        (Endpoint::GenerateContent("m".into()), r#"{"generationConfig":{"candidateCount":1e999}}"#),
    ] {
        assert!(matches!(prepared(&endpoint, body, None), Err(Refusal::Request(_))), "{body}");
    }
}

#[test]
fn a_conversation_or_file_that_a_request_only_names_is_estimated() {
    let image = r#"{"model":"m","messages":[{"content":[{"type":"image_url","image_url":{"url":"https://a"}}]}]}"#;
    let reckoned = prepared(&Endpoint::ChatCompletions, image, None).unwrap().request;
    assert_eq!((reckoned.other_input, reckoned.max_other_input), (USUAL_PART, 100_000), "all that the model takes");
    for (endpoint, kept) in [
        (Endpoint::Responses, r#"{"model":"m","previous_response_id":"r"}"#),
        (Endpoint::Responses, r#"{"model":"m","conversation":{"id":"c"}}"#),
        (Endpoint::Responses, r#"{"model":"m","input":[{"id":"msg_1"}]}"#),
        (Endpoint::Responses, r#"{"model":"m","input":[{"type":"item_reference","id":"msg_1"}]}"#),
        (Endpoint::Messages, r#"{"model":"m","thread":{"type":"continue","id":"t"}}"#),
        (Endpoint::GenerateContent("m".into()), r#"{"cachedContent":"cachedContents/a"}"#),
    ] {
        assert_eq!(prepared(&endpoint, kept, None).unwrap().request.max_other_input, 100_000, "{kept}");
    }
    let own = r#"{"model":"m","input":[{"id":"a","role":"user","content":"a"}],
        "tools":[{"type":"function","parameters":{"properties":{"id":{"type":"string"}}}}],"metadata":{"id":"a"}}"#;
    let reckoned = prepared(&Endpoint::Responses, own, None).unwrap().request;
    assert_eq!(reckoned.max_other_input, 0, "nothing that upstream keeps");
    let text = r#"{"model":"m","prompt":"a","previous_response_id":null}"#;
    assert_eq!(prepared(&Endpoint::Completions, text, None).unwrap().request.max_other_input, 0);
}

#[test]
fn settings_under_both_of_their_names_are_refused() {
    let both = r#"{"generationConfig":{"temperature":0},"generation_config":{"maxOutputTokens":9}}"#;
    assert!(matches!(prepared(&Endpoint::GenerateContent("m".into()), both, None), Err(Refusal::Request(_))));
}

#[test]
fn a_request_that_costs_more_than_tokens_is_refused() {
    for body in [r#"{"model":"m","service_tier":"priority"}"#, r#"{"model":"m","tools":[{"type":"web_search"}]}"#] {
        assert!(matches!(prepared(&Endpoint::Responses, body, None), Err(Refusal::Policy(_))), "{body}");
    }
    assert!(prepared(&Endpoint::Responses, r#"{"model":"m","service_tier":"auto"}"#, None).is_ok());
}

#[test]
fn a_request_without_a_model_says_so() {
    for body in ["{}", r#"{"model":""}"#, r#"{"model":1}"#] {
        let fields = Fields::read(body.as_bytes()).unwrap();
        assert!(matches!(model(&Endpoint::Messages, &fields), Err(Refusal::Request(_))), "{body}");
    }
}

/// Bodies with the fields that decide, of each endpoint.
const BODIES: [&[u8]; 8] = [
    br#"{"model":"a","messages":[{"role":"user","content":"hi"}],"stream":true,"stream_options":{"x":1},"n":3,"max_tokens":5,"max_completion_tokens":7,"temperature":1.5}"#,
    br#"{"model":"a","prompt":["one","two",[1,2]],"best_of":4,"n":2,"prediction":{"type":"content","content":"x"}}"#,
    br#"{"model":"a","input":[{"type":"message","content":[{"type":"input_image","image_url":"u"}]},{"id":"m"}],"tools":[{"type":"web_search"},{"type":"function","name":"f"}],"background":false}"#,
    br#"{"model":"a","max_tokens":9,"thinking":{"type":"enabled"},"tools":[{"type":"bash_20250124","name":"bash"},{"type":"web_fetch_20250910"}],"mcp_servers":[],"service_tier":"standard_only"}"#,
    br#"{"contents":[{"parts":[{"text":"hi"},{"inlineData":{}}]}],"generationConfig":{"candidateCount":2,"maxOutputTokens":5,"temperature":1},"tools":[{"googleSearch":{}},{"functionDeclarations":[]}]}"#,
    br#"{"generation_config":{"max_output_tokens":4,"response_modalities":["TEXT"]},"cachedContent":"c"}"#,
    br#"{"model":"a","fallbacks":[{"model":"b"}],"models":["b"],"plugins":[{"id":"web"}],"context_management":{"edits":[{"type":"clear_thinking_20251015"}]}}"#,
    br#"{"Model":"a","\u0074ools":[],"temperature":null,"previous_response_id":"r","additional_tools":[{"type":"tool_definition"}]}"#,
];

/// Returns a field of a body as a server finds it that takes large letters for small ones.
fn found<'a>(sent: &'a Value, name: &str) -> Option<&'a Value> {
    let fields = sent.as_object()?;
    let mut named = fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
    let first = named.next().map(|(_, value)| value);
    assert!(named.next().is_none(), "{name} is there twice");
    first
}

fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(all) => all.iter().all(is_off),
        _ => false,
    }
}

/// Checks what goes out by another reader than the one that has prepared it.
fn assert_sent(endpoint: &Endpoint, prepared: &Prepared, wanted: Option<f64>) {
    assert!(Fields::read(&prepared.body).is_ok(), "it can still be read in one way");
    // What a reader refuses, such as a number beyond all measure, is upstream's to refuse.
    let Ok(sent) = serde_json::from_slice::<Value>(&prepared.body) else { return };
    for name in ["fallbacks", "models", "mcp_servers", "plugins", "background", "web_search_options", "audio"] {
        assert!(found(&sent, name).is_none_or(is_off), "{name}");
    }
    let tools = found(&sent, "tools").and_then(Value::as_array);
    for kind in tools.into_iter().flatten().filter_map(|tool| found(tool, "type")?.as_str()) {
        let is_hosted = ["web_", "mcp", "code_", "image_", "file_search"].iter().any(|name| kind.starts_with(name));
        assert!(!is_hosted || is_gemini(endpoint), "{kind}");
    }
    if is_gemini(endpoint) {
        return;
    }
    assert_eq!(found(&sent, "model"), Some(&json!("m")));
    if matches!(endpoint, Endpoint::ChatCompletions) {
        assert!(wanted.is_none() || found(&sent, "temperature").and_then(Value::as_f64) == wanted);
        let choices = found(&sent, "n").and_then(Value::as_u64).unwrap_or_default();
        assert!(prepared.request.max_output >= choices, "each choice has a token at least");
        assert_eq!(prepared.request.bytes, u64::try_from(prepared.body.len()).unwrap());
    }
}

/// `make fuzz` runs these for longer.
mod fuzzed {
    use manyworlds_test_support::fuzz::fuzz;

    use super::*;

    #[test]
    fn no_request_that_passes_asks_for_more_than_tokens_of_its_model() {
        let endpoints = [
            Endpoint::ChatCompletions,
            Endpoint::Responses,
            Endpoint::Completions,
            Endpoint::Embeddings,
            Endpoint::Messages,
            Endpoint::GenerateContent("m".into()),
        ];
        fuzz(&BODIES, |input| {
            let Ok(fields) = Fields::read(input) else { return };
            assert_eq!(fields.body().as_bytes(), input);
            for endpoint in &endpoints {
                let Ok(modalities) = inspect(endpoint, &fields) else { continue };
                for wanted in [None, Some(0.5)] {
                    if let Ok(prepared) = prepare(endpoint, &fields, &grant(wanted), modalities) {
                        assert_sent(endpoint, &prepared, wanted);
                    }
                }
            }
        });
    }
}
