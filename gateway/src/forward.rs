//! A call on its way: attempts, and the answer as it comes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use manyworlds_api::provider::Protocol;
use manyworlds_ledger::{Outcome, Party};
use manyworlds_metering::price;
use manyworlds_metering::rate_window::Remaining;
use reqwest::{Client, Response, Url};
use serde_json::Value;

use crate::access::{Access, Grant};
use crate::admission::{self, Candidate};
use crate::answer::{Answer, Body};
use crate::cache::CacheKey;
use crate::client::{causes, innermost_cause};
use crate::endpoint::Endpoint;
use crate::open::{Ending, OpenCall};
use crate::outgoing::{Outgoing, Stopped};
use crate::refusal::Reason;
use crate::request::Prepared;
use crate::retry::{self, Failure};
use crate::screen::Screen;
use crate::shared::Shared;
use crate::{headers, limits, passing};

/// The largest answer of a failure, in bytes. More of it is cut off.
const LARGEST_FAILURE: usize = 256 * 1024;
/// After upstream said that money or quota is used up, nobody asks it again for so long.
const OUT_OF_CREDIT: jiff::SignedDuration = jiff::SignedDuration::from_secs(30);
/// Counts a client's own attempts, as the official clients send it.
const RETRY_COUNT: &str = "x-stainless-retry-count";

/// A request that was understood.
pub(crate) struct Asked {
    pub(crate) endpoint: Endpoint,
    pub(crate) protocol: Protocol,
    pub(crate) party: Arc<Party>,
    pub(crate) headers: HeaderMap,
    pub(crate) query: Option<String>,
    /// Looks through the calls of our own worker.
    pub(crate) screen: Option<Screen>,
}

/// What a request becomes for the model that it is granted.
pub(crate) struct Call<'a> {
    pub(crate) asked: &'a Asked,
    /// The request's, with the model's name.
    pub(crate) endpoint: Endpoint,
    pub(crate) grant: Grant,
    pub(crate) prepared: Prepared,
    /// What its answer is kept under, where it may be.
    pub(crate) cache_key: Option<CacheKey>,
}

/// What a request has had so far, whichever models it went to: attempts and time are bounded for all together.
pub(crate) struct Course {
    begun: Timestamp,
    attempts: u32,
}

impl Course {
    /// Returns that of a request that begins now.
    pub(crate) fn begin() -> Self {
        Self { begun: Timestamp::now(), attempts: 0 }
    }

    /// Returns how often it was tried again, where it was tried.
    pub(crate) fn retries(&self) -> Option<u32> {
        self.attempts.checked_sub(1)
    }

    /// Returns whether further tries may be left to the client. It counts its own requests, and not the attempts that one of
    /// them made here.
    pub(crate) const fn leaves_retries(&self) -> bool {
        self.attempts <= 1
    }
}

/// What came of one attempt.
enum Attempt {
    /// An answer that goes to the client as it comes.
    Answered(Answer),
    /// A failure that may be tried again: how upstream put it, and what it wishes.
    Again(Failed),
    /// A failure that may not.
    Final(Failed),
    /// It was held back: whoever calls was stopped.
    Stopped,
}

struct Failed {
    failure: Failure,
    /// Upstream's own words, where it had any.
    said: Option<(StatusCode, HeaderMap, Bytes)>,
    wished: Option<Duration>,
}

/// Makes a call: as many attempts as may be, within one total time.
pub(crate) async fn forward<A: Access>(
    shared: &Arc<Shared>,
    access: &Arc<A>,
    call: Call<'_>,
    course: &mut Course,
) -> Result<Answer, Reason> {
    let (asked, provider) = (call.asked, &call.grant.provider);
    let client = shared.clients.get(Duration::from(provider.timeouts.connect)).map_err(|error| {
        tracing::error!(%error, "no client");
        Reason::Unavailable
    })?;
    let url = url(&call)?;
    let headers = headers::upstream(&asked.headers, asked.protocol, call.grant.key.as_ref())
        .map_err(|_| Reason::Request("a header has characters that none may have".to_owned()))?;
    let made = asked.headers.get(RETRY_COUNT).and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0);
    let most = retry::attempts_left(u32::try_from(provider.retries.max_attempts).unwrap_or(1), made);
    let total = later(course.begun, Duration::from(provider.timeouts.total));
    let deadline = later(course.begun, Duration::from(provider.limits.max_wait)).min(total);
    let candidate = Candidate {
        party: &asked.party,
        grant: &call.grant,
        estimate: price::estimate(&call.grant.model.prices, call.prepared.request),
        deadline,
    };
    loop {
        let mut open = admission::admit(shared, &**access, &candidate).await?;
        open.retries = course.attempts;
        course.attempts += 1;
        let number = course.attempts;
        let chance = open.chance();
        let stands = {
            let (access, party) = (access.clone(), asked.party.clone());
            move || access.standing(&party).is_ok()
        };
        let body = Outgoing::of(call.prepared.body.clone(), open.sent(), stands);
        let sent = Sent { client: &client, url: url.clone(), headers: headers.clone(), body, total };
        let failed = match attempt(shared, &call, open, sent).await {
            Attempt::Answered(answer) => return Ok(answer),
            Attempt::Final(failed) => return refused(failed, asked.screen.as_ref(), ClientRetries::None),
            Attempt::Again(failed) => failed,
            Attempt::Stopped => return Err(Reason::Stopped),
        };
        let wait = retry::wait(number, chance, failed.wished);
        if number >= most || later(Timestamp::now(), wait) >= deadline {
            let leaves = failed.failure == Failure::RateLimited && course.leaves_retries() && number < most;
            let retries = if leaves { ClientRetries::Left } else { ClientRetries::None };
            return refused(failed, asked.screen.as_ref(), retries);
        }
        tracing::debug!(provider = call.grant.provider_key, number, ?wait, "a call failed and is made again");
        tokio::time::sleep(wait).await;
    }
}

fn url(call: &Call<'_>) -> Result<Url, Reason> {
    let path = call.endpoint.upstream_path().ok_or(Reason::Endpoint(crate::endpoint::EndpointError::Unknown))?;
    let query = call.asked.query.as_deref().and_then(headers::query);
    let base = Url::parse(&call.grant.provider.base_url);
    // A name or password in it would go out as a header besides the Provider's own key.
    let mut url =
        base.ok().filter(|base| base.username().is_empty() && base.password().is_none()).ok_or_else(|| {
            Reason::Request("the Provider's baseUrl is no URL, or one with a name or password in it".to_owned())
        })?;
    let path = format!("{}{path}", url.path().trim_end_matches('/'));
    // Setting a path and a query cannot lead elsewhere than the Provider's own address.
    url.set_path(&path);
    url.set_query(query.as_deref());
    Ok(url)
}

struct Sent<'a> {
    client: &'a Client,
    url: Url,
    headers: HeaderMap,
    body: reqwest::Body,
    total: Timestamp,
}

async fn attempt(shared: &Arc<Shared>, call: &Call<'_>, mut open: OpenCall, sent: Sent<'_>) -> Attempt {
    let timeouts = &call.grant.provider.timeouts;
    let left = Duration::try_from(sent.total.duration_since(Timestamp::now())).unwrap_or_default();
    let first_byte = Duration::from(timeouts.first_byte).min(left);
    let request = sent.client.post(sent.url).headers(sent.headers).body(sent.body).send();
    let response = match tokio::time::timeout(first_byte, request).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) if causes(&error).any(<dyn std::error::Error>::is::<Stopped>) => {
            open.release().await;
            return Attempt::Stopped;
        }
        Ok(Err(error)) => return no_answer(shared, call, open, &innermost_cause(error)).await,
        Err(_) => return no_answer(shared, call, open, "its answer has not begun in time").await,
    };
    let status = response.status();
    open.answers(status.as_u16());
    let now = Timestamp::now();
    let remaining = limits::remaining(response.headers(), now);
    if status.is_success() {
        // Only what is close to its end slows anybody down.
        let scarce: Vec<_> = remaining.into_iter().filter(|said| said.left < said.limit / 2).collect();
        if !scarce.is_empty() {
            // The answer does not wait for it.
            let (shared, provider) = (shared.clone(), call.grant.provider_key.clone());
            tokio::spawn(async move { note(&shared, provider, now, scarce, None).await });
        }
        return Attempt::Answered(passing::pass(shared, call, open, response));
    }
    if status.is_redirection() {
        // Where it leads to is not where the Provider is.
        let _ = open.settle(Ending::Failed(Outcome::Faulty)).await;
        return Attempt::Final(Failed { failure: Failure::Request, said: None, wished: None });
    }
    let (headers, body) = (response.headers().clone(), read(response, Duration::from(timeouts.idle)).await);
    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
    let failure = Failure::of(call.asked.protocol, status.as_u16(), &value).unwrap_or(Failure::Request);
    let wished = limits::not_before(&headers, now);
    let not_before = match failure {
        Failure::RateLimited => wished,
        Failure::Quota => Some(now + OUT_OF_CREDIT),
        _ => None,
    };
    let _ = open.settle(Ending::Failed(outcome(failure))).await;
    if let (Failure::RateLimited, Some(until)) = (failure, not_before) {
        shared.waits.pauses(&call.asked.party, &call.grant.provider_key, now, until);
    }
    if not_before.is_some() || !remaining.is_empty() {
        note(shared, call.grant.provider_key.clone(), now, remaining, not_before).await;
    }
    let wished = wished.and_then(|at| Duration::try_from(at.duration_since(now)).ok());
    let failed = Failed { failure, said: Some((status, headers, body)), wished };
    if failure.may_be_tried_again() { Attempt::Again(failed) } else { Attempt::Final(failed) }
}

/// Upstream may be at work on a call that went out: it then counts at its upper bound, and so does each that is made after it.
async fn no_answer(shared: &Shared, call: &Call<'_>, open: OpenCall, cause: &str) -> Attempt {
    let provider = &call.grant.provider_key;
    if shared.line(provider).complains(Timestamp::now()) {
        tracing::warn!(provider, cause, "the Provider gave no answer");
    }
    let _ = open.settle(Ending::Silent).await;
    Attempt::Again(Failed { failure: Failure::Outage, said: None, wished: None })
}

const fn outcome(failure: Failure) -> Outcome {
    match failure {
        Failure::Outage => Outcome::Outage,
        Failure::Busy | Failure::RateLimited => Outcome::Refused,
        Failure::Quota | Failure::Credential | Failure::Request => Outcome::Faulty,
    }
}

async fn note(
    shared: &Shared,
    provider: String,
    now: Timestamp,
    remaining: Vec<Remaining>,
    not_before: Option<Timestamp>,
) {
    if let Err(error) = shared.ledger.upstream_said(provider, now, remaining, not_before).await {
        tracing::error!(%error, "what upstream said of its limits could not be noted");
    }
}

/// Whether a client may try again what failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientRetries {
    /// It may, as it sees fit.
    Left,
    /// It may not: that was done here, or is of no use.
    None,
}

/// Gives upstream's own words to the client.
fn refused(failed: Failed, screen: Option<&Screen>, retries: ClientRetries) -> Result<Answer, Reason> {
    let Some((status, said, body)) = failed.said else { return Err(Reason::Upstream) };
    let headers = headers::downstream(&said);
    let body = if let Some(screen) = screen { screen.answer(body) } else { body };
    let mut answer = Answer { status, headers, body: Body::whole(body) };
    match failed.failure {
        Failure::RateLimited => answer.say_when(failed.wished),
        // No time that upstream names makes money come back.
        Failure::Quota => drop(answer.headers.remove(RETRY_AFTER)),
        _ => {}
    }
    if retries == ClientRetries::None {
        answer.forbid_retry();
    }
    Ok(answer)
}

async fn read(response: Response, idle: Duration) -> Bytes {
    let mut parts = response.bytes_stream();
    let mut body = Vec::new();
    while let Ok(Some(Ok(part))) = tokio::time::timeout(idle, parts.next()).await {
        let room = LARGEST_FAILURE.saturating_sub(body.len());
        body.extend_from_slice(&part[..part.len().min(room)]);
        if part.len() > room {
            break;
        }
    }
    body.into()
}

fn later(now: Timestamp, duration: Duration) -> Timestamp {
    let duration = jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX);
    now.checked_add(duration).unwrap_or(Timestamp::MAX)
}
