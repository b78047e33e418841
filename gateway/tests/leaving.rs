//! Calls whose clients go away, stop reading or send too much: nothing stays behind, and nothing goes out that must not (R7, W9).

#![expect(clippy::unwrap_used, clippy::panic, reason = "a check that cannot go on has failed")]

mod books;
mod support;

use std::time::Duration;

use books::Books;
use manyworlds_gateway::Timeouts;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use support::{Bench, FullQueue, always, dollars, eventually};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

fn messages() -> Value {
    json!({"model": "scripted", "max_tokens": 5, "messages": [{"role": "user", "content": "go on"}]})
}

/// Returns a request for a client that reads no answer.
fn request(body: &Value) -> String {
    let body = body.to_string();
    let length = body.len();
    format!(
        "POST /v1/messages HTTP/1.1\r\nhost: a\r\nauthorization: Bearer a/w\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn a_client_that_goes_away_while_the_ledger_writes_leaves_nothing_reserved() {
    let bench = Bench::start(&always(&json!({"text": "a"}))).await;
    bench.rules.change(|rules| rules.budget = Some(dollars("1")));
    assert_eq!(bench.post("a", "/v1/messages", messages()).await.status(), 200);
    let (_, calls) = bench.settled("a").await;
    // Somebody else holds the file, so that a reservation takes its time.
    let options = SqliteConnectOptions::new().filename(bench.file());
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let mut client = TcpStream::connect(bench.address).await.unwrap();
    client.write_all(request(&messages()).as_bytes()).await.unwrap();
    eventually(async || bench.metrics.llm_waiting.get() == 1).await;
    drop(client);
    eventually(async || bench.metrics.llm_waiting.get() == 0).await;
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    // It stands behind that of the client that has gone.
    assert_eq!(bench.post("b", "/v1/messages", messages()).await.status(), 200);
    eventually(async || Books::read(&bench.file()).await.reserved.is_empty()).await;
    assert_eq!((bench.settled("a").await.1, bench.upstream.count()), (calls, 2), "and it was no call");
}

#[tokio::test]
async fn a_stop_that_is_seen_while_the_connection_to_upstream_opens_holds_the_call_back() {
    let nobody = FullQueue::start().await;
    let bench = Bench::start(&always(&json!({"text": "a"}))).await;
    bench.rules.change(|rules| rules.base_url = format!("http://{}", nobody.address));
    let answered = bench.post("a", "/v1/messages", messages());
    let stopped = async {
        eventually(async || bench.metrics.llm_running.get() == 1).await;
        bench.rules.change(|rules| rules.stopped.extend(["a".to_owned()]));
        nobody.let_in().await
    };
    let (answer, said) = tokio::join!(answered, stopped);
    assert_eq!(String::from_utf8_lossy(&said), "", "nothing has left");
    assert_eq!(answer.status(), 403);
    assert_eq!(bench.settled("a").await, (dollars("0"), 0), "and it was no call");
}

#[tokio::test]
async fn a_client_that_does_not_read_keeps_no_call_open() {
    // More than fits between the two.
    let reply = json!({"text": "a".repeat(24 * 1024 * 1024)});
    let bench =
        Bench::with_timeouts(&always(&reply), Timeouts { answer: Duration::from_secs(1), ..Timeouts::default() }).await;
    let mut body = messages();
    body["stream"] = json!(true);
    let mut client = TcpStream::connect(bench.address).await.unwrap();
    client.write_all(request(&body).as_bytes()).await.unwrap();
    eventually(async || bench.metrics.llm_first_byte_seconds.get_sample_count() == 1).await;
    assert_eq!(bench.ledger.calls_in_flight().await.unwrap(), 1);
    eventually(async || bench.ledger.calls_in_flight().await.unwrap() == 0).await;
    drop(client);
}

/// What it has reserved of a budget that others share is theirs again.
#[tokio::test]
async fn a_client_that_takes_its_answer_slowly_holds_its_reservation_for_its_time_at_most() {
    // More than fits between the two.
    let bench = Bench::start(&always(&json!({"text": "a".repeat(24 * 1024 * 1024)}))).await;
    bench.rules.change(|rules| {
        let timeouts = json!({"connect": "5s", "firstByte": "5s", "idle": "5s", "total": "5s"});
        rules.provider["timeouts"] = timeouts;
    });
    let mut body = messages();
    body["stream"] = json!(true);
    let mut client = TcpStream::connect(bench.address).await.unwrap();
    client.write_all(request(&body).as_bytes()).await.unwrap();
    eventually(async || bench.metrics.llm_first_byte_seconds.get_sample_count() == 1).await;
    // The client is there and reads nothing; its own time-out is minutes away.
    eventually(async || bench.ledger.calls_in_flight().await.unwrap() == 0).await;
    let (cost, calls) = bench.settled("a").await;
    assert!(cost > dollars("0") && calls == 1, "it may be charged for, so it costs what it could: {cost}");
    drop(client);
}

#[tokio::test]
async fn requests_of_one_world_get_permits_one_after_the_other() {
    let bench = Bench::start(&always(&json!({"text": "a", "delayMs": 1000}))).await;
    let mut large = messages();
    large["messages"][0]["content"] = json!("a".repeat(20 * 1024 * 1024));
    let first = bench.post("a", "/v1/messages", large.clone());
    let second = async {
        eventually(async || bench.metrics.llm_running.get() == 1).await;
        (bench.post("a", "/v1/messages", large.clone()).await, bench.post("b", "/v1/messages", large.clone()).await)
    };
    let (first, (second, of_another)) = tokio::join!(first, second);
    assert_eq!((first.status().as_u16(), of_another.status().as_u16()), (200, 200));
    assert_eq!((second.status().as_u16(), second.headers()["retry-after"].to_str().unwrap()), (503, "1"));
    assert_eq!(bench.post("a", "/v1/messages", large).await.status(), 200, "once there is room again");
}

/// Returns what a client is told of trying again, now and later, and how often upstream was asked.
async fn told(reply: &Value, wait: &str) -> (Option<String>, Option<String>, u64) {
    let bench = Bench::start(&always(reply)).await;
    bench.rules.change(|rules| rules.provider["limits"]["maxWait"] = json!(wait));
    let answer = bench.post("a", "/v1/chat/completions", messages()).await;
    assert_eq!(answer.status(), 429);
    let header = |name: &str| answer.headers().get(name).map(|again| again.to_str().unwrap().to_owned());
    (header("x-should-retry"), header("retry-after"), bench.upstream.count())
}

#[tokio::test]
async fn a_client_tries_again_after_a_429_only_where_nobody_has_yet() {
    let text = |text: &str| Some(text.to_owned());
    let soon = json!({"status": 429, "headers": {"retry-after-ms": "10"}});
    assert_eq!(told(&soon, "10s").await, (text("false"), text("1"), 3), "all tries were made here");
    let later = json!({"status": 429, "headers": {"retry-after": "60"}});
    assert_eq!(told(&later, "1s").await, (None, text("60"), 1));
    let error = json!({"error": {"code": "insufficient_quota", "message": "no more"}}).to_string();
    let never = json!({"status": 429, "headers": {"retry-after": "60"}, "body": error});
    assert_eq!(told(&never, "10s").await, (text("false"), None, 1));
}
