//! A request on its way to upstream, of which it is known whether it has left, and which can be held back until it does.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Who calls was stopped while the way to upstream was opened.
#[derive(Debug, thiserror::Error)]
#[error("the caller was stopped before the request left")]
pub(crate) struct Stopped;

/// The body of a request.
///
/// - **Guarantees:** the HTTP library takes it once there is a connection; before that nothing of the request can have reached
///   anybody who would answer it. It is asked then whether the call may still be made, and an error ends the connection
///   before anything is written.
pub(crate) struct Outgoing {
    body: Option<Bytes>,
    sent: Arc<AtomicBool>,
    stands: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Outgoing {
    /// Returns a body that sets `sent` when it is taken, and is given only if the call still `stands` then.
    pub(crate) fn of(
        body: Bytes,
        sent: Arc<AtomicBool>,
        stands: impl Fn() -> bool + Send + Sync + 'static,
    ) -> reqwest::Body {
        reqwest::Body::wrap(Self { body: Some(body), sent, stands: Box::new(stands) })
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Stopped;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Stopped>>> {
        if self.body.is_some() && !(self.stands)() {
            return Poll::Ready(Some(Err(Stopped)));
        }
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
