//! The bounds of a server, seen from its clients.

#![expect(clippy::unwrap_used, reason = "a check that cannot go on has failed")]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use manyworlds_listener::{Bounds, Handler, OpenConnections, Peer, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

/// The longest wait of a test.
const LIMIT: Duration = Duration::from_mins(1);
const BOUNDS: Bounds = Bounds { connections: 8, connections_of_a_peer: 8, head: LIMIT, unread: Duration::from_mins(5) };

/// Answers `ok`, for the path `/slow` once it is told to.
#[derive(Clone, Default)]
struct Answers {
    go_on: Arc<Notify>,
    invalid: Arc<AtomicUsize>,
    crowded: Arc<AtomicUsize>,
}

impl Handler for Answers {
    type Body = Full<Bytes>;

    async fn handle(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if request.uri().path() == "/slow" {
            self.go_on.notified().await;
        }
        let mut answer = Response::new(Full::new(Bytes::from_static(b"ok")));
        if let Some(Peer(address)) = request.extensions().get::<Peer>() {
            answer.headers_mut().insert("peer", address.to_string().parse().unwrap());
        }
        answer
    }

    fn on_invalid(&self, _: &hyper::Error) {
        self.invalid.fetch_add(1, Ordering::Relaxed);
    }

    fn on_crowded(&self, _: IpAddr) {
        self.crowded.fetch_add(1, Ordering::Relaxed);
    }
}

/// A running server.
struct Server {
    address: SocketAddr,
    answers: Answers,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<OpenConnections>,
}

impl Server {
    async fn start(bounds: Bounds) -> Self {
        let (listener, answers) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Answers::default());
        let (address, (stop, stopped)) = (listener.local_addr().unwrap(), oneshot::channel::<()>());
        let served = serve(listener, bounds, answers.clone(), async { drop(stopped.await) });
        Self { address, answers, stop, ended: tokio::spawn(served) }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

async fn ask(stream: &mut TcpStream, path: &str) -> String {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"ok") {
        if tokio::time::timeout(LIMIT, stream.read_buf(&mut answer)).await.unwrap().unwrap() == 0 {
            break;
        }
    }
    String::from_utf8(answer).unwrap()
}

/// Returns what comes until the server closes the connection.
async fn until_closed(mut stream: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A connection that is closed with bytes unread is reset.
    let _ = tokio::time::timeout(LIMIT, stream.read_to_end(&mut rest)).await.unwrap();
    rest
}

#[tokio::test]
async fn one_peer_keeps_no_place_from_another() {
    let server = Server::start(Bounds { connections_of_a_peer: 2, ..BOUNDS }).await;
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    assert!(ask(&mut first, "/").await.ends_with("ok") && ask(&mut second, "/").await.ends_with("ok"));
    assert_eq!(until_closed(server.connect().await).await, b"");
    assert_eq!(server.answers.crowded.load(Ordering::Relaxed), 1);
    drop(first);
    manyworlds_test_support::eventually("there is a place again", LIMIT, async || {
        ask(&mut server.connect().await, "/").await.ends_with("ok")
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn half_a_head_is_not_waited_for() {
    let server = Server::start(Bounds { head: Duration::from_millis(50), ..BOUNDS }).await;
    for half in [&b""[..], b"GET / HT", b"GET / HTTP/1.1\r\nhost: a\r\n"] {
        let mut stream = server.connect().await;
        stream.write_all(half).await.unwrap();
        assert!(!until_closed(stream).await.starts_with(b"HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn a_head_without_an_end_is_not_kept() {
    let server = Server::start(BOUNDS).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nx: ").await.unwrap();
    let line = [b'a'; 1024];
    let mut written = 0;
    // It is refused long before so much of it has come.
    while written < 64 * 1024 && stream.write_all(&line).await.is_ok() {
        written += 1;
    }
    assert!(written < 64 * 1024, "a head of 64 MiB was taken");
    assert!(ask(&mut server.connect().await, "/").await.ends_with("ok"));
}

#[tokio::test]
async fn every_request_says_who_its_peer_is() {
    let server = Server::start(BOUNDS).await;
    assert!(ask(&mut server.connect().await, "/").await.contains("peer: 127.0.0.1"));
}

#[tokio::test]
async fn what_is_no_http_is_noted() {
    let server = Server::start(BOUNDS).await;
    let mut stream = server.connect().await;
    stream.write_all(b"no http\r\n\r\n").await.unwrap();
    assert!(until_closed(stream).await.starts_with(b"HTTP/1.1 400"));
    assert_eq!(server.answers.invalid.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn at_the_end_the_request_under_way_is_answered_and_idle_connections_are_closed() {
    let server = Server::start(BOUNDS).await;
    let mut idle = server.connect().await;
    assert!(ask(&mut idle, "/").await.ends_with("ok"));
    let mut busy = server.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    // It is under way once the connection that came after it is answered.
    assert!(ask(&mut server.connect().await, "/").await.ends_with("ok"));
    server.stop.send(()).unwrap();
    let open = server.ended.await.unwrap();
    assert_eq!(until_closed(idle).await, b"");
    server.answers.go_on.notify_one();
    assert!(until_closed(busy).await.ends_with(b"ok"));
    tokio::time::timeout(LIMIT, open.closed()).await.unwrap();
}
