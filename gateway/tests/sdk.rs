//! The official clients of OpenAI and Anthropic through the gateway (docs/gateway.md). What they see is held by tests/sdk,
//! what upstream and the ledger see is held here.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use std::path::Path;

use manyworlds_api::Money;
use manyworlds_ledger::Ledger;
use serde_json::{Value, json};
use support::{Bench, KEY, always, dollars};
use tokio::process::Command;

const CLIENTS: [&str; 2] = ["openai", "anthropic"];
/// The cost of a call with the usage of the script.
const COST: Money = Money::from_trillionths(146_000_000);

/// Answers to what the clients say.
fn script() -> Value {
    let usage = json!({"input": 100, "cached": 60, "output": 20});
    let tool = json!([{"name": "run", "arguments": {"command": "ls \"ü\""}}]);
    json!({"models": {"*": [
        {"contains": "result of the tool", "reply": {"text": "It is done.", "usage": usage}},
        {"contains": "use the tool", "reply": {"text": "I look.", "toolCalls": tool, "usage": usage}},
        {"contains": "fail", "reply": {"status": 400}},
        {"contains": "cut", "reply": {"text": "hello", "cutAfter": 2, "usage": usage}},
        {"reply": {"text": "Grüße, this is a scripted answer.", "parts": 7, "usage": usage}},
    ]}})
}

/// Runs one group of a client's tests against a gateway.
async fn run(bench: &Bench, client: &str, group: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/sdk");
    let installed = Command::new(folder.join("install")).output().await.unwrap();
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    let mut python = Command::new(String::from_utf8(installed.stdout).unwrap().trim());
    python.args(["-B", "-m", "unittest", "-v", &format!("{client}_client.{group}")]).current_dir(&folder);
    // Nothing of the machine's own settings for these clients may change what is tested.
    for (name, _) in std::env::vars() {
        let lower = name.to_lowercase();
        if ["openai_", "anthropic_", "python"].iter().any(|prefix| lower.starts_with(prefix))
            || lower.ends_with("_proxy")
        {
            python.env_remove(name);
        }
    }
    let ran = python.env("MANYWORLDS_GATEWAY_URL", bench.url("")).output().await.unwrap();
    assert!(ran.status.success(), "{client} {group}:\n{}", String::from_utf8_lossy(&ran.stderr));
}

async fn nothing_is_under_way(ledger: &Ledger) {
    support::eventually(async || ledger.calls_in_flight().await.unwrap() == 0).await;
}

#[tokio::test]
async fn answers_streams_and_tools_are_understood_and_each_call_is_paid_for_once() {
    let bench = Bench::start(&script()).await;
    for client in CLIENTS {
        let before = bench.upstream.calls().len();
        run(&bench, client, "Answers").await;
        let calls = bench.upstream.calls().split_off(before);
        let of = |part: &str| calls.iter().filter(|call| call.path.contains(part)).count();
        let number = calls.len() - of("/embeddings");
        // Counting tokens is a call, and free.
        let paid = u128::try_from(number - of("/count_tokens")).unwrap();
        assert!(paid >= 8, "{client}: {paid}");
        let cost = Money::from_trillionths(COST.trillionths() * paid);
        assert_eq!(bench.settled(client).await, (cost, u64::try_from(number).unwrap()), "{client}");
        for call in calls {
            let own = call.headers.get("authorization").or_else(|| call.headers.get("x-api-key")).unwrap();
            assert!(own.to_str().unwrap().ends_with(KEY), "upstream gets the Provider's key: {}", call.path);
            assert!(!format!("{:?}", call.headers).contains("/w\""), "the World's token stays here: {}", call.path);
        }
    }
    // Embeddings have neither cached input nor output.
    assert_eq!(bench.settled("embeddings").await, (dollars("0.0001"), 1));
}

#[tokio::test]
async fn refusals_are_the_clients_own_errors() {
    let bench = Bench::start(&script()).await;
    bench.rules.change(|rules| rules.stopped.extend(["stopped".to_owned()]));
    for client in CLIENTS {
        let before = bench.upstream.count();
        run(&bench, client, "Refusals").await;
        assert_eq!(
            bench.upstream.count() - before,
            2,
            "{client}: what failed upstream and what was cut, and nothing else"
        );
    }
    nothing_is_under_way(&bench.ledger).await;
}

#[tokio::test]
async fn a_limit_is_the_clients_own_error_and_says_when_there_is_room() {
    for client in CLIENTS {
        let bench = Bench::start(&script()).await;
        bench.rules.change(|rules| rules.provider["limits"] = json!({"requestsPerMinute": 1, "maxWait": "1s"}));
        run(&bench, client, "Limited").await;
        assert_eq!(bench.upstream.count(), 1, "{client}");
    }
}

#[tokio::test]
async fn a_client_with_retries_of_its_own_makes_no_more_attempts_than_configured() {
    for client in CLIENTS {
        let bench = Bench::start(&always(&json!({"status": 503}))).await;
        run(&bench, client, "Failing").await;
        assert_eq!(bench.upstream.count(), 3, "{client}");
        assert_eq!(bench.settled(client).await, (dollars("0"), 0), "{client}");
    }
}
