//! The way of an answer to the client: read beside it, and settled when it has ended.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use http::StatusCode;
use http_body_util::StreamBody;
use hyper::body::Frame;
use reqwest::Response;

use crate::answer::{Answer, Body, BoxError};
use crate::cache::Recording;
use crate::forward::Call;
use crate::headers;
use crate::open::{Ending, Known, OpenCall, Reading};
use crate::screen::{Screening, TooLarge};
use crate::shared::Shared;
use crate::strip::Strip;
use crate::usage::Meter;

/// Lets an answer pass to the client as it comes.
pub(crate) fn pass(shared: &Shared, call: &Call<'_>, mut open: OpenCall, response: Response) -> Answer {
    let (status, said) = (response.status(), response.headers());
    let kind = said.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let streamed = kind.starts_with("text/event-stream");
    let protocol = call.asked.protocol;
    open.reading =
        if streamed { Reading::Stream(Box::new(Meter::new(protocol))) } else { Reading::Whole(protocol, Vec::new()) };
    let headers = headers::downstream(said);
    let strip = (streamed && call.prepared.usage_added).then(Strip::default);
    let screen = call.asked.screen.as_ref();
    let screening = screen.map(|screen| if streamed { screen.events(protocol) } else { screen.document() });
    let idle = Duration::from(call.grant.provider.timeouts.idle);
    let recording = call.cache_key.filter(|_| status == StatusCode::OK).map(|key| shared.cache.record(key, &headers));
    let parts = Parts {
        inner: Box::pin(response.bytes_stream()),
        open,
        changes: Changes { strip, screening: screening.map(Box::new) },
        recording,
        idle,
    };
    Answer { status, headers, body: Body::streamed(StreamBody::new(parts.into_frames())) }
}

/// What is changed of an answer on its way.
struct Changes {
    strip: Option<Strip>,
    screening: Option<Box<Screening>>,
}

impl Changes {
    fn feed(&mut self, part: Bytes) -> Result<Bytes, TooLarge> {
        let part = match &mut self.strip {
            Some(strip) => strip.feed(&part),
            None => part,
        };
        match &mut self.screening {
            Some(screening) => screening.feed(&part),
            None => Ok(part),
        }
    }

    /// Returns what is left at the end.
    fn finish(self) -> Result<Bytes, TooLarge> {
        let rest = self.strip.map(Strip::finish).unwrap_or_default();
        let Some(mut screening) = self.screening else { return Ok(rest) };
        let mut passed = BytesMut::from(screening.feed(&rest)?);
        passed.extend_from_slice(&screening.finish());
        Ok(passed.freeze())
    }
}

/// An answer that comes in parts.
struct Parts<S> {
    inner: S,
    open: OpenCall,
    changes: Changes,
    recording: Option<Recording>,
    idle: Duration,
}

/// How far an answer has come.
enum State<S> {
    Coming(Box<Parts<S>>),
    Broken(BoxError),
    Over,
}

impl<S: Stream<Item = Result<Bytes, reqwest::Error>> + Send + Unpin + 'static> Parts<S> {
    /// Returns what goes to the client. The call is settled when the last part has come, or when nobody takes them any more.
    fn into_frames(self) -> impl Stream<Item = Result<Frame<Bytes>, BoxError>> + Send {
        futures::stream::unfold(State::Coming(Box::new(self)), |state| async {
            match state {
                State::Coming(parts) => parts.next().await,
                State::Broken(error) => {
                    // What was held back has to be on its way, or the error would overtake it.
                    tokio::task::yield_now().await;
                    Some((Err(error), State::Over))
                }
                State::Over => None,
            }
        })
    }

    async fn next(mut self: Box<Self>) -> Option<(Result<Frame<Bytes>, BoxError>, State<S>)> {
        loop {
            match tokio::time::timeout(self.idle, self.inner.next()).await {
                Ok(Some(Ok(part))) => {
                    self.open.reading.feed(&part);
                    let passed = match self.changes.feed(part) {
                        Ok(passed) => passed,
                        Err(error) => return Some(self.broken(error.into()).await),
                    };
                    if let Some(recording) = &mut self.recording {
                        recording.feed(&passed);
                    }
                    if !passed.is_empty() {
                        return Some((Ok(Frame::data(passed)), State::Coming(self)));
                    }
                }
                Ok(None) => return self.whole().await,
                Ok(Some(Err(error))) => return Some(self.broken(error.without_url().into()).await),
                Err(_) => return Some(self.broken("the Provider stopped in the middle of its answer".into()).await),
            }
        }
    }

    /// All of it has come.
    async fn whole(self) -> Option<(Result<Frame<Bytes>, BoxError>, State<S>)> {
        let known = self.open.settle(Ending::Whole).await;
        let rest = match self.changes.finish() {
            Ok(rest) => rest,
            Err(error) => return Some((Err(error.into()), State::Over)),
        };
        if let Some(mut recording) = self.recording.filter(|_| known == Known::Exactly) {
            recording.feed(&rest);
            recording.finish();
        }
        (!rest.is_empty()).then(|| (Ok(Frame::data(rest)), State::Over))
    }

    /// No more of it comes. What was held back goes to the client before the error does.
    async fn broken(self, error: BoxError) -> (Result<Frame<Bytes>, BoxError>, State<S>) {
        let _ = self.open.settle(Ending::Cut).await;
        // Without a filter what has begun of a line stays where it is, as it always did.
        let held =
            if self.changes.screening.is_some() { self.changes.finish().unwrap_or_default() } else { Bytes::new() };
        if held.is_empty() { (Err(error), State::Over) } else { (Ok(Frame::data(held)), State::Broken(error)) }
    }
}
