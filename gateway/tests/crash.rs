//! A gateway that is killed at each step of a call, and the next one on the same ledger (W10; docs/maintainers/ledger.md): nothing is
//! counted twice, and nothing that reached upstream is free.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod books;
mod process;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use books::{Books, CallRow};
use futures::future::join_all;
use manyworlds_upstream::{Script, Upstream};
use process::{BUDGET, Process, Site, WORLDS};
use serde_json::{Value, json};
use support::{FullQueue, always, client, eventually};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// The cost of a call of 100 input and 20 output tokens, in trillionths.
const COST: i64 = 140_000_000;
/// The least cost of a call of which nothing is known: 500 output tokens.
const MOST: i64 = 1_000_000_000;

fn reply(more: &Value) -> Value {
    let mut reply = json!({"text": "hello", "parts": 6, "usage": {"input": 100, "cached": 0, "output": 20}});
    reply.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    always(&reply)
}

async fn upstream(script: &Value) -> Upstream {
    Upstream::start(Script::read(&script.to_string()).unwrap()).await.unwrap()
}

/// The limits for one call at a time: a place that stays taken would keep all later calls waiting.
fn one_by_one() -> Value {
    json!({"requestsPerMinute": 100_000, "tokensPerMinute": 100_000_000, "concurrency": 1, "maxWait": "5s"})
}

fn body(world: usize, streamed: &str) -> String {
    let said = json!([{"role": "user", "content": format!("of w{world}.")}]);
    json!({"model": "scripted", "max_tokens": 500, "stream": streamed == "streamed", "messages": said}).to_string()
}

fn ask(url: &str, world: usize, streamed: &str) -> reqwest::RequestBuilder {
    client().post(format!("{url}/v1/messages")).bearer_auth(format!("token-{world}")).body(body(world, streamed))
}

/// Starts the next gateway and returns what it counts, after it has settled what the one before had left.
async fn next(site: &Site) -> (Process, Books) {
    let process = site.start().await;
    let books = Books::read(&site.ledger()).await;
    assert!(books.reserved.is_empty(), "what a dead process had reserved is settled before anybody calls");
    books.agree(&[BUDGET]);
    books.agree_with(&process.metrics().await);
    (process, books)
}

/// Checks that the next gateways count these outcomes, that the one after them counts nothing again, and that calls still
/// pass and are counted as before.
async fn survives(site: &Site, upstream: &Upstream, outcomes: &[&str]) {
    let (process, books) = next(site).await;
    let found: Vec<_> = books.calls.iter().map(|call| call.outcome.as_str()).collect();
    assert_eq!(found, outcomes);
    for call in &books.calls {
        assert!(is_right(call), "{call:?}");
    }
    upstream.set_script(serde_json::from_value(reply(&json!({}))).unwrap());
    let answer = ask(&process.url, 0, "plain").send().await.unwrap();
    assert_eq!(answer.status(), 200, "no place in the window stays taken");
    answer.bytes().await.unwrap();
    Books::read(&site.ledger()).await.agree_with(&process.metrics().await);
    process.kill().await;
    let (process, again) = next(site).await;
    assert_eq!((again.calls.len(), again.cost()), (books.calls.len() + 1, books.cost() + COST));
    process.kill().await;
}

/// A call of which upstream has said what it used costs that; any other is an estimate of the most that it may have cost.
fn is_right(call: &CallRow) -> bool {
    match call.outcome.as_str() {
        "Answered" => !call.estimated && call.cost == COST,
        "Cut" | "Lost" => call.estimated && call.cost >= MOST,
        _ => false,
    }
}

#[tokio::test]
async fn killed_before_it_has_the_whole_request_it_has_counted_nothing() {
    let upstream = upstream(&reply(&json!({}))).await;
    let site = Site::new(&upstream.url(), &one_by_one());
    let process = site.start().await;
    let mut stream = TcpStream::connect(process.url.strip_prefix("http://").unwrap()).await.unwrap();
    let head = "POST /v1/messages HTTP/1.1\r\nhost: g\r\nx-api-key: token-1\r\ncontent-length: 1000\r\n\r\n{\"model\":";
    stream.write_all(head.as_bytes()).await.unwrap();
    process.kill().await;
    assert_eq!(upstream.count(), 0);
    survives(&site, &upstream, &[]).await;
}

#[tokio::test]
async fn killed_between_the_reservation_and_upstream_it_has_spent_the_upper_bound() {
    // The call is reserved and never gets there.
    let nobody = FullQueue::start().await;
    let site = Site::new(&format!("http://{}", nobody.address), &one_by_one());
    let process = site.start().await;
    let asked = tokio::spawn(ask(&process.url, 1, "plain").send());
    eventually(async || Books::read(&site.ledger()).await.reserved.len() == 1).await;
    process.kill().await;
    assert!(asked.await.unwrap().is_err());
    let (_process, books) = next(&site).await;
    assert!(books.calls.len() == 1 && books.calls[0].outcome == "Lost" && is_right(&books.calls[0]), "{books:?}");
}

#[tokio::test]
async fn killed_before_the_first_byte_it_has_spent_the_upper_bound() {
    for streamed in ["plain", "streamed"] {
        let upstream = upstream(&reply(&json!({"delayMs": 60_000}))).await;
        let site = Site::new(&upstream.url(), &one_by_one());
        let process = site.start().await;
        let asked = tokio::spawn(ask(&process.url, 1, streamed).send());
        eventually(async || upstream.count() == 1).await;
        // Another one waits for its turn; it has cost nothing.
        let waits = tokio::spawn(ask(&process.url, 2, streamed).send());
        process.kill().await;
        assert!(asked.await.unwrap().is_err() && waits.await.unwrap().is_err());
        survives(&site, &upstream, &["Lost"]).await;
    }
}

#[tokio::test]
async fn killed_in_the_middle_of_a_stream_it_has_spent_the_upper_bound() {
    for parts in [1, 3] {
        let upstream = upstream(&reply(&json!({"parts": 100, "pauseMs": 100}))).await;
        let site = Site::new(&upstream.url(), &one_by_one());
        let process = site.start().await;
        let mut answer = ask(&process.url, 1, "streamed").send().await.unwrap();
        for _ in 0..parts {
            assert!(answer.chunk().await.unwrap().is_some());
        }
        process.kill().await;
        while answer.chunk().await.is_ok_and(|part| part.is_some()) {}
        survives(&site, &upstream, &["Lost"]).await;
    }
}

#[tokio::test]
async fn killed_after_the_client_has_gone_or_has_had_all_it_has_settled_the_call_before() {
    for streamed in ["plain", "streamed"] {
        let upstream = upstream(&reply(&json!({}))).await;
        let site = Site::new(&upstream.url(), &one_by_one());
        let process = site.start().await;
        ask(&process.url, 1, streamed).send().await.unwrap().bytes().await.unwrap();
        process.kill().await;
        survives(&site, &upstream, &["Answered"]).await;
    }
    let upstream = upstream(&reply(&json!({"parts": 100, "pauseMs": 100}))).await;
    let site = Site::new(&upstream.url(), &one_by_one());
    let process = site.start().await;
    let mut answer = ask(&process.url, 1, "streamed").send().await.unwrap();
    assert!(answer.chunk().await.unwrap().is_some());
    drop(answer);
    eventually(async || Books::read(&site.ledger()).await.reserved.is_empty()).await;
    process.kill().await;
    survives(&site, &upstream, &["Cut"]).await;
}

/// The number of gateways that are killed under load.
const ROUNDS: usize = 12;

/// The calls of a load over all processes.
#[derive(Default)]
struct Load {
    world: AtomicUsize,
    answered: AtomicUsize,
}

/// Calls until the gateway is gone, as a World of its own each time. Returns the Worlds that had their whole answer.
async fn call_until_it_dies(load: &Load, url: &str) -> Vec<usize> {
    let mut answered = Vec::new();
    loop {
        let world = load.world.fetch_add(1, Ordering::Relaxed);
        assert!(world < WORLDS, "there are no Worlds left");
        let streamed = if world.is_multiple_of(2) { "plain" } else { "streamed" };
        let Ok(answer) = ask(url, world, streamed).send().await else { return answered };
        assert_eq!(answer.status(), 200);
        if answer.bytes().await.is_ok() {
            answered.push(world);
            load.answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_instant_under_load_it_has_counted_each_call_once_and_none_is_free() {
    let upstream = upstream(&reply(&json!({"delayMs": 2, "pauseMs": 1}))).await;
    let limits = json!({"requestsPerMinute": 100_000, "tokensPerMinute": 100_000_000});
    let site = Site::new(&upstream.url(), &limits);
    let load = Load::default();
    let mut answered = BTreeSet::new();
    // The calls that each kill has cut, counted by the process after it.
    let (mut lost, mut cuts) = (0, Vec::new());
    for round in 0..ROUNDS {
        let (process, books) = next(&site).await;
        if round > 0 {
            cuts.push(books.with("Lost").len() - lost);
            lost = books.with("Lost").len();
        }
        let (url, before) = (process.url.clone(), load.answered.load(Ordering::Relaxed));
        let callers = join_all((0..12).map(|_| call_until_it_dies(&load, &url)));
        let killer = async {
            eventually(async || load.answered.load(Ordering::Relaxed) > before + 5).await;
            // Each round at another instant.
            tokio::time::sleep(Duration::from_micros(700) * u32::try_from(round).unwrap()).await;
            process.kill().await;
        };
        let (whole, ()) = tokio::join!(callers, killer);
        answered.extend(whole.into_iter().flatten());
    }
    let (_process, books) = next(&site).await;
    cuts.push(books.with("Lost").len() - lost);
    let missed = cuts.iter().filter(|cut| **cut == 0).count();
    eprintln!("{missed} of {ROUNDS} kills met no call under way; the calls that each has cut: {cuts:?}");
    assert!(missed * 20 <= ROUNDS, "more than 5 % of the kills met no call: {cuts:?}");
    let mut rows: BTreeMap<&str, Vec<&CallRow>> = BTreeMap::new();
    for call in &books.calls {
        assert!(is_right(call), "{call:?}");
        rows.entry(&call.world).or_default().push(call);
    }
    assert!(rows.values().all(|rows| rows.len() == 1), "each World has called once: {rows:?}");
    let seen = upstream.calls();
    assert!(seen.len() > 100, "{}", seen.len());
    for call in &seen {
        let text = String::from_utf8_lossy(&call.body);
        let world = text.split("of ").nth(1).and_then(|rest| rest.split('.').next()).unwrap();
        assert!(rows.contains_key(world), "what reached upstream is not free: {world}");
    }
    for world in &answered {
        let row = rows[format!("w{world}").as_str()][0];
        assert_eq!(row.outcome, "Answered", "what a client has had whole was settled before: {row:?}");
    }
    assert!(!books.with("Lost").is_empty(), "some were under way");
    assert!(books.calls.len() >= seen.len() && books.calls.len() <= load.world.load(Ordering::Relaxed));
}
