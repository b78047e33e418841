//! The server: from a connection to a call that is understood and granted, and back.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use jiff::Timestamp;
use manyworlds_api::provider::Protocol;
use manyworlds_ledger::audit::{AuditEntry, AuditStage};
use manyworlds_ledger::{Caller, Ledger};
use manyworlds_listener::{Bounds, Handler, Peer};
use manyworlds_telemetry::{Metrics, RefusalLabel};
use serde_json::json;
use tokio::net::TcpListener;

use crate::access::{Access, Grant};
use crate::body_permits::{BodyPermit, LARGEST_REQUEST};
use crate::cache_key::cache_key;
use crate::call::{ModelCall, ModelRequest, RetryState};
use crate::client::Clients;
use crate::endpoint::Endpoint;
use crate::fields::Fields;
use crate::redactor::Redactor;
use crate::refusal::Refusal;
use crate::refused_bodies::RefusedBodies;
use crate::response::{self, Body, ClientResponse};
use crate::shared::Shared;
use crate::wait_list::WaitList;
use crate::{call_sums, compaction, forward, headers, request};

/// The most connections at once. More wait to be accepted.
const CONNECTIONS: usize = 4096;
/// The most connections of one address: a World has one call under way for each of its agents.
const CONNECTIONS_OF_A_PEER: usize = 256;

/// The time-outs of a client.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For the head of its request. A connection without a request is closed after the same time.
    pub head: Duration,
    /// For the body of its request.
    pub body: Duration,
    /// For taking the answer that is sent to it.
    pub answer: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { head: Duration::from_secs(10), body: Duration::from_mins(1), answer: Duration::from_mins(5) }
    }
}

/// The gateway. Clones share it.
pub struct Gateway<A> {
    shared: Arc<Shared>,
    access: Arc<A>,
    timeouts: Timeouts,
    connections_of_a_peer: usize,
    refused_bodies: RefusedBodies,
}

impl<A> Clone for Gateway<A> {
    fn clone(&self) -> Self {
        let Self { shared, access, timeouts, connections_of_a_peer, refused_bodies } = self;
        let (shared, access, refused_bodies) = (shared.clone(), access.clone(), refused_bodies.clone());
        let (timeouts, connections_of_a_peer) = (*timeouts, *connections_of_a_peer);
        Self { shared, access, timeouts, connections_of_a_peer, refused_bodies }
    }
}

impl<A: Access> Gateway<A> {
    /// Returns a gateway in front of the Providers that `access` grants.
    ///
    /// - **Shape:** answers at temperature 0 are kept in at most `cache_bytes`, none where that is 0. Calls that wait for room are
    ///   put into `waits`.
    pub fn new(
        access: A,
        ledger: Ledger,
        metrics: Metrics,
        clients: Clients,
        cache_bytes: usize,
        waits: WaitList,
    ) -> Self {
        let tally = ledger.running_totals();
        metrics.read_calls_from(move || tally.now().map(|totals| call_sums::of(&totals)));
        let shared = Arc::new(Shared::new(ledger, metrics, clients, cache_bytes, waits));
        Self {
            shared,
            access: Arc::new(access),
            timeouts: Timeouts::default(),
            connections_of_a_peer: CONNECTIONS_OF_A_PEER,
            refused_bodies: RefusedBodies::default(),
        }
    }

    /// Returns the same gateway with other time-outs.
    #[must_use]
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// Returns the same gateway with another number of connections that one address may have.
    #[must_use]
    pub fn with_connections_of_a_peer(self, connections_of_a_peer: usize) -> Self {
        Self { connections_of_a_peer, ..self }
    }

    /// Serves until `stop` comes. Calls that are under way then go on as long as the runtime does.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let Timeouts { head, body: _, answer } = self.timeouts;
        let connections_of_a_peer = self.connections_of_a_peer;
        let bounds = Bounds { connections: CONNECTIONS, connections_of_a_peer, head, unread: answer };
        drop(manyworlds_listener::serve(listener, bounds, self, stop).await);
    }

    /// Counts a refusal, logs it and writes it into the audit log.
    fn note_refusal(&self, reason: &Refusal, context: &RequestContext, method: &str, path: &str) {
        let label = reason.label().as_str();
        let entry = AuditEntry::new(AuditStage::Gateway, "Refused", Timestamp::now()).with_reason(label);
        let entry = if let Some(caller) = &context.caller { entry.with_caller(caller, &[]) } else { entry };
        let retry_count = context.retries.as_ref().and_then(RetryState::retries).map(i64::from);
        let entry = AuditEntry { retry_count, ..entry };
        self.shared.ledger.audit(AuditStage::Gateway, entry);
        self.shared.metrics.gateway_refusals.with_label_values(&[label]).inc();
        tracing::info!(method, path = %path.escape_default(), reason = label, "refused: {reason}");
    }

    /// Answers a request.
    async fn respond(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, mut body) = request.into_parts();
        let protocol = Endpoint::protocol_of_path(head.uri.path()).unwrap_or_else(|| spoken(&head.headers));
        let (method, path) = (head.method.clone(), head.uri.path().to_owned());
        let peer = head.extensions.get::<Peer>().map_or(IpAddr::from(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
        // A client that waits to be told to go on has not begun to write its body.
        let waits = head.headers.contains_key(http::header::EXPECT);
        let mut context = RequestContext::default();
        // What a panic leaves half done is this request's alone: what it held is given back as if the client had gone.
        let answered = AssertUnwindSafe(self.answer(head, &mut body, &mut context)).catch_unwind().await;
        match answered.unwrap_or(Err(Refusal::Fault)) {
            Ok(answer) => answer.into_response(),
            Err(reason) => {
                self.note_refusal(&reason, &context, method.as_str(), &path);
                if !waits && reason != Refusal::Slow {
                    self.refused_bodies.read(peer, &mut body).await;
                }
                let mut answer = ClientResponse::refusal(&reason, protocol);
                if context.retries.is_some_and(|retries| !retries.leaves_retries()) {
                    answer.forbid_retry();
                }
                answer.into_response()
            }
        }
    }

    /// Answers a request, and fills in its context as soon as it is known.
    async fn answer(
        &self,
        head: Parts,
        body: &mut Incoming,
        context: &mut RequestContext,
    ) -> Result<ClientResponse, Refusal> {
        let endpoint = Endpoint::find(&head.method, head.uri.path()).map_err(Refusal::Endpoint)?;
        if head.uri.authority().is_some() {
            return Err(Refusal::Request("the request names a host of its own".to_owned()));
        }
        if endpoint == Endpoint::Probe {
            return Ok(ClientResponse::own(http::StatusCode::OK, &json!({"gateway": "manyworlds"})));
        }
        let token = headers::token(&head.headers).ok_or(Refusal::Token)?;
        let caller = context.caller.insert(self.access.caller(&token).await?);
        let Some(protocol) = endpoint.protocol().filter(|_| head.method == Method::POST) else {
            return self.own(&endpoint, spoken(&head.headers), caller);
        };
        // It is held until upstream answers.
        let mut permit = self.shared.body_permits.permit(&caller.world_uid);
        let body = read(body, self.timeouts.body, &mut permit).await?;
        let mut fields = fields_of(&body)?;
        let model = request::model(&endpoint, &fields)?;
        let grant = self.access.grant(caller, protocol, &model)?;
        let redactor = grant.filter.clone().map(|filter| Redactor::new(&self.shared, caller, filter));
        let masked;
        if let Some(redactor) = &redactor {
            masked = redactor.request(body.clone());
            fields = fields_of(&masked)?;
            if let Some(entry) = compaction::audit_entry(&head.headers, caller) {
                self.shared.ledger.audit(AuditStage::Context, entry);
            }
        }
        let query = head.uri.query().map(str::to_owned);
        let caller = Arc::new(caller.clone());
        let request = ModelRequest { endpoint, protocol, caller, headers: head.headers, query, redactor };
        self.call(&request, &fields, grant, context.retries.insert(RetryState::begin())).await
    }

    /// Calls a model; while its breaker is open, the next one that the order allows.
    async fn call(
        &self,
        request: &ModelRequest,
        fields: &Fields<'_>,
        wanted: Grant,
        retries: &mut RetryState,
    ) -> Result<ClientResponse, Refusal> {
        let modalities = request::inspect(&request.endpoint, fields)?;
        let mut grant = wanted;
        let mut others = None;
        loop {
            let prepared = request::prepare(&request.endpoint, fields, &grant, modalities)?;
            let (provider, model) = (grant.provider_key.clone(), grant.model.model.clone());
            let endpoint = request.endpoint.clone().with_model(&model);
            let cache_key = cache_key(request, &endpoint, &grant, &prepared);
            let room = self.shared.answer_room(&request.caller.world_uid);
            let cached = cache_key.and_then(|key| self.shared.cache.find(key, &room));
            let answered = if let Some(cached) = cached {
                Ok(cached)
            } else {
                let call = ModelCall { request, endpoint, grant, prepared, cache_key };
                forward::forward(&self.shared, &self.access, call, retries).await
            };
            let refused = match answered {
                Err(reason @ Refusal::Breaker { .. }) => reason,
                Ok(mut answer) if others.is_some() => {
                    answer.set_model(&model);
                    return Ok(answer);
                }
                ended => return ended,
            };
            let fallbacks = || self.access.fallbacks(&request.caller, request.protocol).into_iter();
            let others = others.get_or_insert_with(fallbacks);
            let is_another = |other: &Grant| other.provider_key != provider || other.model.model != model;
            grant = others.find(is_another).ok_or(refused)?;
            let (world, from, to, at) = (&request.caller.world, &model, &grant.model.model, &grant.provider_key);
            tracing::info!(world, from, to, at, "a model's breaker is open; the next one is called");
        }
    }

    /// Answers an endpoint that never goes upstream.
    fn own(&self, endpoint: &Endpoint, spoken: Protocol, caller: &Caller) -> Result<ClientResponse, Refusal> {
        let protocol = endpoint.protocol().unwrap_or(spoken);
        let listed = self.access.models(caller, protocol)?;
        match endpoint {
            Endpoint::Model(name) | Endpoint::GeminiModel(name) => {
                let found = listed.iter().find(|listed| listed.name == *name);
                found
                    .map(|found| response::model(protocol, found))
                    .map(|model| ClientResponse::own(http::StatusCode::OK, &model))
                    .ok_or_else(|| Refusal::Model(name.clone()))
            }
            _ => Ok(ClientResponse::own(http::StatusCode::OK, &response::models(protocol, &listed))),
        }
    }
}

impl<A: Access> Handler for Gateway<A> {
    type Body = Body;

    fn handle(&self, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send {
        self.respond(request)
    }

    fn on_invalid(&self, error: &hyper::Error) {
        // No client of a model sends what is no HTTP.
        self.note_refusal(&Refusal::Request(error.to_string()), &RequestContext::default(), "", "");
    }

    fn on_crowded(&self, peer: IpAddr) {
        // Counted alone: a line for each would be a flood of its own.
        tracing::debug!(%peer, "a connection was closed because its peer has too many");
        self.shared.metrics.gateway_refusals.with_label_values(&[RefusalLabel::Connections.as_str()]).inc();
    }
}

/// The facts about a request that its refusal is reported with.
#[derive(Default)]
struct RequestContext {
    caller: Option<Caller>,
    retries: Option<RetryState>,
}

fn fields_of(body: &[u8]) -> Result<Fields<'_>, Refusal> {
    Ok(Fields::read(body)?)
}

/// Returns the protocol that a client speaks, as far as its headers say.
fn spoken(headers: &HeaderMap) -> Protocol {
    if headers.contains_key("anthropic-version") {
        Protocol::Anthropic
    } else if headers.contains_key("x-goog-api-key") {
        Protocol::Gemini
    } else {
        Protocol::OpenAi
    }
}

/// Reads the body of a request, within its time, its size and its permit.
async fn read(body: &mut Incoming, timeout: Duration, permit: &mut BodyPermit) -> Result<Bytes, Refusal> {
    let largest = u64::try_from(LARGEST_REQUEST).unwrap_or(u64::MAX);
    if hyper::body::Body::size_hint(body).lower() > largest {
        return Err(Refusal::Size(largest));
    }
    let all = async {
        let mut read = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Refusal::Request("the request broke off".to_owned()))?;
            let Ok(part) = frame.into_data() else { continue };
            if read.len() + part.len() > LARGEST_REQUEST {
                return Err(Refusal::Size(largest));
            }
            permit.grow(part.len()).map_err(|error| {
                tracing::warn!("{error}; a request is refused");
                Refusal::Unavailable
            })?;
            read.extend_from_slice(&part);
        }
        Ok(read.freeze())
    };
    tokio::time::timeout(timeout, all).await.unwrap_or(Err(Refusal::Slow))
}
