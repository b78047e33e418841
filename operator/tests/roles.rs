//! Each role of the operator as a process of its own, and the end of such a process.

#![expect(clippy::unwrap_used, reason = "a check that cannot go on has failed")]

mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use support::cluster::{Cluster, TOKEN, TOKEN_OF_BASE, TOKEN_OF_JUDGE};
use support::operator::{Operator, eventually, get};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The address of a model that nobody calls.
const NO_MODEL: &str = "127.0.0.1:1";

async fn serves(address: SocketAddr) -> bool {
    TcpStream::connect(address).await.is_ok()
}

/// Returns a request of the World's worker for a stream.
fn call(body: &str) -> String {
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}");
    format!("{head}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

const STREAM: &str = r#"{"model":"m","stream":true,"max_tokens":10,"messages":[{"role":"user","content":"hi"}]}"#;

/// A model that answers each call with the begin of a stream, and then says nothing more.
async fn endless_model() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            // What comes before the request is no answer to it, and counts as an outage.
            let mut request = Vec::new();
            while !request.windows(4).any(|four| four == b"\r\n\r\n") {
                if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let event =
                r#"data: {"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"so"}}]}"#;
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked";
            let chunk = format!("{:x}\r\n{event}\n\n\r\n", event.len() + 2);
            // A client that has gone gets nothing.
            if stream.write_all(format!("{head}\r\n\r\n{chunk}").as_bytes()).await.is_ok() {
                open.push(stream);
            }
        }
    });
    address
}

/// Calls the model through the gateway until the first event of the answer is there, and returns the open connection.
async fn streaming(operator: &Operator) -> TcpStream {
    eventually("the answer has begun", async || {
        let mut stream = TcpStream::connect(operator.gateway).await.ok()?;
        stream.write_all(call(STREAM).as_bytes()).await.ok()?;
        let (mut answer, mut part) = (Vec::new(), [0; 4096]);
        // What is refused, for a Provider that is not listed yet, ends here and is asked for again.
        while !answer.windows(2).any(|two| two == b"so") {
            let read = stream.read(&mut part).await.ok().filter(|read| *read > 0)?;
            answer.extend_from_slice(&part[..read]);
            if answer.starts_with(b"HTTP/1.1 4") || answer.starts_with(b"HTTP/1.1 5") {
                return None;
            }
        }
        Some(stream)
    })
    .await
}

#[tokio::test]
async fn the_gateway_alone_answers_calls_and_writes_nothing_to_the_cluster() {
    let (folder, model) = (tempfile::tempdir().unwrap(), endless_model().await);
    let cluster = Cluster::start(&model.to_string());
    let operator = Operator::start(&cluster, folder.path(), &["--roles", "gateway"]);
    operator.until_ready().await;
    drop(streaming(&operator).await);
    assert!(!serves(operator.api).await, "artifacts are another role's");
    assert_eq!(cluster.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn the_artifact_api_alone_stores_and_writes_nothing_to_the_cluster() {
    let (folder, cluster) = (tempfile::tempdir().unwrap(), Cluster::start(NO_MODEL));
    let operator = Operator::start(&cluster, folder.path(), &["--roles", "api"]);
    operator.until_ready().await;
    let mut stream = TcpStream::connect(operator.api).await.unwrap();
    let head = format!(
        "PUT /v1/worlds/team/fix-alpha/1/artifacts/change HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}"
    );
    stream.write_all(format!("{head}\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert!(folder.path().join("artifacts/o/alpha/1/change").is_file());
    assert!(!serves(operator.gateway).await, "models are another role's");
    assert!(!folder.path().join("ledger.db").exists(), "and so is the ledger");
    assert!(!cluster.has_read("/providers"), "and what models cost");
    assert_eq!(cluster.writes(), Vec::<String>::new());
}

/// Stores an artifact of a size as a World does, and returns the answer.
async fn put(operator: &Operator, name: &str, size: usize) -> String {
    let mut stream = TcpStream::connect(operator.api).await.unwrap();
    let head = format!(
        "PUT /v1/worlds/team/fix-alpha/1/artifacts/{name} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\n\
         connection: close\r\ncontent-length: {size}\r\n\r\n"
    );
    // All at once: a body that comes after its refusal would close the connection before the answer is read.
    stream.write_all(format!("{head}{}", "x".repeat(size)).as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_world_stores_no_more_than_its_bound_also_after_a_restart() {
    let (folder, cluster) = (tempfile::tempdir().unwrap(), Cluster::start(NO_MODEL));
    let arguments = ["--roles", "api", "--artifacts-per-world", "100"];
    let mut operator = Operator::start(&cluster, folder.path(), &arguments);
    operator.until_ready().await;
    let stored = put(&operator, "change", 60).await;
    assert!(stored.starts_with("HTTP/1.1 201"), "{stored}");
    let again = put(&operator, "change", 70).await;
    assert!(again.starts_with("HTTP/1.1 201"), "it takes the place of the one before: {again}");
    operator.terminate();
    operator.ended().await;
    let operator = Operator::start(&cluster, folder.path(), &arguments);
    operator.until_ready().await;
    let refused = put(&operator, "work-log", 31).await;
    assert!(refused.starts_with("HTTP/1.1 413") && refused.contains("artifacts.quota.perWorld"), "{refused}");
    let stored = put(&operator, "work-log", 30).await;
    assert!(stored.starts_with("HTTP/1.1 201"), "{stored}");
    let metrics = get(operator.metrics, "/metrics").await.unwrap();
    assert!(metrics.contains("manyworlds_artifacts_held_bytes 100\n"), "{metrics}");
    assert!(metrics.contains(r#"manyworlds_volume_free_bytes{volume="artifacts"}"#), "{metrics}");
}

/// Each of these says that a body of 63 MiB comes, and sends none of it.
#[tokio::test]
async fn nobodys_body_is_read() {
    let (folder, cluster) = (tempfile::tempdir().unwrap(), Cluster::start(NO_MODEL));
    let operator = Operator::start(&cluster, folder.path(), &["--roles", "api"]);
    operator.until_ready().await;
    let size: u64 = 63 * 1024 * 1024;
    for (path, token, length, status) in [
        ("artifacts/change", "made.up.token", size, 401),
        ("artifacts/change", "e30.e30.e30", size, 401),
        ("artifacts/prepare-log", TOKEN, size, 403),
        ("artifacts/patch", TOKEN, size, 403),
        ("artifacts/change", TOKEN_OF_JUDGE, size, 403),
        ("artifacts/unknown", TOKEN, size, 400),
        ("artifacts/change", TOKEN, 65 * 1024 * 1024, 413),
        ("base", "made.up.token", size, 401),
        ("base", TOKEN, size, 403),
        ("bundle", "made.up.token", size, 401),
        ("bundle", TOKEN, size, 403),
        ("bundle", TOKEN, 3 << 30, 413),
        ("bundle", TOKEN_OF_JUDGE, size, 403),
        ("bundle", TOKEN_OF_BASE, size, 403),
        ("artifacts/report", TOKEN_OF_BASE, size, 403),
    ] {
        let method = if path == "base" { "POST" } else { "PUT" };
        let head =
            format!("{method} /v1/worlds/team/fix-alpha/1/{path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}");
        let mut stream = TcpStream::connect(operator.api).await.unwrap();
        stream.write_all(format!("{head}\r\ncontent-length: {length}\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = [0; 64];
        let read = tokio::time::timeout(Duration::from_mins(1), stream.read(&mut answer)).await;
        let read = read.unwrap_or_else(|_| panic!("{path}: the body is waited for")).unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path} with {token}: {answer}");
    }
    assert!(!folder.path().join("artifacts/o").exists());
}

/// Asks for something of the World's attempt, and returns the whole answer.
async fn ask(operator: &Operator, request: &str, token: &str) -> String {
    let (method, path) = request.split_once(' ').unwrap();
    send(operator, &format!("{method} /v1/worlds/team/fix-alpha/1/{path}"), token, "").await
}

/// Sends a request with a body, and returns the whole answer.
async fn send(operator: &Operator, request: &str, token: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(operator.api).await.unwrap();
    let head = format!("{request} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}");
    let length = body.len();
    let head = format!("{head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// W14: the pod that judges has the base and the change from the artifact API, and the pod that worked reads neither back.
#[tokio::test]
async fn a_pod_that_judges_reads_its_base_and_its_change_and_nobody_else_does() {
    let (folder, cluster) = (tempfile::tempdir().unwrap(), Cluster::start(NO_MODEL));
    let operator = Operator::start(&cluster, folder.path(), &["--roles", "api"]);
    operator.until_ready().await;
    assert!(put(&operator, "change", 3).await.starts_with("HTTP/1.1 201"));
    let change = ask(&operator, "GET artifacts/change", TOKEN_OF_JUDGE).await;
    assert!(change.starts_with("HTTP/1.1 200") && change.ends_with("\r\n\r\nxxx"), "{change}");
    assert!(change.contains("x-manyworlds-sha256: ") && change.contains("content-length: 3"), "{change}");

    let missing = ask(&operator, "HEAD bundle", TOKEN_OF_JUDGE).await;
    assert!(missing.starts_with("HTTP/1.1 404"), "{missing}");
    // As the store has it once a World has stored it.
    std::fs::write(folder.path().join("artifacts/o/base.bundle"), "a bundle").unwrap();
    assert!(ask(&operator, "HEAD bundle", TOKEN_OF_JUDGE).await.starts_with("HTTP/1.1 200"));
    let bundle = ask(&operator, "GET bundle", TOKEN_OF_JUDGE).await;
    assert!(bundle.starts_with("HTTP/1.1 200") && bundle.ends_with("\r\n\r\na bundle"), "{bundle}");
    assert!(bundle.contains("x-manyworlds-sha256: "), "{bundle}");

    for request in ["GET artifacts/change", "GET bundle", "HEAD bundle"] {
        let refused = ask(&operator, request, TOKEN).await;
        assert!(refused.starts_with("HTTP/1.1 403"), "{request} by who works: {refused}");
        let refused = ask(&operator, request, "made.up.token").await;
        assert!(refused.starts_with("HTTP/1.1 401"), "{request} by nobody: {refused}");
    }
    for artifact in ["patch", "report", "work-log"] {
        let refused = ask(&operator, &format!("GET artifacts/{artifact}"), TOKEN_OF_JUDGE).await;
        assert!(refused.starts_with("HTTP/1.1 403"), "{artifact}: {refused}");
    }
    assert_eq!(cluster.writes(), Vec::<String>::new());
}

/// W14: what every World is held against comes from the pod that judges the base, comes once, and is read by those that judge.
#[tokio::test]
async fn the_pod_that_judges_a_base_reads_it_and_stores_what_its_gates_give() {
    const BASELINE: &str = "/v1/workorders/team/fix/baseline";
    let (folder, cluster) = (tempfile::tempdir().unwrap(), Cluster::start(NO_MODEL));
    let operator = Operator::start(&cluster, folder.path(), &["--roles", "api"]);
    operator.until_ready().await;
    let bundle = "GET /v1/workorders/team/fix/bundle";
    assert!(send(&operator, bundle, TOKEN_OF_BASE, "").await.starts_with("HTTP/1.1 404"), "nobody has stored it");
    std::fs::create_dir_all(folder.path().join("artifacts/o")).unwrap();
    std::fs::write(folder.path().join("artifacts/o/base.bundle"), "a bundle").unwrap();
    let found = send(&operator, bundle, TOKEN_OF_BASE, "").await;
    assert!(found.starts_with("HTTP/1.1 200") && found.ends_with("\r\n\r\na bundle"), "{found}");
    assert!(ask(&operator, "GET baseline", TOKEN_OF_JUDGE).await.starts_with("HTTP/1.1 404"), "it is not there yet");

    let put = format!("PUT {BASELINE}");
    for token in [TOKEN, TOKEN_OF_JUDGE] {
        for request in [put.as_str(), bundle] {
            let refused = send(&operator, request, token, "").await;
            assert!(refused.starts_with("HTTP/1.1 403"), "{request} by a pod of a World: {refused}");
        }
    }
    for request in ["PUT /v1/workorders/team/other/baseline", "GET /v1/workorders/team/other/bundle"] {
        let refused = send(&operator, request, TOKEN_OF_BASE, "").await;
        assert!(refused.starts_with("HTTP/1.1 403"), "{request}: {refused}");
    }
    assert!(send(&operator, &put, TOKEN_OF_BASE, "{}").await.starts_with("HTTP/1.1 201"));
    assert!(send(&operator, &put, TOKEN_OF_BASE, "[]").await.starts_with("HTTP/1.1 200"), "the first one stays");
    let read = ask(&operator, "GET baseline", TOKEN_OF_JUDGE).await;
    assert!(read.starts_with("HTTP/1.1 200") && read.ends_with("\r\n\r\n{}"), "{read}");
    for token in [TOKEN, TOKEN_OF_BASE] {
        let refused = ask(&operator, "GET baseline", token).await;
        assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    }
    for request in ["GET artifacts/change", "GET bundle", "HEAD bundle"] {
        let refused = ask(&operator, request, TOKEN_OF_BASE).await;
        assert!(refused.starts_with("HTTP/1.1 403"), "{request} of a World: {refused}");
    }
    assert_eq!(cluster.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn the_controller_alone_writes_and_serves_nothing_but_its_health() {
    let (folder, cluster) = (tempfile::tempdir().unwrap(), Cluster::start(NO_MODEL));
    let operator = Operator::start(&cluster, folder.path(), &["--roles", "controller"]);
    operator.until_ready().await;
    for resource in ["worlds", "providers"] {
        eventually("the controller writes a status", async || {
            cluster.writes().iter().any(|write| write.contains(resource)).then_some(())
        })
        .await;
    }
    assert!(get(operator.metrics, "/metrics").await.unwrap().contains("manyworlds_reconciles"));
    assert!(!serves(operator.gateway).await && !serves(operator.api).await);
}

#[tokio::test]
async fn no_client_holds_up_the_end_of_the_process() {
    let (folder, model) = (tempfile::tempdir().unwrap(), endless_model().await);
    let cluster = Cluster::start(&model.to_string());
    let mut operator = Operator::start(&cluster, folder.path(), &["--shutdown-timeout", "1s"]);
    operator.until_ready().await;
    let answer = streaming(&operator).await;
    let mut upload = TcpStream::connect(operator.api).await.unwrap();
    let head = format!(
        "PUT /v1/worlds/team/fix-alpha/1/artifacts/change HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}"
    );
    upload.write_all(format!("{head}\r\ncontent-length: 1000\r\n\r\nx").as_bytes()).await.unwrap();
    let mut scrape = TcpStream::connect(operator.metrics).await.unwrap();
    scrape.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\n").await.unwrap();

    let told = Instant::now();
    operator.terminate();
    let status = operator.ended().await;
    assert!(status.success(), "{status}");
    // The default deadline is 25 seconds, and a client alone would be waited for without end.
    assert!(told.elapsed().as_secs() < 20, "{:?}", told.elapsed());
    drop((answer, upload, scrape));
}
