//! Answers at temperature 0 that are kept (W16).

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use manyworlds_api::provider::Temperature;
use serde_json::{Value, json};
use support::{Bench, always, dollars};

const CHAT: &str = "/v1/chat/completions";

fn asks(question: &str, temperature: f64) -> Value {
    json!({"model": "scripted", "temperature": temperature, "max_tokens": 10, "messages": [{"role": "user", "content": question}]})
}

async fn bench() -> Bench {
    let bench =
        Bench::start(&always(&json!({"text": "hello", "usage": {"input": 100, "output": 20}, "parts": 3}))).await;
    bench.rules.change(|rules| rules.cached = true);
    bench
}

/// Asks, and returns what came and whether it had been kept.
async fn ask(bench: &Bench, order: &str, body: &Value) -> (String, bool) {
    let answer = bench.post(order, CHAT, body.clone()).await;
    assert_eq!(answer.status(), 200);
    let kept = answer.headers().get("x-manyworlds-cache").is_some_and(|value| value == "hit");
    (answer.text().await.unwrap(), kept)
}

#[tokio::test]
async fn the_same_question_at_temperature_0_is_paid_for_once() {
    let bench = bench().await;
    let (first, kept) = ask(&bench, "o", &asks("why?", 0.0)).await;
    assert!(!kept);
    assert_eq!(bench.settled("o").await, (dollars("0.00014"), 1));
    assert_eq!(ask(&bench, "o", &asks("why?", 0.0)).await, (first, true));
    assert_eq!(bench.settled("o").await, (dollars("0.00014"), 1), "a hit costs nothing");
    assert_eq!(bench.upstream.count(), 1);
    assert_eq!(bench.metrics.llm_cache.with_label_values(&["hit"]).get(), 1);
}

#[tokio::test]
async fn another_question_temperature_parameter_or_order_is_asked_anew() {
    let bench = bench().await;
    ask(&bench, "o", &asks("why?", 0.0)).await;
    let mut with_seed = asks("why?", 0.0);
    with_seed["seed"] = json!(7);
    for (order, body) in
        [("o", asks("how?", 0.0)), ("o", with_seed), ("other", asks("why?", 0.0)), ("o", asks("why?", 0.1))]
    {
        assert!(!ask(&bench, order, &body).await.1, "{order} {body}");
    }
    assert!(!ask(&bench, "o", &asks("why?", 0.1)).await.1, "chance has a part in it");
    let without = json!({"model": "scripted", "max_tokens": 10, "messages": []});
    ask(&bench, "o", &without).await;
    assert!(!ask(&bench, "o", &without).await.1, "the model's own temperature is not 0");
}

#[tokio::test]
async fn the_variants_temperature_decides() {
    let bench = bench().await;
    bench.rules.change(|rules| rules.temperature = Some(0.7));
    ask(&bench, "o", &asks("why?", 0.0)).await;
    assert!(!ask(&bench, "o", &asks("why?", 0.0)).await.1, "it was asked at 0.7");
    bench.rules.change(|rules| rules.temperature = Some(0.0));
    ask(&bench, "o", &asks("why?", 0.9)).await;
    assert!(ask(&bench, "o", &asks("why?", 0.9)).await.1);
}

#[tokio::test]
async fn nothing_is_kept_of_a_model_that_takes_no_temperature() {
    let bench = bench().await;
    bench.rules.change(|rules| (rules.temperature, rules.takes) = (Some(0.0), Temperature::Fixed));
    ask(&bench, "o", &asks("why?", 0.0)).await;
    assert!(!ask(&bench, "o", &asks("why?", 0.0)).await.1, "it was asked at the model's own");
    let seen: Value = serde_json::from_slice(&bench.upstream.calls()[0].body).unwrap();
    assert_eq!(seen.get("temperature"), None);
}

#[tokio::test]
async fn streams_are_kept_as_they_came_and_only_if_all_of_them_came() {
    let bench = bench().await;
    let mut streamed = asks("why?", 0.0);
    streamed["stream"] = json!(true);
    let (first, _) = ask(&bench, "o", &streamed).await;
    bench.settled("o").await;
    assert_eq!(ask(&bench, "o", &streamed).await, (first.clone(), true));
    streamed["stream_options"] = json!({"include_usage": true});
    let (with_usage, kept) = ask(&bench, "o", &streamed).await;
    assert!(!kept && with_usage != first, "who asks for the usage gets it");
    let cut = Bench::start(&always(&json!({"text": "hello", "cutAfter": 1}))).await;
    cut.rules.change(|rules| rules.cached = true);
    for _ in 0..2 {
        // The body breaks off.
        let answer = cut.post("o", CHAT, streamed.clone()).await;
        assert!(!answer.headers().contains_key("x-manyworlds-cache"));
        let _ = answer.bytes().await;
    }
    assert_eq!(cut.upstream.count(), 2);
}

#[tokio::test]
async fn a_stopped_world_gets_no_kept_answer_and_failures_are_not_kept() {
    let bench = bench().await;
    ask(&bench, "o", &asks("why?", 0.0)).await;
    bench.settled("o").await;
    bench.rules.change(|rules| rules.stopped.extend(["o".to_owned()]));
    assert_eq!(bench.post("o", CHAT, asks("why?", 0.0)).await.status(), 403);
    let failing = Bench::start(&always(&json!({"status": 400}))).await;
    failing.rules.change(|rules| rules.cached = true);
    for _ in 0..2 {
        assert_eq!(failing.post("o", CHAT, asks("why?", 0.0)).await.status(), 400);
    }
    assert_eq!(failing.upstream.count(), 2);
}
