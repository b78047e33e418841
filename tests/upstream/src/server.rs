//! The server itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use axum::serve::ListenerExt;
use axum::{Router, routing};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::conversation::{Conversation, Form};
use crate::limit::Window;
use crate::render::{self, Rendered};
use crate::script::{Reply, Script};

/// The number of calls that are recorded. Later ones are only counted.
const RECORDED: usize = 10_000;
const LARGEST: usize = 64 * 1024 * 1024;

/// One call that arrived.
#[derive(Clone, Debug)]
pub struct Call {
    /// Path and query.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// The model that it names.
    pub model: String,
    /// Its body.
    pub body: Bytes,
    /// The status of the answer.
    pub status: u16,
}

/// A running server. Dropping it ends the server.
pub struct Upstream {
    state: Arc<Shared>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

struct Shared {
    progress: Mutex<Progress>,
}

/// The script, and what has arrived so far.
#[derive(Default)]
struct Progress {
    script: Script,
    window: Window,
    /// The recorded calls.
    calls: Vec<Call>,
    number: u64,
    by_model: BTreeMap<String, u64>,
    refused: u64,
}

impl Upstream {
    /// Starts a server on a loopback port of its own.
    ///
    /// # Errors
    ///
    /// When there is no port.
    pub async fn start(script: Script) -> std::io::Result<Self> {
        Self::listen(script, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts a server at an address.
    ///
    /// # Errors
    ///
    /// When the server cannot listen at the address.
    pub async fn listen(script: Script, address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Shared { progress: Mutex::new(Progress { script, ..Progress::default() }) });
        let router = Router::new()
            .route("/_calls", routing::get(record))
            .route("/_reset", routing::post(reset))
            .route("/_script", routing::post(replace))
            .fallback(answer)
            .layer(DefaultBodyLimit::max(LARGEST))
            .with_state(state.clone());
        let task = tokio::spawn(async move {
            // Parts of a stream go out at once; where that cannot be set, they go out later.
            let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
            // It ends when the task is ended.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { state, address, task })
    }

    /// Returns the address, as `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the calls that have arrived.
    pub fn calls(&self) -> Vec<Call> {
        self.state.progress().calls.clone()
    }

    /// Returns how many calls have arrived, also those that are no longer recorded.
    pub fn count(&self) -> u64 {
        self.state.progress().number
    }

    /// Returns how many calls for a model have arrived.
    pub fn count_of(&self, model: &str) -> u64 {
        self.state.progress().by_model.get(model).copied().unwrap_or_default()
    }

    /// Returns how many calls were refused by the server's own rate limit.
    pub fn refused(&self) -> u64 {
        self.state.progress().refused
    }

    /// Replaces the script.
    pub fn set_script(&self, script: Script) {
        self.state.progress().script = script;
    }

    /// Waits until the server ends.
    pub async fn ended(mut self) {
        // Only its own end is waited for.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn record(State(state): State<Arc<Shared>>) -> axum::response::Response {
    let progress = state.progress();
    let calls =
        progress.calls.iter().map(|call| json!({"path": call.path, "model": call.model, "status": call.status}));
    let calls: Vec<Value> = calls.collect();
    json_response(
        StatusCode::OK,
        &json!({"count": progress.number, "models": progress.by_model, "refused": progress.refused, "calls": calls})
            .to_string(),
    )
}

async fn reset(State(state): State<Arc<Shared>>) {
    let mut progress = state.progress();
    let script = std::mem::take(&mut progress.script);
    *progress = Progress { script, ..Progress::default() };
}

async fn replace(State(state): State<Arc<Shared>>, body: String) -> Response {
    match Script::read(&body) {
        Ok(script) => {
            state.progress().script = script;
            json_response(StatusCode::OK, "{}")
        }
        Err(error) => json_response(StatusCode::BAD_REQUEST, &json!({"error": error.to_string()}).to_string()),
    }
}

async fn answer(
    State(state): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some((form, model, streamed)) = form(uri.path()) else {
        return match (method, uri.path()) {
            (Method::GET, "/v1/models") => {
                let anthropic = headers.contains_key("anthropic-version");
                let protocol = if anthropic { Form::Messages } else { Form::Chat };
                let models = state.progress().script.listed(protocol);
                json_response(StatusCode::OK, &json!({"object": "list", "data": models}).to_string())
            }
            _ => json_response(StatusCode::NOT_FOUND, r#"{"error":{"message":"no such path"}}"#),
        };
    };
    let conversation = Conversation::read(form, model, streamed, &body);
    let (reply, number, limited) = state.decide(conversation.as_ref(), &uri, headers, body);
    let Some(conversation) = conversation else {
        return json_response(StatusCode::BAD_REQUEST, &render::failure(form, 400).to_string());
    };
    if let Some(limited) = limited {
        return with_headers(
            json_response(StatusCode::TOO_MANY_REQUESTS, &render::failure(form, 429).to_string()),
            &limited,
        );
    }
    if reply.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(reply.delay_ms)).await;
    }
    let headers: Vec<_> = reply.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let status = reply.status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::OK);
    if let Some(body) = &reply.body {
        return with_headers(json_response(status, body), &headers);
    }
    if !status.is_success() {
        return with_headers(json_response(status, &render::failure(form, status.as_u16()).to_string()), &headers);
    }
    let response = match render::render(&conversation, &reply, number) {
        Rendered::Whole(text) => json_response(status, &text),
        Rendered::Stream(events) => stream(events, &reply),
    };
    with_headers(response, &headers)
}

impl Shared {
    /// Finds the reply, counts and records the call.
    fn decide(
        &self,
        conversation: Option<&Conversation>,
        uri: &Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> (Reply, u64, Option<Vec<(String, String)>>) {
        let mut progress = self.progress();
        progress.number += 1;
        let number = progress.number;
        let reply = if progress.script.key.as_ref().is_some_and(|key| keys(&headers) != [key.as_str()]) {
            Reply { status: Some(401), ..Reply::default() }
        } else {
            conversation.map(|conversation| progress.script.reply(conversation)).unwrap_or_default()
        };
        let mut limited = None;
        if let (Some(limit), Some(conversation)) = (progress.script.rate_limit, conversation) {
            let used = reply.used(conversation);
            if let Err(wait) = progress.window.take(Instant::now(), limit, used.input + used.output) {
                progress.refused += 1;
                let (requests, tokens) = progress.window.left(limit);
                limited = Some(vec![
                    ("retry-after-ms".to_owned(), wait.as_millis().to_string()),
                    ("retry-after".to_owned(), wait.as_secs_f64().ceil().to_string()),
                    ("x-ratelimit-limit-requests".to_owned(), limit.requests.to_string()),
                    ("x-ratelimit-remaining-requests".to_owned(), requests.to_string()),
                    ("x-ratelimit-remaining-tokens".to_owned(), tokens.to_string()),
                ]);
            }
        }
        let status = if limited.is_some() { 429 } else { reply.status.unwrap_or(200) };
        let model = conversation.map(|conversation| conversation.model.clone()).unwrap_or_default();
        *progress.by_model.entry(model.clone()).or_default() += 1;
        if progress.calls.len() < RECORDED {
            let path = uri.path_and_query().map(ToString::to_string).unwrap_or_default();
            progress.calls.push(Call { path, headers, model, body, status });
        }
        (reply, number, limited)
    }
}

/// Returns the keys that a call brings. A key that is no text is an empty one.
fn keys(headers: &HeaderMap) -> Vec<&str> {
    let all = ["authorization", "x-api-key", "x-goog-api-key"].into_iter().flat_map(|name| headers.get_all(name));
    all.map(|value| value.to_str().unwrap_or_default()).map(|key| key.strip_prefix("Bearer ").unwrap_or(key)).collect()
}

fn form(path: &str) -> Option<(Form, Option<&str>, bool)> {
    let plain = |form| Some((form, None, false));
    match path.strip_prefix("/v1").unwrap_or(path) {
        "/chat/completions" => plain(Form::Chat),
        "/responses" => plain(Form::Responses),
        "/completions" => plain(Form::Completions),
        "/embeddings" => plain(Form::Embeddings),
        "/messages" => plain(Form::Messages),
        "/messages/count_tokens" => plain(Form::CountTokens),
        _ => match path.strip_prefix("/v1beta/models/")?.rsplit_once(':')? {
            (model, "generateContent") => Some((Form::Gemini, Some(model), false)),
            (model, "streamGenerateContent") => Some((Form::Gemini, Some(model), true)),
            (model, "countTokens") => Some((Form::GeminiCount, Some(model), false)),
            _ => None,
        },
    }
}

fn stream(events: Vec<String>, reply: &Reply) -> Response {
    let (cut, pause) = (reply.cut_after, Duration::from_millis(reply.pause_ms));
    let last = cut.unwrap_or(usize::MAX);
    let broken = cut.map(|_| Err(std::io::Error::other("cut by the script")));
    let parts = events.into_iter().take(last).map(|event| Ok(Bytes::from(event))).chain(broken);
    let body = if pause.is_zero() && cut.is_none() {
        // Without a pause, one part is what a fast server would send.
        let all: Result<Vec<_>, std::io::Error> = parts.collect();
        Body::from(all.unwrap_or_default().concat())
    } else {
        let parts: Vec<_> = parts.collect();
        Body::from_stream(futures::stream::iter(parts).enumerate().then(move |(index, part)| async move {
            if index > 0 {
                tokio::time::sleep(pause).await;
            }
            part
        }))
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    response
}

fn json_response(status: StatusCode, text: &str) -> Response {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn with_headers(mut response: Response, headers: &[(String, String)]) -> Response {
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(script: &str, headers: &[(&'static str, &'static str)]) -> u16 {
        let inner =
            Shared { progress: Mutex::new(Progress { script: Script::read(script).unwrap(), ..Progress::default() }) };
        let headers =
            headers.iter().map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let body = Bytes::from_static(br#"{"model":"m","messages":[]}"#);
        let conversation = Conversation::read(Form::Chat, None, false, &body);
        let uri = Uri::from_static("/v1/chat/completions");
        inner.decide(conversation.as_ref(), &uri, headers.collect(), body);
        inner.progress().calls[0].status
    }

    #[test]
    fn a_call_is_let_in_with_the_key_alone() {
        let script = r#"{"key": "right"}"#;
        assert_eq!(call(script, &[("authorization", "Bearer right")]), 200);
        assert_eq!(call(script, &[("x-api-key", "right")]), 200);
        assert_eq!(call(script, &[("x-api-key", "wrong")]), 401);
        assert_eq!(call(script, &[]), 401);
        assert_eq!(call(script, &[("x-api-key", "right"), ("x-goog-api-key", "of a World")]), 401);
        assert_eq!(call("{}", &[]), 200);
    }
}
