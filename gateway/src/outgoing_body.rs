//! The body of a request on its way upstream. It tells whether the request has left, and can be held back until then.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// The caller was stopped while the connection to upstream was opened.
#[derive(Debug, thiserror::Error)]
#[error("the caller was stopped before the request left")]
pub(crate) struct Stopped;

/// The body of a request.
///
/// - **Guarantees:** the HTTP library takes the body once there is a connection. Before that, nothing of the request has reached
///   anybody. At that moment the body asks whether the call may still be made. If not, an error ends the connection before
///   anything is written.
pub(crate) struct OutgoingBody {
    body: Option<Bytes>,
    sent: Arc<AtomicBool>,
    may_leave: Box<dyn Fn() -> bool + Send + Sync>,
}

impl OutgoingBody {
    /// Returns a body that sets `sent` when it is taken. It is given only if it still `may_leave` then.
    pub(crate) fn of(
        body: Bytes,
        sent: Arc<AtomicBool>,
        may_leave: impl Fn() -> bool + Send + Sync + 'static,
    ) -> reqwest::Body {
        reqwest::Body::wrap(Self { body: Some(body), sent, may_leave: Box::new(may_leave) })
    }
}

impl Body for OutgoingBody {
    type Data = Bytes;
    type Error = Stopped;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Stopped>>> {
        if self.body.is_some() && !(self.may_leave)() {
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
