//! Calls that the gateway refuses, tries again and makes wait (W6, W9, R12; docs/gateway.md).

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use std::time::{Duration, Instant};

use manyworlds_api::Money;
use serde_json::{Value, json};
use support::{Bench, FullQueue, always, client, dollars, eventually};

fn messages() -> Value {
    json!({"model": "scripted", "max_tokens": 5, "messages": []})
}

fn faults(rules: &Value) -> Value {
    json!({"models": {"*": rules}})
}

#[tokio::test]
async fn an_address_with_a_name_or_a_password_in_it_is_refused() {
    let bench = Bench::start(&always(&json!({"text": "a"}))).await;
    let address = bench.upstream.url();
    for credential in ["name@", "name:password@", ":password@"] {
        let base_url = address.replace("://", &format!("://{credential}"));
        bench.rules.change(|rules| rules.base_url = base_url);
        let answer = bench.post("a", "/v1/messages", messages()).await;
        assert_eq!(answer.status(), 400, "{credential}");
        assert!(answer.text().await.unwrap().contains("baseUrl"), "{credential}");
    }
    assert_eq!((bench.upstream.count(), bench.settled("a").await), (0, (Money::default(), 0)));
}

#[tokio::test]
async fn failures_that_pass_are_tried_again_and_cost_nothing() {
    for status in [500, 503, 529, 408, 409] {
        let bench =
            Bench::start(&faults(&json!([{"times": 2, "reply": {"status": status}}, {"reply": {"text": "a"}}]))).await;
        assert_eq!(bench.post("a", "/v1/messages", messages()).await.status(), 200, "{status}");
        assert_eq!(bench.upstream.count(), 3);
        assert_eq!(bench.settled("a").await.1, 1, "only the answer counts as a call");
    }
}

#[tokio::test]
async fn there_are_never_more_attempts_than_configured_the_clients_own_counted() {
    let bench = Bench::start(&always(&json!({"status": 503}))).await;
    let answer = bench.post("a", "/v1/messages", messages()).await;
    assert_eq!((answer.status().as_u16(), bench.upstream.count()), (503, 3));
    assert_eq!(answer.headers()["x-should-retry"], "false");
    assert_eq!(answer.json::<Value>().await.unwrap()["error"]["type"], "api_error", "upstream's own words");
    let again =
        client().post(bench.url("/v1/messages")).header("x-api-key", "b/w").header("x-stainless-retry-count", "2");
    again.body(messages().to_string()).send().await.unwrap();
    assert_eq!(bench.upstream.count(), 4, "two of three attempts were the client's");
    assert_eq!(bench.settled("a").await, (dollars("0"), 0));
}

/// Returns how many calls of the order `a` were outages, and what they have cost; there are no others.
async fn outages(bench: &Bench) -> (u64, Money) {
    let (cost, _) = bench.settled("a").await;
    let outcomes = bench.ledger.outcomes_of_order("uid-a").await.unwrap();
    let [outages] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert_eq!((outages.outcome.as_str(), outages.cost), ("Outage", cost));
    (outages.calls, cost)
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_may_have_been_made_and_counts_at_its_upper_bound() {
    let bench = Bench::start(&always(&json!({"text": "a", "delayMs": 60_000}))).await;
    bench.rules.change(|rules| rules.provider["timeouts"] = json!({"firstByte": "1s"}));
    let body = json!({"model": "scripted", "max_tokens": 500, "messages": []});
    assert_eq!(bench.post("a", "/v1/messages", body).await.status(), 502);
    assert_eq!(bench.upstream.count(), 3);
    let (calls, cost) = outages(&bench).await;
    assert!(calls == 3 && cost >= dollars("0.003"), "upstream may have made all three answers: {cost}");
    assert_eq!(bench.settled("a").await.1, 3, "calls that a model may have answered");
    eventually(async || !bench.ledger.audit_entries(Some("uid-a"), 10).await.unwrap().is_empty()).await;
    let said = bench.ledger.audit_entries(Some("uid-a"), 10).await.unwrap();
    assert_eq!(said[0].failure_reason.as_deref(), Some("unknown"));
}

#[tokio::test]
async fn a_call_that_never_went_out_costs_nothing() {
    let bench = Bench::start(&always(&json!({"text": "a"}))).await;
    bench.rules.change(|rules| {
        rules.base_url = "http://127.0.0.1:1".to_owned();
        rules.provider["breaker"] = json!({"failures": 100});
    });
    assert_eq!(bench.post("a", "/v1/messages", messages()).await.status(), 502, "nobody is there");
    assert_eq!(outages(&bench).await, (3, Money::default()));
    let nobody = FullQueue::start().await;
    bench.rules.change(|rules| {
        rules.base_url = format!("http://{}", nobody.address);
        rules.provider["timeouts"] = json!({"connect": "30s", "firstByte": "1s"});
    });
    assert_eq!(bench.post("a", "/v1/messages", messages()).await.status(), 502, "nobody was connected in time");
    assert_eq!(outages(&bench).await, (6, Money::default()));
    let body = messages().to_string();
    let leaves =
        client().post(bench.url("/v1/messages")).bearer_auth("b/w").body(body).timeout(Duration::from_millis(300));
    assert!(leaves.send().await.is_err());
    assert_eq!(bench.settled("b").await, (Money::default(), 0), "who goes before pays nothing either");
}

#[tokio::test]
async fn a_fault_of_the_client_is_never_tried_again_and_is_no_outage() {
    for status in [400, 401, 402, 403, 404, 413] {
        let bench = Bench::start(&always(&json!({"status": status}))).await;
        for _ in 0..7 {
            let answer = bench.post("a", "/v1/responses", json!({"model": "scripted", "input": "a"})).await;
            assert_eq!(answer.status(), status);
            if status == 402 {
                break;
            }
        }
        let breakers = bench.ledger.breakers("team/p").await.unwrap();
        assert!(breakers.is_empty(), "{status}: {breakers:?}");
        assert_eq!(bench.upstream.count(), if status == 402 { 1 } else { 7 });
    }
}

#[tokio::test]
async fn after_a_429_nobody_calls_before_upstream_wants_it() {
    let limited = json!({"status": 429, "headers": {"retry-after-ms": "700"}});
    let bench = Bench::start(&faults(&json!([{"times": 1, "reply": limited}, {"reply": {"text": "a"}}]))).await;
    let begun = Instant::now();
    let (one, other) = tokio::join!(bench.post("a", "/v1/messages", messages()), async {
        eventually(async || bench.upstream.count() == 1).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        bench.post("b", "/v1/messages", messages()).await
    });
    assert_eq!((one.status().as_u16(), other.status().as_u16()), (200, 200));
    assert!(begun.elapsed() >= Duration::from_millis(700), "{:?}", begun.elapsed());
    assert_eq!(bench.upstream.count(), 3);
}

#[tokio::test]
async fn used_up_credit_is_not_asked_for_again() {
    let quota = r#"{"error":{"code":"insufficient_quota","type":"insufficient_quota","message":"no"}}"#;
    let bench = Bench::start(&always(&json!({"status": 429, "body": quota}))).await;
    bench.rules.change(|rules| rules.provider["limits"]["maxWait"] = json!("1s"));
    let body = json!({"model": "scripted", "input": "a"});
    let first = bench.post("a", "/v1/responses", body.clone()).await;
    assert_eq!((first.status().as_u16(), bench.upstream.count()), (429, 1));
    assert_eq!(first.json::<Value>().await.unwrap()["error"]["code"], "insufficient_quota");
    let second = bench.post("b", "/v1/responses", body).await;
    assert_eq!((second.status().as_u16(), bench.upstream.count()), (429, 1), "nobody asks for a while");
    assert!(second.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 25);
}

#[tokio::test]
async fn a_caller_over_the_limit_waits_and_is_then_told_when_to_come_back() {
    let bench = Bench::start(&always(&json!({"text": "a"}))).await;
    bench.rules.change(|rules| {
        rules.provider["limits"] = json!({"requestsPerMinute": 2, "maxWait": "1s"});
    });
    for _ in 0..2 {
        assert_eq!(bench.post("a", "/v1/messages", messages()).await.status(), 200);
    }
    let begun = Instant::now();
    let refused = bench.post("a", "/v1/messages", messages()).await;
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!((refused.status().as_u16(), bench.upstream.count()), (429, 2));
    let seconds: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((30..=61).contains(&seconds), "{seconds}");
    assert_eq!(refused.headers()["x-should-retry"], "true");
    assert_eq!(refused.json::<Value>().await.unwrap()["error"]["type"], "rate_limit_error");
}

#[tokio::test]
async fn calls_at_the_same_time_take_turns() {
    let bench = Bench::start(&always(&json!({"text": "a", "delayMs": 100}))).await;
    bench.rules.change(|rules| rules.provider["limits"]["concurrency"] = json!(1));
    let begun = Instant::now();
    let all = (0..5).map(|number| {
        let bench = &bench;
        async move { bench.post(&format!("o{number}"), "/v1/messages", messages()).await.status() }
    });
    let statuses = futures::future::join_all(all).await;
    assert!(statuses.iter().all(|status| *status == 200));
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(500), "{took:?}");
}

#[tokio::test]
async fn a_model_that_keeps_failing_is_left_alone() {
    let bench = Bench::start(&always(&json!({"status": 500}))).await;
    for _ in 0..2 {
        bench.post("a", "/v1/messages", messages()).await;
    }
    assert_eq!(bench.upstream.count(), 5, "the fifth failure opens the breaker");
    let refused = bench.post("b", "/v1/messages", messages()).await;
    assert_eq!((refused.status().as_u16(), bench.upstream.count()), (503, 5));
    let value: Value = refused.json().await.unwrap();
    assert_eq!(value["error"]["type"], "overloaded_error");
    let other = json!({"model": "scripted-other", "max_tokens": 5, "messages": []});
    bench.post("b", "/v1/messages", other).await;
    assert!(bench.upstream.count() > 5, "another model has a breaker of its own");
}

#[tokio::test]
async fn a_budget_stops_spending_and_is_passed_by_one_call_at_most() {
    let usage = json!({"input": 400_000, "cached": 0, "output": 0});
    let bench = Bench::start(&always(&json!({"text": "a", "usage": usage}))).await;
    bench.rules.change(|rules| rules.budget = Some(dollars("1.00")));
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(bench.post("a", "/v1/messages", messages()).await.status().as_u16());
        bench.settled("a").await;
    }
    assert_eq!(statuses, [200, 200, 200, 402, 402]);
    assert_eq!((bench.settled("a").await.0, bench.upstream.count()), (dollars("1.20"), 3));
    assert_eq!(bench.post("b", "/v1/messages", messages()).await.status(), 200, "another order has its own");
}

/// W16: several answers are one call, and may not pass a budget together.
#[tokio::test]
async fn a_request_for_more_answers_than_a_budget_has_money_for_is_refused() {
    let bench = Bench::start(&always(&json!({"text": "a"}))).await;
    bench.rules.change(|rules| rules.budget = Some(dollars("0.01")));
    let mut several =
        json!({"model": "scripted", "max_tokens": 1000, "n": 100, "messages": [{"role": "user", "content": "a"}]});
    let refused = bench.post("a", "/v1/chat/completions", several.clone()).await;
    assert_eq!(refused.status(), 402);
    assert!(refused.text().await.unwrap().contains("ask for fewer"));
    assert_eq!((bench.settled("a").await, bench.upstream.count()), ((Money::default(), 0), 0), "nothing went out");
    several["n"] = json!(1);
    assert_eq!(
        bench.post("a", "/v1/chat/completions", several.clone()).await.status(),
        200,
        "it does not wait for more"
    );
    several["n"] = json!(3);
    assert_eq!(bench.post("b", "/v1/chat/completions", several).await.status(), 200, "they fit");
}

#[tokio::test]
async fn a_stop_is_seen_at_once_also_by_calls_that_wait() {
    let bench = Bench::start(&always(&json!({"text": "a"}))).await;
    bench.rules.change(|rules| rules.provider["limits"] = json!({"requestsPerMinute": 1, "maxWait": "50s"}));
    assert_eq!(bench.post("a", "/v1/messages", messages()).await.status(), 200);
    let (waiting, ()) = tokio::join!(bench.post("a", "/v1/messages", messages()), async {
        eventually(async || bench.metrics.llm_waiting.get() == 1).await;
        bench.rules.change(|rules| rules.stopped.extend(["a".to_owned()]));
    });
    assert_eq!(waiting.status(), 403);
    assert_eq!(bench.post("a", "/v1/messages", messages()).await.status(), 403);
    assert_eq!(bench.upstream.count(), 1);
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_nothing_steers_a_call_elsewhere() {
    let away = json!({"status": 302, "headers": {"location": "http://127.0.0.1:1/steal"}, "body": "{}"});
    let bench = Bench::start(&always(&away)).await;
    let request = client().post(bench.url("/v1/messages")).bearer_auth("a/w").body(messages().to_string());
    let request = request.header("x-forwarded-host", "evil.example").header("forwarded", "host=evil.example");
    let answer = request.header("x-base-url", "http://evil.example").send().await.unwrap();
    assert_eq!(answer.status(), 502);
    assert!(!answer.headers().contains_key("location"));
    assert_eq!(bench.upstream.count(), 1);
    let seen = &bench.upstream.calls()[0];
    assert!(seen.headers["host"].to_str().unwrap().starts_with("127.0.0.1"));
    assert!(!seen.headers.contains_key("x-forwarded-host") && !seen.headers.contains_key("forwarded"));
}

/// A panic in one call ends that call, in the words of its client, and none of the others.
#[tokio::test]
async fn a_fault_in_one_call_ends_no_other() {
    let bench = Bench::start(&always(&json!({"text": "a"}))).await;
    bench.rules.change(|rules| rules.faulty = ["a".to_owned()].into());
    for path in ["/v1/messages", "/v1/chat/completions"] {
        let answer = bench.post("a", path, messages()).await;
        assert_eq!(answer.status(), 500);
        assert_eq!(answer.headers()["x-should-retry"], "false");
        let answer: Value = answer.json().await.unwrap();
        let kind = if path == "/v1/messages" { "api_error" } else { "server_error" };
        assert_eq!(answer["error"]["type"], kind);
    }
    assert_eq!(bench.metrics.gateway_refusals.with_label_values(&["fault"]).get(), 2);
    assert_eq!(bench.post("b", "/v1/messages", messages()).await.status(), 200);
    assert_eq!((bench.settled("a").await.1, bench.settled("b").await.1), (0, 1));
}
