//! A client that measures: one connection, one call after the other.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use manyworlds_tests::Result;
use serde_json::json;
use tokio::net::TcpStream;

/// The end of a stream, as OpenAI's protocol has it.
const LAST_EVENT: &[u8] = b"data: [DONE]";

/// The target of calls, and the caller.
#[derive(Clone, Debug)]
pub struct Server {
    /// Host and port.
    pub address: String,
    /// The token or key.
    pub key: String,
}

/// The manner of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// In one piece.
    Whole,
    /// As a stream of events.
    Streamed,
}

/// The times of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// The time from the call to the first byte of the answer's body.
    pub first_byte: Duration,
    /// When that byte came.
    pub begun: Instant,
    /// When the answer had come to its end.
    pub ended: Instant,
    /// The longest time between two parts of the answer.
    pub longest_gap: Duration,
}

/// A connection that is kept.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    server: Server,
    body: Bytes,
    manner: Manner,
    headers: HeaderMap,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    ///
    /// When nobody listens.
    pub async fn open(server: &Server, manner: Manner) -> Result<Self> {
        Self::open_for(server, manner, "scripted").await
    }

    /// Connects, to call a model.
    ///
    /// # Errors
    ///
    /// When nobody listens.
    pub async fn open_for(server: &Server, manner: Manner, model: &str) -> Result<Self> {
        let stream = TcpStream::connect(&server.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the sender; what went wrong is told to the call.
        tokio::spawn(connection);
        let text =
            "Name the function in src/parser.py that reads an attribute, and say in one sentence what it returns. ";
        let body = body(model, manner, &text.repeat(8));
        Ok(Self { sender, server: server.clone(), body, manner, headers: HeaderMap::new() })
    }

    /// Has the calls from now on bring a text of so many bytes.
    pub fn bring(&mut self, bytes: usize) {
        self.body = body("scripted", self.manner, &"a".repeat(bytes));
    }

    /// Makes a call and takes the whole answer.
    ///
    /// # Errors
    ///
    /// When the answer is not a success, or breaks off.
    pub async fn call(&mut self) -> Result<Answered> {
        self.sender.ready().await?;
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/chat/completions")
            .header(HOST, &self.server.address)
            .header(AUTHORIZATION, format!("Bearer {}", self.server.key))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(self.body.clone()))?;
        let start = Instant::now();
        let mut response = self.sender.send_request(request).await?;
        let status = response.status();
        let (mut begun, mut tail) = (None, Vec::new());
        let (mut last, mut longest_gap) = (None::<Instant>, Duration::ZERO);
        while let Some(frame) = response.frame().await {
            let Ok(part) = frame?.into_data() else { continue };
            let now = Instant::now();
            begun.get_or_insert(now);
            longest_gap = longest_gap.max(last.replace(now).map_or(Duration::ZERO, |last| now - last));
            // The last event may come in two parts.
            let kept = tail.len().saturating_sub(LAST_EVENT.len() + 4);
            tail.drain(..kept);
            tail.extend_from_slice(&part);
        }
        let ended = Instant::now();
        self.headers = std::mem::take(response.headers_mut());
        if status != StatusCode::OK {
            return Err(format!("{} answered {status}: {}", self.server.address, String::from_utf8_lossy(&tail)).into());
        }
        if self.manner == Manner::Streamed && !tail.windows(LAST_EVENT.len()).any(|window| window == LAST_EVENT) {
            return Err(format!("{} ended a stream without its last event", self.server.address).into());
        }
        let begun = begun.ok_or("an answer without a body")?;
        Ok(Answered { first_byte: begun - start, begun, ended, longest_gap })
    }

    /// Returns a header of the last answer.
    pub fn header(&self, name: &str) -> Option<String> {
        Some(self.headers.get(name)?.to_str().ok()?.to_owned())
    }
}

fn body(model: &str, manner: Manner, text: &str) -> Bytes {
    let body = json!({
        "model": model,
        "max_tokens": 256,
        "stream": manner == Manner::Streamed,
        "messages": [{"role": "system", "content": "You are a careful engineer."}, {"role": "user", "content": text}],
    });
    body.to_string().into()
}
