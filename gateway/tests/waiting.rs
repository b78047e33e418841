//! The list of calls that wait for room within a Provider's limits (W9, R12), as the operator reads it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a check that cannot go on has failed")]

mod support;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use support::{Bench, always, dollars, eventually};

fn messages() -> Value {
    json!({"model": "scripted", "max_tokens": 5, "messages": [{"role": "user", "content": "go on"}]})
}

/// Returns the orders that would be said to wait if nothing came between now and in so many seconds.
fn waiting(bench: &Bench, seconds: i64) -> Vec<String> {
    let then = Timestamp::now() + SignedDuration::from_secs(seconds);
    let names = bench.waits.limited(then).into_iter().map(|order| format!("{}/{}", order.namespace, order.work_order));
    names.collect()
}

#[tokio::test]
async fn a_call_that_waits_for_room_is_in_the_list_while_it_waits() {
    let bench = Bench::start(&always(&json!({"text": "a"}))).await;
    bench.rules.change(|rules| rules.provider["limits"] = json!({"requestsPerMinute": 1, "maxWait": "3s"}));
    assert_eq!(bench.post("a", "/v1/messages", messages()).await.status(), 200);
    assert!(waiting(&bench, 10).is_empty(), "it found room");
    let refused = bench.post("a", "/v1/messages", messages());
    let seen = eventually(async || waiting(&bench, 10) == ["team/a"]);
    let (refused, ()) = tokio::join!(refused, seen);
    assert_eq!(refused.status(), 429);
    assert!(waiting(&bench, 10).is_empty(), "it waits no more, and has not waited for long");
    let waits = bench.waits.of_order("uid-a");
    assert!(!waits.contains_key("team/p") || waits["team/p"].is_idle(Timestamp::now()));
}

#[tokio::test]
async fn a_call_that_waits_for_another_to_end_waits_for_room() {
    let bench = Bench::start(&always(&json!({"text": "a", "delayMs": 500}))).await;
    bench.rules.change(|rules| rules.provider["limits"]["concurrency"] = json!(1));
    let both =
        futures::future::join(bench.post("a", "/v1/messages", messages()), bench.post("a", "/v1/messages", messages()));
    let seen = eventually(async || waiting(&bench, 10) == ["team/a"]);
    tokio::join!(both, seen);
}

#[tokio::test]
async fn a_call_that_waits_for_money_does_not_wait_for_room() {
    let usage = json!({"input": 10, "cached": 0, "output": 0});
    // Longer than what is but a moment.
    let slow = json!({"times": 1, "reply": {"text": "a", "delayMs": 5200, "usage": usage}});
    let bench = Bench::start(&json!({"models": {"*": [slow, {"reply": {"text": "b", "usage": usage}}]}})).await;
    // Less than two calls may cost at most, so that one waits for the other.
    bench.rules.change(|rules| rules.budget = Some(dollars("0.00015")));
    let (first, second) =
        futures::future::join(bench.post("a", "/v1/messages", messages()), bench.post("a", "/v1/messages", messages()))
            .await;
    assert_eq!((first.status().as_u16(), second.status().as_u16()), (200, 200));
    let waited = bench.metrics.llm_wait_seconds.get_sample_sum();
    assert!(waited > 5.0, "one has waited for the other: {waited}");
    assert!(waiting(&bench, 0).is_empty(), "but not for room");
}

#[tokio::test]
async fn a_long_pause_that_upstream_asks_for_is_in_the_list_at_once() {
    let pause = json!({"status": 429, "headers": {"retry-after": "60"}});
    let bench = Bench::start(&always(&pause)).await;
    bench.rules.change(|rules| rules.provider["limits"]["maxWait"] = json!("1s"));
    assert_eq!(bench.post("a", "/v1/messages", messages()).await.status(), 429);
    assert_eq!(waiting(&bench, 0), ["team/a"]);
    assert!(waiting(&bench, 100).is_empty());
}
