//! A connection of which nothing is understood yet: what is no HTTP, or does not come, is refused in words as all else is.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use manyworlds_api::provider::Protocol;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::refusal::Reason;

/// How much of the first line is kept. The path says which protocol a client speaks.
const KEPT: usize = 64;
/// How long a client may take for reading its refusal.
const SAYING: Duration = Duration::from_secs(5);

/// A connection that notes how it begins.
///
/// - **Guarantees:** until a request was understood nothing is written but by [`Opening::refuse`]: the HTTP library's own refusals have no body.
pub(crate) struct Opening<S> {
    stream: S,
    begun: Vec<u8>,
    understood: Arc<AtomicBool>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Opening<S> {
    /// Returns a connection. Whoever has a request from it sets `understood`.
    pub(crate) fn new(stream: S, understood: Arc<AtomicBool>) -> Self {
        Self { stream, begun: Vec::new(), understood }
    }

    /// Returns the protocol to refuse in, where something came and none of it was understood.
    pub(crate) fn misunderstood(&self) -> Option<Protocol> {
        (!self.begun.is_empty() && !self.is_understood()).then(|| {
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

    fn is_understood(&self) -> bool {
        self.understood.load(Ordering::Relaxed)
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
        let room = KEPT.saturating_sub(self.begun.len());
        let came = buffer.filled().get(before..).unwrap_or_default();
        self.begun.extend_from_slice(&came[..came.len().min(room)]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Opening<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        if !self.is_understood() {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        if !self.is_understood() {
            return Poll::Ready(Ok(parts.iter().map(|part| part.len()).sum()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
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
