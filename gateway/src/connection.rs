//! A connection on which no request is understood yet, or none after the last: what is no HTTP, or does not come, is refused in
//! words as all else is.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use manyworlds_api::provider::Protocol;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::refusal::Reason;

/// How much of the first line is kept. The path says which protocol a client speaks.
const KEPT: usize = 64;
/// How long a client may take for reading its refusal.
const SAYING: Duration = Duration::from_secs(5);

/// Whose turn it is on a connection: the client's, or, from the moment a request was understood, the answer's. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns(Arc<AtomicUsize>);

impl Turns {
    /// Begins the turn of an answer, which lasts as long as what is returned.
    pub(crate) fn answer(&self) -> Answering {
        self.0.fetch_add(1, Ordering::Relaxed);
        Answering(self.clone())
    }

    /// Returns the number of the client's turn, if it is its own.
    fn of_client(&self) -> Option<usize> {
        Some(self.0.load(Ordering::Relaxed)).filter(|turn| turn.is_multiple_of(2))
    }
}

/// An answer that is being given.
#[derive(Debug)]
pub(crate) struct Answering(Turns);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The body of an answer, whose turn ends with it.
pub(crate) struct Answered<B> {
    body: B,
    _turn: Answering,
}

impl<B> Answered<B> {
    pub(crate) fn new(body: B, turn: Answering) -> Self {
        Self { body, _turn: turn }
    }
}

impl<B: hyper::body::Body + Unpin> hyper::body::Body for Answered<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<hyper::body::Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

/// A connection that notes how each request begins.
///
/// - **Guarantees:** from the first byte of a request until it was understood nothing is written but by [`Opening::refuse`]: the HTTP
///   library's own refusals have no body. Of the answer before it nothing is held back.
pub(crate) struct Opening<S> {
    stream: S,
    begun: Vec<u8>,
    /// The client's turn in which `begun` came.
    heard: Option<usize>,
    /// Whether a part of an answer waits to be written.
    holds: Holds,
    turns: Turns,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Nothing,
    Parts,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Opening<S> {
    /// Returns a connection. Whoever has a request from it begins the turn of its answer.
    pub(crate) fn new(stream: S, turns: Turns) -> Self {
        Self { stream, begun: Vec::new(), heard: None, holds: Holds::Nothing, turns }
    }

    /// Returns the protocol to refuse in, where something came and none of it was understood.
    pub(crate) fn misunderstood(&self) -> Option<Protocol> {
        self.is_heard().then(|| {
            let path = self.begun.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
            protocol_of_path(path).unwrap_or(Protocol::OpenAi)
        })
    }

    /// Says why nothing more will be read.
    pub(crate) async fn refuse(&mut self, reason: &Reason, protocol: Protocol) {
        let (status, body) = (reason.status(), reason.body(protocol).to_string());
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nx-should-retry: false\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        // A client that does not listen has chosen so.
        let _ = tokio::time::timeout(SAYING, self.stream.write_all(answer.as_bytes())).await;
    }

    /// Ends the connection.
    pub(crate) async fn close(mut self) {
        // It may have ended already.
        let _ = self.stream.shutdown().await;
    }

    /// Returns whether a part of a request came in this turn and no request was understood since.
    fn is_heard(&self) -> bool {
        self.heard.is_some() && self.heard == self.turns.of_client()
    }

    /// Notes how a request begins.
    fn hear(&mut self, came: &[u8]) {
        let Some(turn) = self.turns.of_client().filter(|_| !came.is_empty()) else { return };
        if self.heard != Some(turn) {
            // The HTTP library writes all it has before it reads on, unless the client does not take it.
            if self.holds == Holds::Parts {
                return;
            }
            self.heard = Some(turn);
            self.begun.clear();
        }
        let room = KEPT.saturating_sub(self.begun.len());
        self.begun.extend_from_slice(&came[..came.len().min(room)]);
    }

    /// Notes whether all was written.
    fn wrote(&mut self, written: &Poll<Result<usize>>, length: usize) {
        let all = matches!(written, Poll::Ready(Ok(count)) if *count == length);
        self.holds = if all { Holds::Nothing } else { Holds::Parts };
    }
}

/// Returns the protocol to which a path belongs, as far as it says so.
pub(crate) fn protocol_of_path(path: &[u8]) -> Option<Protocol> {
    const BEGINNINGS: [(&[u8], Protocol); 6] = [
        (b"/v1beta", Protocol::Gemini),
        (b"/v1/messages", Protocol::Anthropic),
        (b"/v1/chat/", Protocol::OpenAi),
        (b"/v1/completions", Protocol::OpenAi),
        (b"/v1/responses", Protocol::OpenAi),
        (b"/v1/embeddings", Protocol::OpenAi),
    ];
    BEGINNINGS.into_iter().find(|(beginning, _)| path.starts_with(beginning)).map(|(_, protocol)| protocol)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Opening<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.hear(buffer.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Opening<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        if self.is_heard() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(&written, bytes.len());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let length = parts.iter().map(|part| part.len()).sum();
        if self.is_heard() {
            return Poll::Ready(Ok(length));
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.wrote(&written, length);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
