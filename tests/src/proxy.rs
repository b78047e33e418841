//! A reverse proxy between the operator and the API server that counts writes and can stop the world after any of them.
//!
//! ```text
//! operator --http--> Proxy --https, the operator's token--> API server
//! ```

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::Result;

/// The point at which the proxy stops everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nowhere.
    Never,
    /// Once the operator has the answer to its write of this number, counted from 1.
    AfterAnswer(usize),
    /// Once the API server has done the write of this number, before the operator hears of it.
    BeforeAnswer(usize),
}

impl Cut {
    /// Returns the number of the write at which the proxy stops.
    pub const fn number(self) -> usize {
        match self {
            Self::Never => usize::MAX,
            Self::AfterAnswer(number) | Self::BeforeAnswer(number) => number,
        }
    }
}

/// One write of the operator that the API server has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Verb of HTTP.
    pub method: Method,
    /// Path without the query.
    pub path: String,
    /// The answer of the API server.
    pub status: StatusCode,
}

/// A running proxy; it ends when the guard goes.
pub struct Proxy {
    /// Host and port on which it listens.
    pub address: String,
    state: Arc<State>,
    /// Aborts every connection when it is dropped.
    _connections: JoinSet<()>,
}

struct State {
    client: Client,
    cut: Cut,
    begun: Mutex<usize>,
    writes: Mutex<Vec<Write>>,
    frozen: watch::Sender<bool>,
}

impl Proxy {
    /// Starts a proxy that speaks to the API server with the rights of `client`.
    ///
    /// # Errors
    ///
    /// When no port is free.
    pub async fn start(client: Client, cut: Cut) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let state = Arc::new(State {
            client,
            cut,
            begun: Mutex::default(),
            writes: Mutex::default(),
            frozen: watch::Sender::new(false),
        });
        let mut connections = JoinSet::new();
        connections.spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { address, state, _connections: connections })
    }

    /// Waits until the proxy has stopped everything.
    pub async fn frozen(&self) {
        // The sender lives as long as the proxy, so waiting cannot fail.
        let _ = self.state.frozen.subscribe().wait_for(|frozen| *frozen).await;
    }

    /// Returns the writes that the API server has answered so far.
    pub fn writes(&self) -> Vec<Write> {
        lock(&self.state.writes).clone()
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&state)));
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    let answer = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(state.answer(request).await.unwrap_or_else(|error| bad_gateway(&error))) }
    });
    // A connection that breaks is what this proxy is for: the operator is being killed.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>> {
        if request.method() == Method::GET || request.method() == Method::HEAD {
            return self.forward(request).await;
        }
        let number = self.next_number();
        if number > self.cut.number() {
            return std::future::pending().await;
        }
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.forward(request).await?;
        lock(&self.writes).push(Write { method, path, status: response.status() });
        if number == self.cut.number() {
            self.frozen.send_replace(true);
            if matches!(self.cut, Cut::BeforeAnswer(_)) {
                return std::future::pending().await;
            }
        }
        Ok(response)
    }

    async fn forward(&self, request: Request<Incoming>) -> Result<Response<Body>> {
        let (mut head, body) = request.into_parts();
        for header in [HOST, CONNECTION, TRANSFER_ENCODING] {
            head.headers.remove(header);
        }
        let body = body.collect().await?.to_bytes();
        let mut response = self.client.send(Request::from_parts(head, Body::from(body))).await?;
        response.headers_mut().remove(TRANSFER_ENCODING);
        response.headers_mut().remove(CONNECTION);
        Ok(response)
    }

    /// Gives every write a number in the order in which they come.
    fn next_number(&self) -> usize {
        let mut begun = lock(&self.begun);
        *begun += 1;
        *begun
    }
}

fn bad_gateway(error: &crate::Error) -> Response<Body> {
    let mut response = Response::new(Body::from(error.to_string().into_bytes()));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A panic elsewhere leaves plain lists and counters behind, which are still right.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
