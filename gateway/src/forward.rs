//! The attempts of a call at one model, until one is answered.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use manyworlds_ledger::CallOutcome;
use manyworlds_metering::price;
use manyworlds_metering::rate_window::UpstreamLimit;
use reqwest::{Client, Response, Url};
use serde_json::Value;

use crate::access::Access;
use crate::admission::{self, Candidate};
use crate::call::{ModelCall, RetryState};
use crate::client::{causes, innermost_cause};
use crate::endpoint::EndpointError;
use crate::in_flight::{AnswerEnd, InFlightCall};
use crate::kept_bytes::{AnswerRoom, KeptBytes};
use crate::outgoing_body::{OutgoingBody, Stopped};
use crate::redactor::Redactor;
use crate::refusal::Refusal;
use crate::response::{Body, ClientResponse};
use crate::retry::{self, Failure};
use crate::shared::Shared;
use crate::{headers, limits, relay};

/// The largest answer of a failure, in bytes. The rest is cut off.
const LARGEST_FAILURE: usize = 256 * 1024;
/// The pause of all calls to a Provider after it said that money or quota is used up.
const OUT_OF_CREDIT: jiff::SignedDuration = jiff::SignedDuration::from_secs(30);
/// The header in which the official clients count their own retries.
const RETRY_COUNT: &str = "x-stainless-retry-count";

/// The result of one attempt.
enum Attempt {
    /// An answer that goes to the client as it comes.
    Answered(ClientResponse),
    /// A failure that may be tried again.
    Again(FailedAttempt),
    /// A failure that may not.
    Final(FailedAttempt),
    /// The request was held back: the caller was stopped.
    Stopped,
}

struct FailedAttempt {
    failure: Failure,
    /// Upstream's own answer, where it gave any.
    answer: Option<(StatusCode, HeaderMap, Bytes)>,
    /// The time after which upstream wants the next attempt.
    retry_after: Option<Duration>,
}

/// Makes a call: as many attempts as may be, within one total time.
pub(crate) async fn forward<A: Access>(
    shared: &Arc<Shared>,
    access: &Arc<A>,
    call: ModelCall<'_>,
    retries: &mut RetryState,
) -> Result<ClientResponse, Refusal> {
    let (request, provider) = (call.request, &call.grant.provider);
    let client = shared.clients.get(Duration::from(provider.timeouts.connect)).map_err(|error| {
        tracing::error!(%error, "no client");
        Refusal::Unavailable
    })?;
    let url = url(&call)?;
    let headers = headers::upstream(&request.headers, request.protocol, call.grant.key.as_ref())
        .map_err(|_| Refusal::Request("a header has characters that none may have".to_owned()))?;
    let made = request.headers.get(RETRY_COUNT).and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0);
    let most = retry::attempts_left(u32::try_from(provider.retries.max_attempts).unwrap_or(1), made);
    let total = later(retries.begun(), Duration::from(provider.timeouts.total));
    let deadline = later(retries.begun(), Duration::from(provider.limits.max_wait)).min(total);
    let candidate = Candidate {
        caller: &request.caller,
        grant: &call.grant,
        estimate: price::estimate(&call.grant.model.prices, call.prepared.request),
        single: price::estimate(&call.grant.model.prices, call.prepared.single()),
        deadline,
    };
    loop {
        let mut in_flight = admission::admit(shared, &**access, &candidate).await?;
        in_flight.retries = retries.attempts();
        retries.count_attempt();
        let number = retries.attempts();
        let chance = in_flight.chance();
        let may_leave = {
            let (access, caller) = (access.clone(), request.caller.clone());
            move || access.may_call(&caller).is_ok()
        };
        let body = OutgoingBody::of(call.prepared.body.clone(), in_flight.sent(), may_leave);
        let outgoing = OutgoingRequest { client: &client, url: url.clone(), headers: headers.clone(), body, total };
        let failed = match attempt(shared, &call, in_flight, outgoing).await {
            Attempt::Answered(answer) => return Ok(answer),
            Attempt::Final(failed) => return refused(failed, request.redactor.as_ref(), ClientRetries::None),
            Attempt::Again(failed) => failed,
            Attempt::Stopped => return Err(Refusal::Stopped),
        };
        let wait = retry::wait(number, chance, failed.retry_after);
        if number >= most || later(Timestamp::now(), wait) >= deadline {
            let leaves = failed.failure == Failure::RateLimited && retries.leaves_retries() && number < most;
            let client_retries = if leaves { ClientRetries::Left } else { ClientRetries::None };
            return refused(failed, request.redactor.as_ref(), client_retries);
        }
        tracing::debug!(provider = call.grant.provider_key, number, ?wait, "a call failed and is made again");
        tokio::time::sleep(wait).await;
    }
}

fn url(call: &ModelCall<'_>) -> Result<Url, Refusal> {
    let path = call.endpoint.upstream_path().ok_or(Refusal::Endpoint(EndpointError::Unknown))?;
    let query = call.request.query.as_deref().and_then(headers::query);
    let base = Url::parse(&call.grant.provider.base_url);
    // A name or password in it would go out as a header besides the Provider's own key.
    let mut url =
        base.ok().filter(|base| base.username().is_empty() && base.password().is_none()).ok_or_else(|| {
            Refusal::Request("the Provider's baseUrl is no URL, or one with a name or password in it".to_owned())
        })?;
    let path = format!("{}{path}", url.path().trim_end_matches('/'));
    // Setting a path and a query cannot lead elsewhere than the Provider's own address.
    url.set_path(&path);
    url.set_query(query.as_deref());
    Ok(url)
}

/// A request with all that is needed to send it once.
struct OutgoingRequest<'a> {
    client: &'a Client,
    url: Url,
    headers: HeaderMap,
    body: reqwest::Body,
    total: Timestamp,
}

async fn attempt(
    shared: &Arc<Shared>,
    call: &ModelCall<'_>,
    mut in_flight: InFlightCall,
    outgoing: OutgoingRequest<'_>,
) -> Attempt {
    let timeouts = &call.grant.provider.timeouts;
    let left = Duration::try_from(outgoing.total.duration_since(Timestamp::now())).unwrap_or_default();
    let first_byte = Duration::from(timeouts.first_byte).min(left);
    let request = outgoing.client.post(outgoing.url).headers(outgoing.headers).body(outgoing.body).send();
    let response = match tokio::time::timeout(first_byte, request).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) if causes(&error).any(<dyn std::error::Error>::is::<Stopped>) => {
            in_flight.release().await;
            return Attempt::Stopped;
        }
        Ok(Err(error)) => return no_answer(shared, call, in_flight, &innermost_cause(error)).await,
        Err(_) => return no_answer(shared, call, in_flight, "its answer has not begun in time").await,
    };
    let status = response.status();
    in_flight.answer_begins(status.as_u16());
    let now = Timestamp::now();
    let remaining = limits::remaining(response.headers(), now);
    if status.is_success() {
        // Only a limit that is close to its end slows anybody down.
        let scarce: Vec<_> = remaining.into_iter().filter(|remaining| remaining.left < remaining.limit / 2).collect();
        if !scarce.is_empty() {
            // The answer does not wait for it.
            let (shared, provider) = (shared.clone(), call.grant.provider_key.clone());
            tokio::spawn(async move { note_limits(&shared, provider, now, scarce, None).await });
        }
        return Attempt::Answered(relay::relay(shared, call, in_flight, response));
    }
    if status.is_redirection() {
        // It leads to another place than the Provider's.
        let _ = in_flight.settle(AnswerEnd::Failed(CallOutcome::Faulty)).await;
        return Attempt::Final(FailedAttempt { failure: Failure::Request, answer: None, retry_after: None });
    }
    let room = shared.answer_room(&call.request.caller.world_uid);
    let (headers, body) = (response.headers().clone(), read(response, Duration::from(timeouts.idle), &room).await);
    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
    let failure = Failure::of(call.request.protocol, status.as_u16(), &value).unwrap_or(Failure::Request);
    let wished = limits::not_before(&headers, now);
    let not_before = match failure {
        Failure::RateLimited => wished,
        Failure::Quota => Some(now + OUT_OF_CREDIT),
        _ => None,
    };
    let _ = in_flight.settle(AnswerEnd::Failed(outcome(failure))).await;
    if let (Failure::RateLimited, Some(until)) = (failure, not_before) {
        shared.waits.record_pause(&call.request.caller, &call.grant.provider_key, now, until);
    }
    if not_before.is_some() || !remaining.is_empty() {
        note_limits(shared, call.grant.provider_key.clone(), now, remaining, not_before).await;
    }
    let retry_after = wished.and_then(|at| Duration::try_from(at.duration_since(now)).ok());
    let failed = FailedAttempt { failure, answer: Some((status, headers, body)), retry_after };
    if failure.may_be_tried_again() { Attempt::Again(failed) } else { Attempt::Final(failed) }
}

/// Settles a call that was not answered. If it went out, upstream may be at work on it. Then it counts at its upper bound, and so
/// does each attempt after it.
async fn no_answer(shared: &Shared, call: &ModelCall<'_>, in_flight: InFlightCall, cause: &str) -> Attempt {
    let provider = &call.grant.provider_key;
    if shared.queue(provider).should_log_outage(Timestamp::now()) {
        tracing::warn!(provider, cause, "the Provider gave no answer");
    }
    let _ = in_flight.settle(AnswerEnd::Missing).await;
    Attempt::Again(FailedAttempt { failure: Failure::Outage, answer: None, retry_after: None })
}

const fn outcome(failure: Failure) -> CallOutcome {
    match failure {
        Failure::Outage => CallOutcome::Outage,
        Failure::Busy | Failure::RateLimited => CallOutcome::Refused,
        Failure::Quota | Failure::Credential | Failure::Request => CallOutcome::Faulty,
    }
}

/// Tells the ledger what upstream said of its limits.
async fn note_limits(
    shared: &Shared,
    provider: String,
    now: Timestamp,
    remaining: Vec<UpstreamLimit>,
    not_before: Option<Timestamp>,
) {
    if let Err(error) = shared.ledger.record_upstream_limits(provider, now, remaining, not_before).await {
        tracing::error!(%error, "what upstream said of its limits could not be noted");
    }
}

/// The client's own retries of a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientRetries {
    /// It may, as it sees fit.
    Left,
    /// It may not: that was done here, or is of no use.
    None,
}

/// Passes upstream's own failure on to the client.
fn refused(
    failed: FailedAttempt,
    redactor: Option<&Redactor>,
    retries: ClientRetries,
) -> Result<ClientResponse, Refusal> {
    let Some((status, headers, body)) = failed.answer else { return Err(Refusal::Upstream) };
    let headers = headers::downstream(&headers);
    let body = if let Some(redactor) = redactor { redactor.answer(body) } else { body };
    let mut answer = ClientResponse { status, headers, body: Body::whole(body) };
    match failed.failure {
        Failure::RateLimited => answer.set_retry_after(failed.retry_after),
        // No time that upstream names makes money come back.
        Failure::Quota => drop(answer.headers.remove(RETRY_AFTER)),
        _ => {}
    }
    if retries == ClientRetries::None {
        answer.forbid_retry();
    }
    Ok(answer)
}

async fn read(response: Response, idle: Duration, room: &AnswerRoom) -> Bytes {
    let mut parts = response.bytes_stream();
    let mut body = KeptBytes::within(room);
    while let Ok(Some(Ok(part))) = tokio::time::timeout(idle, parts.next()).await {
        let left = LARGEST_FAILURE.saturating_sub(body.len());
        let kept = body.extend(&part[..part.len().min(left)]);
        if part.len() > left || kept.is_err() {
            break;
        }
    }
    body.take().into()
}

fn later(now: Timestamp, duration: Duration) -> Timestamp {
    let duration = jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX);
    now.checked_add(duration).unwrap_or(Timestamp::MAX)
}
