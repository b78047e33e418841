//! The next model of a chain while the wanted one's breaker is open (W5, W6).

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use serde_json::{Value, json};
use support::{Bench, dollars};

const CHAT: &str = "/v1/chat/completions";

fn asks(model: &str) -> Value {
    json!({"model": model, "max_tokens": 10, "messages": [{"role": "user", "content": "hello"}]})
}

/// The wanted model and the second always fail; the third answers.
fn script() -> Value {
    let usage = json!({"input": 100, "output": 20});
    json!({"models": {
        "scripted-third": [{"reply": {"text": "hello", "usage": usage}}],
        "*": [{"reply": {"status": 503}}],
    }})
}

async fn failing_until_open(bench: &Bench, order: &str) {
    bench.rules.change(|rules| {
        rules.provider["retries"] = json!({"maxAttempts": 1});
        rules.provider["breaker"] = json!({"failures": 2, "openFor": "60s", "successes": 1});
    });
    for model in ["scripted-first", "scripted-second"] {
        for _ in 0..2 {
            assert_eq!(bench.post(order, CHAT, asks(model)).await.status(), 503);
        }
    }
}

#[tokio::test]
async fn while_a_breaker_is_open_the_next_model_that_the_order_allows_is_called() {
    let bench = Bench::start(&script()).await;
    failing_until_open(&bench, "o").await;
    let before = bench.upstream.count();
    let refused = bench.post("o", CHAT, asks("scripted-first")).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(bench.upstream.count(), before, "without a chain nobody else is called");
    bench.rules.change(|rules| {
        rules.fallbacks = ["scripted-first", "scripted-second", "scripted-third"].map(str::to_owned).to_vec();
    });
    let answer = bench.post("o", CHAT, asks("scripted-first")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["x-manyworlds-model"], "scripted-third");
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["model"], "scripted-third");
    assert_eq!(bench.upstream.count(), before + 1, "models whose breakers are open are left alone");
    assert_eq!(bench.upstream.calls().last().unwrap().model, "scripted-third");
    assert_eq!(bench.settled("o").await, (dollars("0.00014"), 1), "what answered is what is paid for");
}

#[tokio::test]
async fn the_same_model_of_another_provider_is_called_too() {
    let answers = json!({"reply": {"text": "hello"}});
    let fails = json!({"times": 2, "reply": {"status": 503}});
    let bench = Bench::start(&json!({"models": {"*": [fails, answers]}})).await;
    bench.rules.change(|rules| {
        rules.provider["retries"] = json!({"maxAttempts": 1});
        rules.provider["breaker"] = json!({"failures": 2, "openFor": "60s", "successes": 1});
        rules.fallbacks = ["scripted-first", "other/scripted-first"].map(str::to_owned).to_vec();
    });
    for _ in 0..2 {
        assert_eq!(bench.post("o", CHAT, asks("scripted-first")).await.status(), 503);
    }
    let answer = bench.post("o", CHAT, asks("scripted-first")).await;
    assert_eq!(answer.status(), 200, "its breaker is not that of the wanted one");
    assert_eq!(answer.headers()["x-manyworlds-model"], "scripted-first");
    assert_eq!(bench.upstream.count(), 3);
}

#[tokio::test]
async fn a_kept_answer_of_another_model_says_whose_it_is() {
    let bench = Bench::start(&script()).await;
    failing_until_open(&bench, "o").await;
    bench.rules.change(|rules| {
        rules.fallbacks = vec!["scripted-third".to_owned()];
        rules.temperature = Some(0.0);
        rules.cached = true;
    });
    let first = bench.post("o", CHAT, asks("scripted-first")).await;
    assert_eq!(first.headers()["x-manyworlds-model"], "scripted-third");
    let first = first.text().await.unwrap();
    bench.settled("o").await;
    let kept = bench.post("o", CHAT, asks("scripted-first")).await;
    assert_eq!(kept.headers()["x-manyworlds-cache"], "hit");
    assert_eq!(kept.headers()["x-manyworlds-model"], "scripted-third");
    assert_eq!(kept.text().await.unwrap(), first);
    let asked_for = bench.post("o", CHAT, asks("scripted-third")).await;
    assert_eq!(asked_for.headers()["x-manyworlds-cache"], "hit", "the same answer as that of the fallback");
    assert!(!asked_for.headers().contains_key("x-manyworlds-model"), "it was asked for");
}

#[tokio::test]
async fn a_model_that_fails_while_its_breaker_is_closed_is_not_left_for_another() {
    let bench = Bench::start(&script()).await;
    bench.rules.change(|rules| {
        rules.provider["retries"] = json!({"maxAttempts": 1});
        rules.fallbacks = vec!["scripted-third".to_owned()];
    });
    assert_eq!(bench.post("o", CHAT, asks("scripted-first")).await.status(), 503);
    assert_eq!(bench.upstream.count(), 1);
}

#[tokio::test]
async fn the_chain_has_no_more_attempts_than_one_model() {
    let bench = Bench::start(&script()).await;
    bench.rules.change(|rules| {
        rules.provider["retries"] = json!({"maxAttempts": 3});
        rules.provider["breaker"] = json!({"failures": 2, "openFor": "60s", "successes": 1});
        rules.fallbacks = vec!["scripted-second".to_owned()];
    });
    assert_eq!(bench.post("o", CHAT, asks("scripted-first")).await.status(), 503);
    assert_eq!(bench.upstream.count(), 3, "two of the first, until its breaker opens, and one of the second");
}
