//! The wait for a turn: a World's call waits by itself (W9), within a bound.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use manyworlds_ledger::{CallId, Party, Reservation, Reserved};
use manyworlds_metering::breaker::BreakerSettings;
use manyworlds_metering::budget::Amount;
use manyworlds_metering::price::Estimate;
use manyworlds_metering::rate_window::{Demand, RateLimits};
use manyworlds_telemetry::Metrics;

use crate::access::{Access, Grant};
use crate::line::{Line, Place, Who};
use crate::open::{AskedFor, OpenCall};
use crate::refusal::Reason;
use crate::shared::Shared;

/// A World that is stopped while it waits is told so after this long at most.
const LOOK: Duration = Duration::from_secs(1);
/// In microseconds.
const HALF_A_MINUTE: i64 = 30_000_000;

/// A call that may be made if there is room for it.
pub(crate) struct Candidate<'a> {
    pub(crate) party: &'a Party,
    pub(crate) grant: &'a Grant,
    pub(crate) estimate: Estimate,
    /// Until when it may wait.
    pub(crate) deadline: Timestamp,
}

/// Waits for the turn of a call and reserves for it.
pub(crate) async fn admit<A: Access>(
    shared: &Arc<Shared>,
    access: &A,
    candidate: &Candidate<'_>,
) -> Result<OpenCall, Reason> {
    let line = shared.line(&candidate.grant.provider_key);
    let place = line.join(Who {
        order: candidate.party.order_uid.clone(),
        world: candidate.party.world_uid.clone(),
        priority: candidate.grant.priority,
    });
    let _shown = Waiting::begin(&shared.metrics);
    wait(shared, access, candidate, &line, &place).await
}

/// Shows in the metrics that a call waits, until it is dropped: also when the client goes away.
struct Waiting<'a> {
    metrics: &'a Metrics,
    begun: tokio::time::Instant,
}

impl<'a> Waiting<'a> {
    fn begin(metrics: &'a Metrics) -> Self {
        metrics.llm_waiting.inc();
        Self { metrics, begun: tokio::time::Instant::now() }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.metrics.llm_waiting.dec();
        self.metrics.llm_wait_seconds.observe(self.begun.elapsed().as_secs_f64());
    }
}

/// What a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lacks {
    /// Room within the Provider's limits.
    Room,
    /// Money that another call of its order holds.
    Money,
}

async fn wait<A: Access>(
    shared: &Arc<Shared>,
    access: &A,
    candidate: &Candidate<'_>,
    line: &Arc<Line>,
    place: &Place,
) -> Result<OpenCall, Reason> {
    let mut next = candidate.deadline;
    // Most calls need no room in the list of those that wait.
    let mut waiter = None;
    loop {
        access.standing(candidate.party)?;
        let now = Timestamp::now();
        let mut until = candidate.deadline;
        let pause = place.pause(now);
        let mut lacks = Lacks::Room;
        if let Some(pause) = pause {
            (until, next) = (pause, pause);
        } else if place.has_turn(now) {
            match ask(shared, candidate, line, place, now).await {
                Ok(open) => return Ok(open),
                Err(NotGranted::Before(at)) => (until, next) = (at, at),
                Err(NotGranted::Without(lacking)) => lacks = lacking,
                Err(NotGranted::AtAll(reason)) => return Err(reason),
            }
        }
        if now >= candidate.deadline {
            return Err(Reason::Limit { retry_after_seconds: seconds(now, next) });
        }
        waiter = match lacks {
            Lacks::Room => {
                let waits = || shared.waits.begin(candidate.party, &candidate.grant.provider_key, now);
                Some(waiter.unwrap_or_else(waits))
            }
            Lacks::Money => None,
        };
        let pause = duration(now, until.min(candidate.deadline)).min(LOOK);
        tokio::select! {
            () = tokio::time::sleep(pause) => place.step_back(),
            () = place.woken() => {}
        }
    }
}

/// Why a call may not go out now.
enum NotGranted {
    /// The limits leave no room before then.
    Before(Timestamp),
    /// Another call has to end first.
    Without(Lacks),
    /// It is refused.
    AtAll(Reason),
}

async fn ask(
    shared: &Arc<Shared>,
    candidate: &Candidate<'_>,
    line: &Arc<Line>,
    place: &Place,
    now: Timestamp,
) -> Result<OpenCall, NotGranted> {
    let ends = place.ends();
    let asked = reservation(candidate, now);
    let call = asked.call.clone();
    let asked_for = AskedFor::new(shared, call.clone());
    let reserved = shared.ledger.reserve(asked).await.map_err(|error| NotGranted::AtAll(unavailable(error)))?;
    asked_for.answered();
    match reserved {
        Reserved::Granted => {
            let amount = candidate.estimate.usual_input.saturating_add(candidate.estimate.most_output);
            place.given(amount, now, pause_after(candidate));
            Ok(OpenCall::new(shared, line, call, candidate.grant.model.prices.clone()))
        }
        Reserved::Exhausted(name) => {
            let said = format!("the budget {name} is used up; raise it to go on");
            Err(NotGranted::AtAll(Reason::Budget(said)))
        }
        Reserved::BreakerOpen(at) => {
            let model = candidate.grant.model.model.clone();
            Err(NotGranted::AtAll(Reason::Breaker { model, retry_after_seconds: seconds(now, at) }))
        }
        Reserved::Wait(at) => {
            place.limited(now);
            Err(NotGranted::Before(at))
        }
        Reserved::Full => {
            place.step_aside(ends, now);
            Err(NotGranted::Without(Lacks::Room))
        }
        Reserved::AfterAnother => {
            place.step_aside(ends, now);
            Err(NotGranted::Without(Lacks::Money))
        }
    }
}

/// Returns half the time in which the limits come back that a call uses for certain, so that pauses never leave a limit unused.
fn pause_after(candidate: &Candidate<'_>) -> SignedDuration {
    let limits = &candidate.grant.provider.limits;
    let input = i64::try_from(candidate.estimate.usual_input).unwrap_or(i64::MAX);
    let share = |used: i64, most: i64| HALF_A_MINUTE.saturating_mul(used) / most.max(1);
    let tokens = [Some(limits.tokens_per_minute), limits.input_tokens_per_minute].into_iter().flatten();
    let longest = tokens.map(|most| share(input, most)).fold(share(1, limits.requests_per_minute), i64::max);
    SignedDuration::from_micros(longest.min(HALF_A_MINUTE))
}

fn reservation(candidate: &Candidate<'_>, now: Timestamp) -> Reservation {
    let Candidate { party, grant, estimate, deadline: _ } = candidate;
    Reservation {
        call: CallId::new(),
        at: now,
        party: (*party).clone(),
        provider: grant.provider_key.clone(),
        model: grant.model.model.clone(),
        prices: grant.prices.clone(),
        demand: Demand { input: estimate.usual_input, output: estimate.most_output },
        most: Amount { cost: estimate.most_cost, tokens: estimate.most_input.saturating_add(estimate.most_output) },
        limits: RateLimits::of(&grant.provider.limits),
        breaker: BreakerSettings::of(&grant.provider.breaker),
        holders: grant.holders.clone(),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it maps an error")]
pub(crate) fn unavailable(error: manyworlds_ledger::LedgerError) -> Reason {
    tracing::error!(%error, "the ledger does not answer; no call goes out");
    Reason::Unavailable
}

fn duration(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::from_millis(1)).max(Duration::from_millis(1))
}

/// Returns the whole seconds until a time, at least one.
pub(crate) fn seconds(now: Timestamp, at: Timestamp) -> u64 {
    let wait = at.duration_since(now) + SignedDuration::from_millis(999);
    u64::try_from(wait.as_secs()).unwrap_or_default().max(1)
}
