//! The server: from a socket to requests.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::peers::Peers;

/// The wait after a connection could not be accepted, as when there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The most of a connection that is read and not understood yet, in bytes: heads have a few thousand. All connections together
/// keep a quarter of a gibibyte at most.
const LARGEST_HEAD: usize = 64 * 1024;

/// The address at the other end of a connection. Each request has it among its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// The bounds of a server.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The most connections at once. Further ones wait to be accepted.
    pub connections: usize,
    /// The most connections of one address at once. Further ones are closed.
    pub connections_of_a_peer: usize,
    /// The time for the head of a request. A connection without a request is closed after the same time.
    pub head: Duration,
    /// The time for which a client may leave an answer unread.
    pub unread: Duration,
}

/// Answers requests. Clones share what they answer by.
pub trait Handler: Clone + Send + Sync + 'static {
    /// The body of an answer.
    type Body: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;

    /// Answers a request.
    fn handle(&self, request: Request<Incoming>) -> impl Future<Output = Response<Self::Body>> + Send;

    /// Notes that a client sent what is no HTTP. It has been refused by a status alone.
    fn on_invalid(&self, _error: &hyper::Error) {}

    /// Notes that a connection was closed because its peer has too many.
    fn on_crowded(&self, _peer: IpAddr) {}
}

/// The connections that are left when a server has ended.
#[derive(Debug)]
pub struct OpenConnections(TaskTracker);

impl OpenConnections {
    /// Waits until all of them are closed. Each is as soon as the request that it has under way is answered.
    pub async fn closed(self) {
        self.0.close();
        self.0.wait().await;
    }
}

/// Serves until `stop` comes, and returns the connections that are left. They go on as long as the runtime does.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    bounds: Bounds,
    handler: H,
    stop: impl Future<Output = ()>,
) -> OpenConnections {
    let (room, peers, tasks) = (Arc::new(Semaphore::new(bounds.connections)), Peers::default(), TaskTracker::new());
    let stopping = CancellationToken::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = async {
            let permit = room.clone().acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, address)) => {
                let peer = address.ip().to_canonical();
                let Some(counted) = peers.connect(peer, bounds.connections_of_a_peer) else {
                    handler.on_crowded(peer);
                    continue;
                };
                let connection = connection(stream, Peer(peer), bounds, handler.clone(), stopping.clone());
                tasks.spawn(async move {
                    connection.await;
                    drop((counted, permit));
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    stopping.cancel();
    OpenConnections(tasks)
}

async fn connection<H: Handler>(
    stream: TcpStream,
    peer: Peer,
    bounds: Bounds,
    handler: H,
    stopping: CancellationToken,
) {
    // Small parts of a stream go out at once, and a client that does not read its answer keeps nothing open for ever.
    let bounded = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(bounds.unread));
    if stream.set_nodelay(true).is_err() || bounded.is_err() {
        return;
    }
    let answers = handler.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let answers = answers.clone();
        Box::pin(async move { Ok::<_, Infallible>(answers.handle(request).await) })
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = stopping.cancelled() => {
            // The request that is under way is answered, and none after it.
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    match ended {
        Ok(()) => {}
        Err(error) if error.is_parse() => handler.on_invalid(&error),
        Err(error) => tracing::debug!(%error, "a connection ended early"),
    }
}
