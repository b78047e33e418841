//! Answers that pass through the gateway, and their cost (W9, W16, S4; docs/gateway.md).

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::{Value, json};
use support::{Bench, KEY, always, client, dollars, eventually};

/// The cost of a call with this [`usage`].
const COST: &str = "0.000146";

fn usage() -> Value {
    json!({"input": 100, "cached": 60, "output": 20})
}

const ENDPOINTS: [(&str, &str); 8] = [
    ("/v1/chat/completions", r#"{"model":"scripted","messages":[{"role":"user","content":"a"}]}"#),
    (
        "/v1/chat/completions",
        r#"{"model":"scripted","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#,
    ),
    ("/v1/completions", r#"{"model":"scripted","prompt":"a"}"#),
    ("/v1/responses", r#"{"model":"scripted","input":"a"}"#),
    ("/v1/responses", r#"{"model":"scripted","input":"a","stream":true}"#),
    ("/v1/messages", r#"{"model":"scripted","max_tokens":100,"messages":[{"role":"user","content":"a"}]}"#),
    ("/v1/messages?beta=true", r#"{"model":"scripted","max_tokens":100,"stream":true,"messages":[]}"#),
    ("/v1beta/models/scripted:generateContent", r#"{"contents":[{"role":"user","parts":[{"text":"a"}]}]}"#),
];

#[tokio::test]
async fn every_endpoint_passes_byte_for_byte_and_is_paid_for_once() {
    let bench = Bench::start(&always(&json!({"text": "hello", "usage": usage()}))).await;
    let tool = json!({"text": "x", "toolCalls": [{"name": "run", "arguments": {"command": "ls"}}], "usage": usage()});
    for (number, (path, body)) in ENDPOINTS.iter().enumerate() {
        for (kind, reply) in [("plain", json!({"text": "hello", "usage": usage()})), ("tools", tool.clone())] {
            bench.upstream.set_script(serde_json::from_value(always(&reply)).unwrap());
            let order = format!("order{number}{kind}");
            let body: Value = serde_json::from_str(body).unwrap();
            let through = bench.post(&order, path, body.clone()).await;
            assert_eq!(through.status(), 200, "{path}");
            let kind = through.headers()["content-type"].clone();
            let through = through.text().await.unwrap();
            let direct =
                client().post(format!("{}{path}", bench.upstream.url())).body(body.to_string()).send().await.unwrap();
            assert_eq!(direct.headers()["content-type"], kind);
            let direct = direct.text().await.unwrap();
            // Calls are numbered; all else is the same.
            let unnumbered =
                |text: &str| text.chars().filter(|character| !character.is_ascii_digit()).collect::<String>();
            assert_eq!(unnumbered(&through), unnumbered(&direct), "{path}");
            assert_eq!(bench.settled(&order).await, (dollars(COST), 1), "{path}");
        }
    }
    let seen = bench.upstream.calls();
    assert_eq!(seen[0].body, seen[1].body, "the request passes as it was written");
    assert_eq!(seen[0].headers["authorization"], format!("Bearer {KEY}"));
    assert!(seen.iter().any(|call| call.path == "/v1/messages?beta=true" && call.headers["x-api-key"] == KEY));
    assert!(seen.iter().any(|call| call.path.starts_with("/v1beta/") && call.headers["x-goog-api-key"] == KEY));
}

#[tokio::test]
async fn a_stream_whose_usage_was_not_asked_for_is_paid_for_and_looks_as_if_it_had_none() {
    let bench = Bench::start(&always(&json!({"text": "hello", "usage": usage()}))).await;
    let body = json!({"model": "scripted", "stream": true, "messages": []});
    let text = bench.post("a", "/v1/chat/completions", body).await.text().await.unwrap();
    assert!(!text.contains("prompt_tokens") && text.ends_with("data: [DONE]\n\n"), "{text}");
    assert!(!text.contains("\n\n\n"), "no empty event is left: {text}");
    assert_eq!(bench.settled("a").await, (dollars(COST), 1));
}

#[tokio::test]
async fn counting_tokens_is_free() {
    let bench = Bench::start(&always(&json!({"usage": usage()}))).await;
    let body = json!({"model": "scripted", "messages": []});
    let answer = bench.post("a", "/v1/messages/count_tokens", body.clone()).await;
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({"input_tokens": 160}));
    bench.post("a", "/v1beta/models/scripted:countTokens", json!({"contents": []})).await;
    assert_eq!(bench.settled("a").await.0, dollars("0"));
}

#[tokio::test]
async fn the_first_part_of_a_stream_does_not_wait_for_the_last() {
    let bench = Bench::start(&always(&json!({"text": "hello", "parts": 6, "pauseMs": 150, "usage": usage()}))).await;
    let begun = Instant::now();
    let body = json!({"model": "scripted", "stream": true, "max_tokens": 5, "messages": []});
    let mut parts = bench.post("a", "/v1/messages", body).await.bytes_stream();
    let first = parts.next().await.unwrap().unwrap();
    assert!(first.starts_with(b"event: message_start"));
    let first_after = begun.elapsed();
    while parts.next().await.is_some() {}
    let all_after = begun.elapsed();
    assert!(all_after > first_after + Duration::from_millis(600), "{first_after:?} and {all_after:?}");
    assert_eq!(bench.settled("a").await, (dollars(COST), 1));
}

#[tokio::test]
async fn a_client_that_goes_away_pays_the_upper_bound_and_a_late_one_the_reported_usage() {
    let slow = json!({"text": "hello", "parts": 100, "pauseMs": 50, "usage": usage()});
    let bench = Bench::start(&always(&slow)).await;
    let body = json!({"model": "scripted", "stream": true, "max_tokens": 500, "messages": []});
    let mut parts = bench.post("gone", "/v1/messages", body.clone()).await.bytes_stream();
    parts.next().await.unwrap().unwrap();
    drop(parts);
    let (cost, calls) = bench.settled("gone").await;
    assert!(cost >= dollars("0.001") && calls == 1, "500 output tokens may have been made: {cost}");
    let outcomes = bench.ledger.outcomes_of_order("uid-gone").await.unwrap();
    assert_eq!(outcomes[0].outcome, "Cut");
    bench.upstream.set_script(serde_json::from_value(always(&json!({"text": "a", "usage": usage()}))).unwrap());
    let mut parts = bench.post("late", "/v1/messages", body).await.bytes_stream();
    // All of it comes at once; the client leaves without looking for the end.
    parts.next().await.unwrap().unwrap();
    drop(parts);
    assert_eq!(bench.settled("late").await, (dollars(COST), 1));
}

#[tokio::test]
async fn a_stream_that_upstream_cuts_costs_its_upper_bound() {
    let bench = Bench::start(&always(&json!({"text": "hello", "cutAfter": 2, "usage": usage()}))).await;
    let body = json!({"model": "scripted", "stream": true, "max_tokens": 500, "messages": []});
    let answer = bench.post("cut", "/v1/messages", body).await;
    assert!(answer.bytes().await.is_err(), "the client sees that it was cut");
    assert!(bench.settled("cut").await.0 >= dollars("0.001"));
}

#[tokio::test]
async fn a_stream_that_is_cut_costs_no_less_than_it_has_reported_already() {
    let much = json!({"input": 1_000_000, "output": 20});
    let bench = Bench::start(&always(&json!({"text": "hello", "cutAfter": 2, "usage": much}))).await;
    let body = json!({"model": "scripted", "stream": true, "max_tokens": 500, "messages": []});
    assert!(bench.post("cut", "/v1/messages", body).await.bytes().await.is_err());
    assert!(bench.settled("cut").await.0 >= dollars("1"), "more than what was reserved");
}

#[tokio::test]
async fn the_variants_model_and_temperature_hold() {
    let bench = Bench::start(&always(&json!({"text": "a"}))).await;
    bench.rules.change(|rules| rules.temperature = Some(0.25));
    bench
        .post("a", "/v1/messages", json!({"model": "scripted", "max_tokens": 5, "temperature": 1, "messages": []}))
        .await;
    let seen: Value = serde_json::from_slice(&bench.upstream.calls()[0].body).unwrap();
    assert_eq!(seen["temperature"], 0.25);
    let other = bench.post("a", "/v1/messages", json!({"model": "dear", "max_tokens": 5, "messages": []})).await;
    assert_eq!(other.status(), 403);
    assert_eq!(other.json::<Value>().await.unwrap()["error"]["type"], "permission_error");
    assert_eq!(bench.upstream.count(), 1);
}

#[tokio::test]
async fn the_requests_that_clients_begin_with_are_answered_by_the_gateway() {
    let bench = Bench::start(&always(&json!({}))).await;
    assert_eq!(client().head(bench.url("/api/hello")).send().await.unwrap().status(), 200);
    let ask = |path: &str| client().get(bench.url(path)).bearer_auth("a/w");
    let openai: Value = ask("/v1/models").send().await.unwrap().json().await.unwrap();
    assert_eq!(openai["data"][0]["id"], "scripted");
    let anthropic = ask("/v1/models?limit=5").header("anthropic-version", "2023-06-01").send().await.unwrap();
    assert_eq!(anthropic.json::<Value>().await.unwrap()["has_more"], false);
    let gemini: Value = ask("/v1beta/models").send().await.unwrap().json().await.unwrap();
    assert_eq!(gemini["models"][0]["name"], "models/scripted");
    assert_eq!(ask("/v1/models/other").send().await.unwrap().status(), 403);
    assert_eq!(client().get(bench.url("/v1/models")).send().await.unwrap().status(), 401);
    assert_eq!(bench.upstream.count(), 0);
}

#[tokio::test]
async fn no_answer_and_no_ledger_holds_the_providers_key() {
    let echo = json!({"status": 401, "headers": {"set-cookie": "a=b", "openai-organization": "o"}});
    let bench = Bench::start(&always(&echo)).await;
    let answer = bench.post("a", "/v1/responses", json!({"model": "scripted", "input": "a"})).await;
    assert_eq!(answer.status(), 401);
    assert!(!answer.headers().contains_key("set-cookie") && !answer.headers().contains_key("openai-organization"));
    let headers = format!("{:?}", answer.headers());
    assert!(!headers.contains(KEY) && !answer.text().await.unwrap().contains(KEY));
    eventually(async || bench.ledger.calls_in_flight().await.unwrap() == 0).await;
    assert!(!String::from_utf8(bench.metrics.encode().unwrap()).unwrap().contains("canary"));
}
