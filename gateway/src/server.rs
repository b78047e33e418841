//! The server: from a connection to a call that is understood and granted.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use manyworlds_api::provider::Protocol;
use manyworlds_ledger::audit::{AuditEntry, Stage};
use manyworlds_ledger::{Ledger, Party};
use manyworlds_telemetry::Metrics;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::access::{Access, Grant};
use crate::answer::{self, Answer, Body};
use crate::bodies::Room;
use crate::client::Clients;
use crate::endpoint::Endpoint;
use crate::fields::Fields;
use crate::forward::{self, Asked, Call, Course};
use crate::refusal::Reason;
use crate::screen::Screen;
use crate::shared::Shared;
use crate::waits::WaitList;
use crate::{cache, headers, reduction, request, sums};

/// The largest request, in bytes: pictures come in it.
pub const LARGEST_REQUEST: usize = 32 * 1024 * 1024;
/// Of a request that is refused as much more is read, and for so long: a client that still writes does not read why.
const READ_OF_REFUSED: usize = 128 * 1024 * 1024;
const READ_OF_REFUSED_TIME: Duration = Duration::from_secs(5);
/// The most connections at once. More wait to be accepted.
const CONNECTIONS: usize = 4096;
/// The wait after a connection could not be accepted, as when there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the head of its request.
    pub head: Duration,
    /// For its body.
    pub body: Duration,
    /// For reading what was sent to it.
    pub reading: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { head: Duration::from_secs(10), body: Duration::from_mins(1), reading: Duration::from_mins(5) }
    }
}

/// The gateway. Clones share it.
pub struct Gateway<A> {
    shared: Arc<Shared>,
    access: Arc<A>,
    patience: Patience,
}

impl<A> Clone for Gateway<A> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), access: self.access.clone(), patience: self.patience }
    }
}

impl<A: Access> Gateway<A> {
    /// Returns a gateway in front of the Providers that `access` grants.
    ///
    /// - **Shape:** answers at temperature 0 are kept in at most `cache_bytes`; in 0, none is. What waits for room is put into
    ///   `waits`.
    pub fn new(
        access: A,
        ledger: Ledger,
        metrics: Metrics,
        clients: Clients,
        cache_bytes: usize,
        waits: WaitList,
    ) -> Self {
        let tally = ledger.tally();
        metrics.read_calls_from(move || tally.now().map(|totals| sums::of(&totals)));
        let shared = Arc::new(Shared::new(ledger, metrics, clients, cache_bytes, waits));
        Self { shared, access: Arc::new(access), patience: Patience::default() }
    }

    /// Returns the same gateway with another patience.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Serves until `stop` comes. Calls that are under way then go on as long as the runtime does.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let mut stop = std::pin::pin!(stop);
        loop {
            let Ok(permit) = room.clone().acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut stop => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let gateway = self.clone();
                    tokio::spawn(async move {
                        gateway.connection(stream).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn connection(self, stream: TcpStream) {
        // Small parts of a stream go out at once, and who does not read its answer keeps no call open for ever.
        let bounded = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(self.patience.reading));
        if stream.set_nodelay(true).is_err() || bounded.is_err() {
            return;
        }
        let gateway = self.clone();
        let service = service_fn(move |request| {
            let gateway = gateway.clone();
            Box::pin(async move { Ok::<_, Infallible>(gateway.handle(request).await) })
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.patience.head)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        match served {
            Ok(()) => {}
            // The HTTP library has answered it, without a body: nobody knows which protocol it was to be.
            Err(error) if error.is_parse() => {
                self.note(&Reason::Request(error.to_string()), &Known::default(), "", "");
            }
            Err(error) => tracing::debug!(%error, "a connection ended early"),
        }
    }

    /// Counts a refusal, logs it and writes it down.
    fn note(&self, reason: &Reason, known: &Known, method: &str, path: &str) {
        let label = reason.label().as_str();
        let entry = AuditEntry::new(Stage::Gateway, "Refused", Timestamp::now()).because(label);
        let entry = if let Some(party) = &known.party { entry.about(party, &[]) } else { entry };
        let retry_count = known.course.as_ref().and_then(Course::retries).map(i64::from);
        let entry = AuditEntry { retry_count, ..entry };
        self.shared.ledger.audit(Stage::Gateway, entry);
        self.shared.metrics.gateway_refusals.with_label_values(&[label]).inc();
        tracing::info!(method, path = %path.escape_default(), reason = label, "refused: {reason}");
    }

    /// Answers a request.
    async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, mut body) = request.into_parts();
        let protocol = Endpoint::protocol_of_path(head.uri.path()).unwrap_or_else(|| spoken(&head.headers));
        let (method, path) = (head.method.clone(), head.uri.path().to_owned());
        // Who waits to be told to go on is told something else, and has not begun to write.
        let waits = head.headers.contains_key(http::header::EXPECT);
        let mut known = Known::default();
        match self.answer(head, &mut body, &mut known).await {
            Ok(answer) => answer.into_response(),
            Err(reason) => {
                self.note(&reason, &known, method.as_str(), &path);
                if !waits && reason != Reason::Slow {
                    read_rest(&mut body).await;
                }
                let mut answer = Answer::refusal(&reason, protocol);
                if known.course.is_some_and(|course| !course.leaves_retries()) {
                    answer.forbid_retry();
                }
                answer.into_response()
            }
        }
    }

    /// Answers a request, and says what is known of it as soon as it is.
    async fn answer(&self, head: Parts, body: &mut Incoming, known: &mut Known) -> Result<Answer, Reason> {
        let endpoint = Endpoint::find(&head.method, head.uri.path()).map_err(Reason::Endpoint)?;
        if head.uri.authority().is_some() {
            return Err(Reason::Request("the request names a host of its own".to_owned()));
        }
        if endpoint == Endpoint::Probe {
            return Ok(Answer::own(http::StatusCode::OK, &json!({"gateway": "manyworlds"})));
        }
        let token = headers::token(&head.headers).ok_or(Reason::Token)?;
        let party = known.party.insert(self.access.party(&token).await?);
        let Some(protocol) = endpoint.protocol().filter(|_| head.method == Method::POST) else {
            return self.own(&endpoint, spoken(&head.headers), party);
        };
        // Until upstream answers.
        let mut room = self.shared.bodies.room(&party.world_uid);
        let body = read(body, self.patience.body, &mut room).await?;
        let mut fields = fields_of(&body)?;
        let model = request::model(&endpoint, &fields)?;
        let grant = self.access.grant(party, protocol, &model)?;
        let screen = grant.filter.clone().map(|filter| Screen::new(&self.shared, party, filter));
        let masked;
        if let Some(screen) = &screen {
            masked = screen.request(body.clone());
            fields = fields_of(&masked)?;
            if let Some(entry) = reduction::entry(&head.headers, party) {
                self.shared.ledger.audit(Stage::Context, entry);
            }
        }
        let query = head.uri.query().map(str::to_owned);
        let asked = Asked { endpoint, protocol, party: Arc::new(party.clone()), headers: head.headers, query, screen };
        self.call(&asked, &fields, grant, known.course.insert(Course::begin())).await
    }

    /// Calls a model; while its breaker is open, the next one that the order allows.
    async fn call(
        &self,
        asked: &Asked,
        fields: &Fields<'_>,
        wanted: Grant,
        course: &mut Course,
    ) -> Result<Answer, Reason> {
        let contents = request::look_through(&asked.endpoint, fields)?;
        let mut grant = wanted;
        let mut others = None;
        loop {
            let prepared = request::prepare(&asked.endpoint, fields, &grant, contents)?;
            let (provider, model) = (grant.provider_key.clone(), grant.model.model.clone());
            let endpoint = asked.endpoint.clone().with_model(&model);
            let cache_key = cache::key(asked, &endpoint, &grant, &prepared);
            let kept = cache_key.and_then(|key| self.shared.cache.find(key));
            let answered = if let Some(kept) = kept {
                Ok(kept)
            } else {
                let call = Call { asked, endpoint, grant, prepared, cache_key };
                forward::forward(&self.shared, &self.access, call, course).await
            };
            let refused = match answered {
                Err(reason @ Reason::Breaker { .. }) => reason,
                Ok(mut answer) if others.is_some() => {
                    answer.say_model(&model);
                    return Ok(answer);
                }
                ended => return ended,
            };
            let others = others.get_or_insert_with(|| self.access.fallbacks(&asked.party, asked.protocol).into_iter());
            let is_another = |other: &Grant| other.provider_key != provider || other.model.model != model;
            grant = others.find(is_another).ok_or(refused)?;
            let (from, to, at) = (&model, &grant.model.model, &grant.provider_key);
            tracing::info!(
                world = asked.party.world,
                from,
                to,
                at,
                "a model's breaker is open; the next one is called"
            );
        }
    }

    fn own(&self, endpoint: &Endpoint, spoken: Protocol, party: &Party) -> Result<Answer, Reason> {
        let protocol = endpoint.protocol().unwrap_or(spoken);
        let listed = self.access.models(party, protocol)?;
        match endpoint {
            Endpoint::Model(name) | Endpoint::GeminiModel(name) => {
                let found = listed.iter().find(|known| known.name == *name);
                found
                    .map(|found| answer::model(protocol, found))
                    .map(|model| Answer::own(http::StatusCode::OK, &model))
                    .ok_or_else(|| Reason::Model(name.clone()))
            }
            _ => Ok(Answer::own(http::StatusCode::OK, &answer::models(protocol, &listed))),
        }
    }
}

/// What is known of a request, however it ends.
#[derive(Default)]
struct Known {
    party: Option<Party>,
    course: Option<Course>,
}

fn fields_of(body: &[u8]) -> Result<Fields<'_>, Reason> {
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

async fn read(body: &mut Incoming, patience: Duration, room: &mut Room) -> Result<Bytes, Reason> {
    let largest = u64::try_from(LARGEST_REQUEST).unwrap_or(u64::MAX);
    if hyper::body::Body::size_hint(body).lower() > largest {
        return Err(Reason::Size(largest));
    }
    let all = async {
        let mut read = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Reason::Request("the request broke off".to_owned()))?;
            let Ok(part) = frame.into_data() else { continue };
            if read.len() + part.len() > LARGEST_REQUEST {
                return Err(Reason::Size(largest));
            }
            room.grow(part.len()).map_err(|error| {
                tracing::warn!("{error}; a request is refused");
                Reason::Unavailable
            })?;
            read.extend_from_slice(&part);
        }
        Ok(read.freeze())
    };
    tokio::time::timeout(patience, all).await.unwrap_or(Err(Reason::Slow))
}

/// Reads what a client still writes and keeps nothing of it, so that the client gets to read its refusal.
async fn read_rest(body: &mut Incoming) {
    let all = async {
        let mut left = READ_OF_REFUSED;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    // Who is too slow has had its time.
    let _ = tokio::time::timeout(READ_OF_REFUSED_TIME, all).await;
}
