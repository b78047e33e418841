//! Secrets in the calls of our own worker are masked (S5). Calls of other clients are not touched.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use manyworlds_ledger::audit::AuditEntry;
use manyworlds_masking::Filter;
use serde_json::{Value, json};
use support::{Bench, KEY, always, client, eventually};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";
/// A text that looks like a key.
const LOOKS: &str = "ghp_abcdefghijklmnopqrstuvwxyz0123456789";

/// Starts a gateway at which the order `own` is our own worker's.
async fn bench(script: &Value) -> Bench {
    let bench = Bench::start(script).await;
    bench
        .rules
        .change(|rules| drop(rules.filters.insert("own".to_owned(), Filter::by_pattern().with_values([KEY], 16))));
    bench
}

fn answering() -> Value {
    json!({"text": format!("The key is {KEY}, the token {LOOKS}. s"), "parts": 13, "usage": {"input": 3, "output": 4}})
}

fn asks(path: &str, streamed: &Value) -> Value {
    let said = format!("I found {KEY}\nand {LOOKS} there");
    let mut body = json!({"model": "scripted", "max_tokens": 10, "stream": streamed, "metadata": {"n": 1.50},
        "messages": [{"role": "user", "content": said}, {"role": "user", "content": [{"type": "text", "text": said}]}]});
    if path == MESSAGES {
        body["system"] = json!(said);
    }
    body
}

/// Returns the body of the first request that reached upstream.
fn sent(bench: &Bench) -> String {
    String::from_utf8(bench.upstream.calls()[0].body.to_vec()).unwrap()
}

/// Returns the texts that grow in a stream, put together.
fn text_of(stream: &str) -> String {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let events = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    let text = |event: Value| {
        let delta = if event["choices"].is_array() {
            &event["choices"][0]["delta"]["content"]
        } else {
            &event["delta"]["text"]
        };
        delta.as_str().unwrap_or_default().to_owned()
    };
    events.map(text).collect()
}

async fn audited(bench: &Bench, stage: &str, least: usize) -> Vec<AuditEntry> {
    let found = async || {
        let all = bench.ledger.audit_entries(None, 1000).await.unwrap();
        all.into_iter().filter(|entry| entry.stage == stage).collect::<Vec<_>>()
    };
    eventually(async || found().await.len() >= least).await;
    found().await
}

#[tokio::test]
async fn neither_a_request_nor_an_answer_of_our_own_worker_holds_a_secret() {
    for path in [CHAT, MESSAGES] {
        for streamed in [false, true] {
            let bench = bench(&always(&answering())).await;
            let answer = bench.post("own", path, asks(path, &json!(streamed))).await;
            assert_eq!(answer.status(), 200);
            let answer = answer.text().await.unwrap();
            let said = if streamed {
                text_of(&answer)
            } else {
                let answer: Value = serde_json::from_str(&answer).unwrap();
                let text = if path == CHAT {
                    &answer["choices"][0]["message"]["content"]
                } else {
                    &answer["content"][0]["text"]
                };
                text.as_str().unwrap().to_owned()
            };
            assert_eq!(said, "The key is ***, the token ***. s", "{path} {answer}");
            assert!(!answer.contains("canary") && !answer.contains("ghp_"), "{answer}");
            let sent = sent(&bench);
            let body: Value = serde_json::from_str(&sent).unwrap();
            assert_eq!(body["messages"][0]["content"], "I found ***\nand *** there");
            assert_eq!(body["messages"][1]["content"][0]["text"], "I found ***\nand *** there");
            assert!(sent.contains("1.5") && !sent.contains("canary") && !sent.contains("ghp_"), "{sent}");
            assert_eq!(bench.settled("own").await.1, 1, "it is counted as ever");
            let entries = audited(&bench, "filter", 4).await;
            assert_eq!(entries.len(), 4, "two patterns each way: {entries:?}");
            for entry in &entries {
                let details: Value = serde_json::from_str(&entry.details).unwrap();
                let counts: Value = serde_json::from_str(&entry.counts).unwrap();
                let of_request = details["direction"] == "request";
                let times = if path == MESSAGES { 3 } else { 2 };
                assert_eq!(counts["count"], if of_request { times } else { 1 }, "{entry:?}");
                assert!(["secret-value", "github-token"].contains(&details["pattern_id"].as_str().unwrap()));
                assert!(details["masked_snippet"].as_str().unwrap().contains("***"), "{entry:?}");
                assert_eq!((entry.result.as_str(), entry.order_uid.as_deref()), ("Masked", Some("uid-own")));
                assert!(entry.size_after < entry.size_before || (streamed && !of_request), "{entry:?}");
            }
            let all = format!("{entries:?}");
            assert!(!all.contains("canary") && !all.contains("ghp_"), "{all}");
            let masked = bench.metrics.secrets_masked.with_label_values(&["secret-value"]).get();
            assert_eq!(masked, if path == MESSAGES { 4 } else { 3 });
        }
    }
}

#[tokio::test]
async fn calls_of_other_clients_are_never_changed() {
    for streamed in [false, true] {
        let bench = bench(&always(&answering())).await;
        let mut body = asks(MESSAGES, &json!(streamed));
        body["temperature"] = json!(0);
        let (there, direct) = (bench.post("other", MESSAGES, body.clone()).await, client());
        let through = there.text().await.unwrap();
        let to = format!("{}{MESSAGES}", bench.upstream.url());
        let same = direct.post(to).header("x-api-key", KEY).body(body.to_string()).send().await.unwrap();
        assert_eq!(without_names(&through), without_names(&same.text().await.unwrap()));
        assert_eq!(sent(&bench), body.to_string());
        assert!(text_of(&through).contains(KEY) || through.contains(KEY), "{through}");
        assert!(bench.ledger.audit_entries(None, 100).await.unwrap().is_empty());
    }
}

/// Takes out what differs from answer to answer.
fn without_names(answer: &str) -> String {
    let is_name = |word: &&str| word.starts_with("msg_") || word.starts_with("chatcmpl-");
    answer.split('"').map(|word| if is_name(&word) { "name" } else { word }).collect::<Vec<_>>().join("\"")
}

#[tokio::test]
async fn an_error_of_upstream_and_an_answer_that_is_cut_are_redacted_too() {
    let refused = json!({"status": 400, "body": format!("{{\"error\":{{\"message\":\"no such key: {LOOKS}\"}}}}")});
    let bench = bench(&always(&refused)).await;
    let answer = bench.post("own", CHAT, asks(CHAT, &json!(false))).await;
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.text().await.unwrap(), "{\"error\":{\"message\":\"no such key: ***\"}}");
    let cut = json!({"text": format!("It is {LOOKS} and more than that"), "parts": 20, "cutAfter": 14});
    let bench = self::bench(&always(&cut)).await;
    let mut answer = bench.post("own", CHAT, asks(CHAT, &json!(true))).await;
    let mut came = Vec::new();
    while let Ok(Some(part)) = answer.chunk().await {
        came.extend_from_slice(&part);
    }
    let came = String::from_utf8(came).unwrap();
    assert!(text_of(&came).starts_with("It is ***"), "{came}");
    bench.settled("own").await;
}

#[tokio::test]
async fn kept_answers_are_kept_masked_and_each_kind_of_client_has_its_own() {
    let bench = bench(&always(&answering())).await;
    bench.rules.change(|rules| {
        rules.cached = true;
        rules.cache_scope = Some("namespace/team".to_owned());
    });
    let body = json!({"model": "scripted", "temperature": 0, "max_tokens": 10, "stream": true, "messages": []});
    let ask = async |order: &str| {
        let answer = bench.post(order, CHAT, body.clone()).await;
        let kept = answer.headers().contains_key("x-manyworlds-cache");
        (kept, text_of(&answer.text().await.unwrap()))
    };
    let (kept, foreign) = ask("other").await;
    assert!(!kept && foreign.contains(KEY));
    let (kept, own) = ask("own").await;
    assert!(!kept, "another client's answer was not looked through");
    assert_eq!(own, "The key is ***, the token ***. s");
    assert_eq!(ask("own").await, (true, own));
    assert_eq!(ask("other").await, (true, foreign));
}

#[tokio::test]
async fn the_workers_report_of_a_compaction_is_in_the_audit_log_and_goes_no_further() {
    let bench = bench(&always(&json!({"text": "a"}))).await;
    let told = "before=300000; after=120000; summary=true; strategy=summarize_old_turns";
    for order in ["own", "other"] {
        let request = client().post(bench.url(CHAT)).bearer_auth(format!("{order}/w"));
        let body = asks(CHAT, &json!(false)).to_string();
        let answer = request.header("x-manyworlds-context-reduced", told).body(body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    let entries = audited(&bench, "context", 1).await;
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!((entry.size_before, entry.size_after), (Some(300_000), Some(120_000)));
    assert_eq!((entry.result.as_str(), entry.counts.as_str()), ("Reduced", r#"{"retain_ratio":"0.40"}"#));
    let details: Value = serde_json::from_str(&entry.details).unwrap();
    for (name, value) in
        [("strategy", "summarize_old_turns"), ("summary_applied", "true"), ("toldBy", "World"), ("workOrder", "own")]
    {
        assert_eq!(details[name], value, "{entry:?}");
    }
    for call in bench.upstream.calls() {
        assert!(call.headers.keys().all(|name| !name.as_str().contains("manyworlds")), "{:?}", call.headers);
    }
}

#[tokio::test]
async fn the_audit_log_says_how_often_a_call_was_tried_again() {
    let failing = json!({"models": {"*": [{"times": 1, "reply": {"status": 503}}, {"reply": {"text": "a"}}]}});
    let bench = bench(&failing).await;
    assert_eq!(bench.post("other", CHAT, asks(CHAT, &json!(false))).await.status(), 200);
    bench.settled("other").await;
    let entries = audited(&bench, "call", 2).await;
    let mut found: Vec<_> = entries
        .iter()
        .map(|entry| (entry.retry_count, entry.result.as_str(), entry.failure_reason.as_deref()))
        .collect();
    found.sort_unstable();
    assert_eq!(found, [(Some(0), "Outage", Some("status 503")), (Some(1), "Answered", None)]);
    assert_eq!(bench.post("other", CHAT, asks(CHAT, &json!(false))).await.status(), 200);
    bench.settled("other").await;
    bench.ledger.clone().close().await.unwrap();
    assert_eq!(bench.ledger.audit_entries(None, 100).await.unwrap().len(), 2, "a call that went well writes none");
}

#[tokio::test]
async fn a_request_that_is_refused_in_the_end_says_how_often_it_was_tried() {
    let bench = bench(&always(&json!({"status": 503}))).await;
    bench.rules.change(|rules| rules.base_url = "http://127.0.0.1:1".to_owned());
    assert_eq!(bench.post("other", CHAT, asks(CHAT, &json!(false))).await.status(), 502);
    let entries = audited(&bench, "gateway", 1).await;
    assert_eq!((entries[0].retry_count, entries[0].failure_reason.as_deref()), (Some(2), Some("upstream")));
}

#[tokio::test]
async fn a_text_that_is_held_back_when_an_answer_is_cut_still_comes() {
    for cut_after in 4..14 {
        let script = always(&json!({"text": "see sk-learn", "parts": 12, "cutAfter": cut_after}));
        let bench = bench(&script).await;
        let mut came = Vec::new();
        for order in ["own", "other"] {
            let mut answer = bench.post(order, CHAT, asks(CHAT, &json!(true))).await;
            let mut all = Vec::new();
            while let Ok(Some(part)) = answer.chunk().await {
                all.extend_from_slice(&part);
            }
            came.push(text_of(&String::from_utf8(all).unwrap()));
        }
        assert_eq!(came[0], came[1], "cut after {cut_after}");
    }
}
