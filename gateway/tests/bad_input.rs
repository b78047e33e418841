//! Bad requests are refused in the protocol's own words, logged and metered, and spend nothing
//! (docs/gateway.md).

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod books;
mod logged;
mod support;

use std::time::{Duration, Instant};

use books::Books;
use logged::Log;
use manyworlds_gateway::Timeouts;
use serde_json::{Value, json};
use support::{Bench, always, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A World's token, of which no log may say anything.
const TOKEN: &str = "canary-of-a-token/w";
/// A body that is whole but for what a case is about.
const WHOLE: &str = r#"{"model":"scripted","max_tokens":5,"messages":[],"input":"a","contents":[]}"#;

struct Protocol {
    path: &'static str,
    token: &'static str,
    /// The field of an error that says its kind, and the kinds of the cases below.
    field: &'static str,
    kinds: [&'static str; 7],
}

const REQUEST: usize = 0;
const NOBODY: usize = 1;
const STOPPED: usize = 2;
const MODEL: usize = 3;
const UNKNOWN: usize = 4;
const SIZE: usize = 5;
const SLOW: usize = 6;

const PROTOCOLS: [Protocol; 3] = [
    Protocol {
        path: "/v1/chat/completions",
        token: "authorization: Bearer ",
        field: "code",
        kinds: [
            "invalid_request",
            "invalid_api_key",
            "world_stopped",
            "model_not_found",
            "invalid_request",
            "invalid_request",
            "timeout",
        ],
    },
    Protocol {
        path: "/v1/messages",
        token: "x-api-key: ",
        field: "type",
        kinds: [
            "invalid_request_error",
            "authentication_error",
            "permission_error",
            "permission_error",
            "not_found_error",
            "request_too_large",
            "invalid_request_error",
        ],
    },
    Protocol {
        path: "/v1beta/models/scripted:generateContent",
        token: "x-goog-api-key: ",
        field: "status",
        kinds: [
            "INVALID_ARGUMENT",
            "UNAUTHENTICATED",
            "PERMISSION_DENIED",
            "PERMISSION_DENIED",
            "NOT_FOUND",
            "INVALID_ARGUMENT",
            "INVALID_ARGUMENT",
        ],
    },
];

impl Protocol {
    /// Returns a request as bytes.
    fn request(&self, path: &str, token: &str, body: &[u8]) -> Vec<u8> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: g\r\n{}{token}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            self.token,
            body.len()
        );
        [head.as_bytes(), body].concat()
    }
}

/// The time that a slow client has.
const SHORT: Duration = Duration::from_millis(500);
/// The time that any other client has. It is long, because machines of tests are slow.
const LONG: Duration = Duration::from_mins(1);

/// A gateway, and what has been said of it.
struct Case {
    bench: Bench,
    log: Log,
}

impl Case {
    /// Starts a gateway whose clients have some time for the head and for the body.
    async fn start(time: Duration) -> Self {
        let log = Log::start();
        let timeouts = Timeouts { head: time, body: time, ..Timeouts::default() };
        let bench = Bench::with_timeouts(&always(&json!({"text": "a"})), timeouts).await;
        bench.rules.change(|rules| rules.stopped.extend(["dead".to_owned()]));
        Self { bench, log }
    }

    /// Checks that a request is refused so, as a client reads it that writes all of it before.
    async fn refused(&self, protocol: &Protocol, request: &[u8], status: u16, kind: usize, reason: &str) {
        let mut stream = self.connect().await;
        let counted = self.counted(reason);
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let said = String::from_utf8_lossy(&request[..request.len().min(200)]).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{said}\n{answer}");
        assert!(answer.contains("content-type: application/json") && answer.contains("x-should-retry: false"));
        let value: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert!(value["error"]["message"].is_string(), "{answer}");
        assert_eq!(value["error"][protocol.field], protocol.kinds[kind], "{said}\n{answer}");
        assert_eq!(self.counted(reason), counted + 1, "{said}: it is metered once");
        let line = self.log.last();
        assert!(line.contains("refused: ") && line.contains(&format!("reason={reason}")), "{said}: {line}");
    }

    /// Checks that a request that is no HTTP is refused by its status alone, and counted.
    async fn refused_as_no_http(&self, mut stream: TcpStream, request: &[u8]) {
        let counted = self.counted("request");
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let (said, answer) = (String::from_utf8_lossy(request), String::from_utf8_lossy(&answer));
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("\r\n\r\n"), "{said}\n{answer}");
        eventually(async || self.counted("request") == counted + 1).await;
        let line = self.log.last();
        assert!(line.contains("refused: ") && line.contains("reason=request"), "{said}: {line}");
    }

    /// Checks that a connection is closed in time without a word.
    async fn closed_without_a_word(&self, mut stream: TcpStream, request: &[u8]) {
        let (begun, counted) = (Instant::now(), self.counted("slow"));
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.is_empty() && self.counted("slow") == counted, "{}", String::from_utf8_lossy(&answer));
        assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.bench.address).await.unwrap()
    }

    fn counted(&self, reason: &str) -> u64 {
        self.bench.metrics.gateway_refusals.with_label_values(&[reason]).get()
    }

    /// Checks that nothing was asked, reserved or spent, and that no token is in the log.
    async fn nothing_is_spent(self) {
        assert_eq!(self.bench.upstream.count(), 0);
        let books = Books::read(&self.bench.file()).await;
        assert!(books.calls.is_empty() && books.reserved.is_empty() && books.budgets.is_empty(), "{books:?}");
        assert!(!self.log.all().contains("canary-of-a-token"), "{}", self.log.all());
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused() {
    let case = Case::start(LONG).await;
    for protocol in &PROTOCOLS {
        for body in [&b""[..], b"{", b"[]", b"{\"model\":", br#"{"model":"scripted","model":"other"}"#, b"\xff\xfe{}"] {
            case.refused(protocol, &protocol.request(protocol.path, TOKEN, body), 400, REQUEST, "request").await;
        }
    }
    for protocol in &PROTOCOLS[..2] {
        for body in [r#"{"max_tokens":1}"#, r#"{"model":7}"#, r#"{"model":""}"#] {
            let request = protocol.request(protocol.path, TOKEN, body.as_bytes());
            case.refused(protocol, &request, 400, REQUEST, "request").await;
        }
    }
    case.nothing_is_spent().await;
}

#[tokio::test]
async fn a_caller_that_may_not_call_is_refused() {
    let case = Case::start(LONG).await;
    for protocol in &PROTOCOLS {
        let whole = WHOLE.as_bytes();
        for token in ["canary-of-a-token", "", " "] {
            case.refused(protocol, &protocol.request(protocol.path, token, whole), 401, NOBODY, "token").await;
        }
        let two = format!("{TOKEN}\r\nx-api-key: b/w\r\nx-goog-api-key: c/w");
        case.refused(protocol, &protocol.request(protocol.path, &two, whole), 401, NOBODY, "token").await;
        case.refused(protocol, &protocol.request(protocol.path, "dead/w", whole), 403, STOPPED, "stopped").await;
        let (path, body) = (protocol.path.replace("scripted", "dear"), WHOLE.replace("scripted", "dear"));
        case.refused(protocol, &protocol.request(&path, TOKEN, body.as_bytes()), 403, MODEL, "model").await;
    }
    case.nothing_is_spent().await;
}

#[tokio::test]
async fn tricks_with_paths_and_hosts_are_refused() {
    let case = Case::start(LONG).await;
    for protocol in &PROTOCOLS {
        let path = protocol.path;
        for path in [
            format!("{path}/../files"),
            format!("{path}//"),
            format!("{path}/."),
            format!("{path}%2f"),
            format!("{path}%00"),
            format!("{path};a=b"),
        ] {
            case.refused(protocol, &protocol.request(&path, TOKEN, WHOLE.as_bytes()), 400, UNKNOWN, "request").await;
        }
        let text = String::from_utf8(protocol.request(path, TOKEN, WHOLE.as_bytes())).unwrap();
        for (sane, trick) in [
            ("host: g", "host: a\0b"),
            ("host: g", "ho\0st: g"),
            ("host: g", "host : g"),
            (" HTTP/1.1", " HTTP/7.1"),
            (path, &format!("{path}\0")),
        ] {
            case.refused_as_no_http(case.connect().await, text.replacen(sane, trick, 1).as_bytes()).await;
        }
        let elsewhere = text.replacen(path, &format!("http://evil.example{path}"), 1);
        case.refused(protocol, elsewhere.as_bytes(), 400, REQUEST, "request").await;
    }
    let unknown = PROTOCOLS[0].request("/v1/files", TOKEN, b"{}");
    case.refused(&PROTOCOLS[0], &unknown, 404, UNKNOWN, "request").await;
    case.nothing_is_spent().await;
}

/// Answers a probe on a connection that stays open, with what else comes behind the probe at once.
async fn kept_alive(case: &Case, behind: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(case.bench.address).await.unwrap();
    stream.write_all(&[b"GET /api/hello HTTP/1.1\r\nhost: g\r\n\r\n", behind].concat()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "{}", String::from_utf8_lossy(&answer));
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    stream
}

#[tokio::test]
async fn a_request_that_is_no_http_is_refused_behind_an_answered_one_too() {
    let case = Case::start(SHORT).await;
    for protocol in &PROTOCOLS {
        let text = String::from_utf8(protocol.request(protocol.path, TOKEN, WHOLE.as_bytes())).unwrap();
        let trick = text.replacen("host: g", "host : g", 1);
        case.refused_as_no_http(kept_alive(&case, b"").await, trick.as_bytes()).await;
        let half_a_head = &text.as_bytes()[..text.len() - WHOLE.len() - 10];
        case.closed_without_a_word(kept_alive(&case, b"").await, half_a_head).await;
        // Half a request behind an answered one holds nothing of its answer back, and is understood when it is whole.
        let (half, rest) = text.split_at(20);
        let mut stream = kept_alive(&case, half.as_bytes()).await;
        stream.write_all(rest.replacen("content-length: ", "content-length: a", 1).as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&answer));
    }
    // A client that asks for nothing more is told nothing more.
    case.closed_without_a_word(kept_alive(&case, b"").await, b"").await;
    case.nothing_is_spent().await;
}

#[tokio::test]
async fn a_body_of_100_mebibytes_is_refused_and_the_client_reads_why() {
    let case = Case::start(LONG).await;
    let text = vec![b'a'; 100 * 1024 * 1024];
    for protocol in &PROTOCOLS {
        case.refused(protocol, &protocol.request(protocol.path, TOKEN, &text), 413, SIZE, "size").await;
        // Its size is not said before.
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: g\r\n{}{TOKEN}\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n",
            protocol.path,
            protocol.token,
            text.len()
        );
        let chunked = [head.as_bytes(), &text, b"\r\n0\r\n\r\n"].concat();
        case.refused(protocol, &chunked, 413, SIZE, "size").await;
    }
    case.nothing_is_spent().await;
}

#[tokio::test]
async fn a_client_that_is_too_slow_is_refused() {
    let case = Case::start(SHORT).await;
    for protocol in &PROTOCOLS {
        let whole = protocol.request(protocol.path, TOKEN, WHOLE.as_bytes());
        let body_begins = whole.len() - WHOLE.len();
        case.closed_without_a_word(case.connect().await, &whole[..body_begins - 10]).await;
        // In the middle of the body.
        for length in [body_begins, body_begins + 10] {
            let begun = Instant::now();
            case.refused(protocol, &whole[..length], 408, SLOW, "slow").await;
            assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
        }
    }
    // A client that opens a connection and says nothing has asked for nothing.
    case.closed_without_a_word(case.connect().await, b"").await;
    case.nothing_is_spent().await;
}
