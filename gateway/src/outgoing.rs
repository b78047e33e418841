//! A request on its way to upstream, of which it is known whether it has left.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// The body of a request.
///
/// - **Guarantees:** the HTTP library takes it once there is a connection and the head is written; before that nothing of the
///   request can have reached anybody who would answer it.
pub(crate) struct Outgoing {
    body: Option<Bytes>,
    sent: Arc<AtomicBool>,
}

impl Outgoing {
    /// Returns a body that sets `sent` when it is taken.
    pub(crate) fn of(body: Bytes, sent: Arc<AtomicBool>) -> reqwest::Body {
        reqwest::Body::wrap(Self { body: Some(body), sent })
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.sent.store(true, Ordering::Relaxed);
        Poll::Ready(self.body.take().map(|body| Ok(Frame::data(body))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.body.as_ref().map_or(0, |body| u64::try_from(body.len()).unwrap_or(u64::MAX)))
    }
}
