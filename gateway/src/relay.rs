//! The way of an answer to the client. Its usage is read beside it, and the call is settled when it has ended.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use http::StatusCode;
use http_body_util::StreamBody;
use hyper::body::Frame;
use reqwest::Response;

use crate::answered_call::AnsweredCall;
use crate::cache::Recording;
use crate::call::ModelCall;
use crate::headers;
use crate::in_flight::{AnswerEnd, CostCertainty, InFlightCall, UsageReader};
use crate::kept_bytes::{AnswerRoom, KeptBytes};
use crate::redactor::AnswerRedactor;
use crate::response::{Body, BoxError, ClientResponse};
use crate::shared::Shared;
use crate::usage::UsageParser;
use crate::usage_filter::UsageFilter;

/// Relays an answer to the client as it comes.
pub(crate) fn relay(
    shared: &Shared,
    call: &ModelCall<'_>,
    mut in_flight: InFlightCall,
    response: Response,
) -> ClientResponse {
    let (status, upstream_headers) = (response.status(), response.headers());
    let content_type = upstream_headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let streamed = content_type.is_some_and(|kind| kind.starts_with("text/event-stream"));
    let protocol = call.request.protocol;
    let room = shared.answer_room(&call.request.caller.world_uid);
    in_flight.usage = if streamed {
        UsageReader::Stream(Box::new(UsageParser::new(protocol).within(&room)))
    } else {
        UsageReader::Document(protocol, KeptBytes::within(&room))
    };
    let headers = headers::downstream(upstream_headers);
    let usage_filter = (streamed && call.prepared.usage_added).then(|| UsageFilter::within(&room));
    let redactor = call.request.redactor.as_ref();
    let redactor =
        redactor.map(|redactor| if streamed { redactor.events(protocol, &room) } else { redactor.document(&room) });
    let idle = Duration::from(call.grant.provider.timeouts.idle);
    let kept = call.cache_key.filter(|_| status == StatusCode::OK);
    let recording = kept.map(|key| shared.cache.record(key, &headers, &room));
    let total = Duration::from(call.grant.provider.timeouts.total);
    let relay = Relay {
        parts: Box::pin(response.bytes_stream()),
        call: AnsweredCall::new(in_flight, total),
        filters: Filters { usage_filter, redactor: redactor.map(Box::new), room },
        recording,
        idle,
    };
    ClientResponse { status, headers, body: Body::streamed(StreamBody::new(relay.into_frames())) }
}

/// The filters that change an answer on its way.
struct Filters {
    usage_filter: Option<UsageFilter>,
    redactor: Option<Box<AnswerRedactor>>,
    room: AnswerRoom,
}

impl Filters {
    fn feed(&mut self, part: Bytes) -> Result<Bytes, BoxError> {
        let part = match &mut self.usage_filter {
            Some(filter) => filter.feed(&part),
            None => part,
        };
        let passed = match &mut self.redactor {
            Some(redactor) => redactor.feed(&part)?,
            None => part,
        };
        Ok(self.room.hold(passed)?)
    }

    /// Returns what was held back until the end.
    fn finish(self) -> Result<Bytes, BoxError> {
        let rest = self.usage_filter.map(UsageFilter::finish).unwrap_or_default();
        let Some(mut redactor) = self.redactor else { return Ok(self.room.hold(rest)?) };
        let mut passed = BytesMut::from(redactor.feed(&rest)?);
        passed.extend_from_slice(&redactor.finish());
        Ok(self.room.hold(passed.freeze())?)
    }
}

/// An answer that comes in parts.
struct Relay<S> {
    parts: S,
    call: AnsweredCall,
    filters: Filters,
    recording: Option<Recording>,
    idle: Duration,
}

/// The progress of an answer.
enum Progress<S> {
    Coming(Box<Relay<S>>),
    Broken(BoxError),
    Over,
}

impl<S: Stream<Item = Result<Bytes, reqwest::Error>> + Send + Unpin + 'static> Relay<S> {
    /// Returns the frames for the client. The call is settled when the last part has come, or when the frames are dropped.
    fn into_frames(self) -> impl Stream<Item = Result<Frame<Bytes>, BoxError>> + Send {
        futures::stream::unfold(Progress::Coming(Box::new(self)), |progress| async {
            match progress {
                Progress::Coming(relay) => relay.next().await,
                Progress::Broken(error) => {
                    // The part that was held back has to be on its way, or the error would overtake it.
                    tokio::task::yield_now().await;
                    Some((Err(error), Progress::Over))
                }
                Progress::Over => None,
            }
        })
    }

    async fn next(mut self: Box<Self>) -> Option<(Result<Frame<Bytes>, BoxError>, Progress<S>)> {
        loop {
            match tokio::time::timeout(self.idle, self.parts.next()).await {
                Ok(Some(Ok(part))) => {
                    if let Err(overdue) = self.call.feed(&part) {
                        return Some(self.broken(overdue.into()).await);
                    }
                    let passed = match self.filters.feed(part) {
                        Ok(passed) => passed,
                        Err(error) => return Some(self.broken(error).await),
                    };
                    if let Some(recording) = &mut self.recording {
                        recording.feed(&passed);
                    }
                    if !passed.is_empty() {
                        return Some((Ok(Frame::data(passed)), Progress::Coming(self)));
                    }
                }
                Ok(None) => return self.complete().await,
                Ok(Some(Err(error))) => return Some(self.broken(error.without_url().into()).await),
                Err(_) => return Some(self.broken("the Provider stopped in the middle of its answer".into()).await),
            }
        }
    }

    /// Ends an answer of which all has come.
    async fn complete(self) -> Option<(Result<Frame<Bytes>, BoxError>, Progress<S>)> {
        let certainty = match self.call.settle(AnswerEnd::Complete).await {
            Ok(certainty) => certainty,
            Err(overdue) => return Some((Err(overdue.into()), Progress::Over)),
        };
        let rest = match self.filters.finish() {
            Ok(rest) => rest,
            Err(error) => return Some((Err(error), Progress::Over)),
        };
        if let Some(mut recording) = self.recording.filter(|_| certainty == CostCertainty::Exact) {
            recording.feed(&rest);
            recording.finish();
        }
        (!rest.is_empty()).then(|| (Ok(Frame::data(rest)), Progress::Over))
    }

    /// Ends an answer of which no more comes. What the redactor held back goes to the client before the error does.
    async fn broken(self, error: BoxError) -> (Result<Frame<Bytes>, BoxError>, Progress<S>) {
        // One that is overdue has been settled.
        let _ = self.call.settle(AnswerEnd::Cut).await;
        // Without a redactor, only the beginning of an event was held back, which is of no use to a client.
        let held =
            if self.filters.redactor.is_some() { self.filters.finish().unwrap_or_default() } else { Bytes::new() };
        if held.is_empty() { (Err(error), Progress::Over) } else { (Ok(Frame::data(held)), Progress::Broken(error)) }
    }
}
