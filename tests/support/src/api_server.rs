//! An API server that answers as a test tells it, for clients in this process and for programs.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::Response;
use futures::future::BoxFuture;
use futures::{FutureExt, stream};
use http::{Method, StatusCode, Uri, header};
use serde_json::{Value, json};

/// A request that has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Its method.
    pub method: Method,
    /// Its path, without what follows `?`.
    pub path: String,
    /// The query, after `?`; empty where there is none.
    pub query: String,
    /// Its body; `null` where it has none.
    pub body: Value,
}

impl Call {
    /// Returns whether it asks for a list, or for one object.
    pub fn is_read(&self) -> bool {
        self.method == Method::GET
    }
}

/// An answer to a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A status and a text.
    Text(StatusCode, String),
    /// Nothing, for as long as the client waits.
    Nothing,
}

impl Answer {
    /// Returns an object.
    pub fn object(object: &Value) -> Self {
        Self::Text(StatusCode::OK, object.to_string())
    }

    /// Returns a list of objects.
    pub fn list(items: &[Value]) -> Self {
        let metadata = json!({ "resourceVersion": "1" });
        Self::object(&json!({ "apiVersion": "v1", "kind": "List", "metadata": metadata, "items": items }))
    }
}

type Answers = Arc<dyn Fn(Call) -> BoxFuture<'static, Answer> + Send + Sync>;

/// A running API server. It ends with the guard.
///
/// - **Guarantees:** watches are opened and tell of nothing; every other request goes to the test.
pub struct ApiServer {
    /// The address at which it listens.
    pub address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
    /// Held for its end: the server stops when it is dropped.
    _end: tokio::sync::oneshot::Sender<()>,
}

impl ApiServer {
    /// Starts a server on a thread of its own, so that a test that blocks has it as well.
    ///
    /// # Errors
    ///
    /// When no port is free, or no runtime can be made.
    pub fn start<F>(answers: impl Fn(Call) -> F + Send + Sync + 'static) -> io::Result<Self>
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let calls = Arc::<Mutex<Vec<Call>>>::default();
        let answers: Answers = Arc::new(move |call| answers(call).boxed());
        let seen = Arc::clone(&calls);
        let router = Router::new().fallback(move |method: Method, uri: Uri, body: Bytes| {
            let (answers, seen) = (Arc::clone(&answers), Arc::clone(&seen));
            async move { respond(&answers, &seen, method, &uri, &body).await }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (end, ended) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                tokio::select! {
                    served = axum::serve(listener, router) => served,
                    _ = ended => Ok(()),
                }
            })
        });
        Ok(Self { address, calls, _end: end })
    }

    /// Returns the URL at which it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the requests that have come, in their order.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the requests that were no reads, in the order in which they came.
    pub fn writes(&self) -> Vec<Call> {
        self.calls().into_iter().filter(|call| !call.is_read()).collect()
    }
}

/// Returns the text of a kubeconfig for an API server at a URL.
///
/// - **Shape:** its user is known by the token `secret`; its namespace is `team`.
pub fn kubeconfig(url: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "c", "cluster": { "server": url } }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u", "namespace": "team" } }],
        "users": [{ "name": "u", "user": { "token": "secret" } }],
    })
    .to_string()
}

async fn respond(answers: &Answers, seen: &Mutex<Vec<Call>>, method: Method, uri: &Uri, body: &[u8]) -> Response {
    let query = uri.query().unwrap_or_default().to_owned();
    let body = serde_json::from_slice(body).unwrap_or_default();
    let call = Call { method, path: uri.path().to_owned(), query, body };
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(call.clone());
    if call.query.contains("watch=") {
        return Response::new(Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()));
    }
    let Answer::Text(status, text) = answers(call).await else { return pending().await };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn send(server: &ApiServer, request: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn it_answers_as_it_is_told_and_knows_what_was_written() {
        let server = ApiServer::start(async |call: Call| Answer::object(&json!({ "seen": call.path }))).unwrap();
        let read = send(&server, "GET /a?b=c HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert!(read.starts_with("HTTP/1.1 200") && read.ends_with(r#"{"seen":"/a"}"#), "{read}");
        assert_eq!(server.writes(), []);
        send(&server, "POST /w HTTP/1.1\r\nhost: x\r\ncontent-length: 7\r\nconnection: close\r\n\r\n{\"n\":1}").await;
        let [write] = &server.writes()[..] else { panic!("{:?}", server.writes()) };
        assert_eq!((&write.method, write.path.as_str(), &write.body), (&Method::POST, "/w", &json!({ "n": 1 })));
    }
}
