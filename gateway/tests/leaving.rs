//! Calls that end before upstream has them: nothing stays behind, and nothing goes out that must not (R7, W9).

#![expect(clippy::unwrap_used, clippy::panic, reason = "a check that cannot go on has failed")]

mod books;
mod support;

use books::Books;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use support::{Bench, FullQueue, always, dollars, eventually};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

fn messages() -> Value {
    json!({"model": "scripted", "max_tokens": 5, "messages": [{"role": "user", "content": "go on"}]})
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
    let body = messages().to_string();
    let request = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: a\r\nauthorization: Bearer a/w\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut client = TcpStream::connect(bench.address).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
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
async fn a_stop_that_is_seen_while_the_way_to_upstream_opens_holds_the_call_back() {
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
    assert_eq!(bench.settled("a").await.0, dollars("0"));
}

/// Returns what a client is told of trying again, and how often upstream was asked.
async fn told(wish: &Value, wait: &str) -> (Option<String>, u64) {
    let bench = Bench::start(&always(&json!({"status": 429, "headers": wish}))).await;
    bench.rules.change(|rules| rules.provider["limits"]["maxWait"] = json!(wait));
    let answer = bench.post("a", "/v1/messages", messages()).await;
    assert_eq!(answer.status(), 429);
    let again = answer.headers().get("x-should-retry").map(|again| again.to_str().unwrap().to_owned());
    (again, bench.upstream.count())
}

#[tokio::test]
async fn a_client_tries_again_after_a_429_only_where_nobody_has_yet() {
    assert_eq!(
        told(&json!({"retry-after-ms": "10"}), "10s").await,
        (Some("false".to_owned()), 3),
        "all were made here"
    );
    assert_eq!(told(&json!({"retry-after": "60"}), "1s").await, (None, 1));
}
