//! The wait of a World's call for its turn, within a bound (W9).

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use manyworlds_ledger::{CallId, Caller, Reservation, ReserveResult};
use manyworlds_metering::breaker::BreakerSettings;
use manyworlds_metering::budget::Amount;
use manyworlds_metering::price::Estimate;
use manyworlds_metering::rate_window::{Demand, RateLimits};
use manyworlds_telemetry::Metrics;

use crate::access::{Access, Grant};
use crate::in_flight::{InFlightCall, PendingReservation};
use crate::queue::{FairQueue, Requester, Ticket};
use crate::refusal::Refusal;
use crate::shared::Shared;

/// The longest time until a call that waits sees that its World was stopped.
const STOP_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// In microseconds.
const HALF_A_MINUTE: i64 = 30_000_000;

/// A call that may be made if there is room for it.
pub(crate) struct Candidate<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) grant: &'a Grant,
    pub(crate) estimate: Estimate,
    /// The estimate of one of its answers.
    pub(crate) single: Estimate,
    /// The call waits until then at most.
    pub(crate) deadline: Timestamp,
}

/// Waits for the turn of a call and reserves for it.
pub(crate) async fn admit<A: Access>(
    shared: &Arc<Shared>,
    access: &A,
    candidate: &Candidate<'_>,
) -> Result<InFlightCall, Refusal> {
    let queue = shared.queue(&candidate.grant.provider_key);
    let ticket = queue.join(Requester {
        order: candidate.caller.order_uid.clone(),
        world: candidate.caller.world_uid.clone(),
        priority: candidate.grant.priority,
    });
    let _measured = MeasuredWait::begin(&shared.metrics);
    wait(shared, access, candidate, &queue, &ticket).await
}

/// Shows in the metrics that a call waits, until it is dropped: also when the client goes away.
struct MeasuredWait<'a> {
    metrics: &'a Metrics,
    begun: tokio::time::Instant,
}

impl<'a> MeasuredWait<'a> {
    fn begin(metrics: &'a Metrics) -> Self {
        metrics.llm_waiting.inc();
        Self { metrics, begun: tokio::time::Instant::now() }
    }
}

impl Drop for MeasuredWait<'_> {
    fn drop(&mut self) {
        self.metrics.llm_waiting.dec();
        self.metrics.llm_wait_seconds.observe(self.begun.elapsed().as_secs_f64());
    }
}

/// The shortage that a call waits for the end of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shortage {
    /// Room within the Provider's limits.
    Limits,
    /// Money that another call of its order has reserved.
    Money,
}

async fn wait<A: Access>(
    shared: &Arc<Shared>,
    access: &A,
    candidate: &Candidate<'_>,
    queue: &Arc<FairQueue>,
    ticket: &Ticket,
) -> Result<InFlightCall, Refusal> {
    let mut next = candidate.deadline;
    // Most calls do not wait, and are never in the list of those that do.
    let mut waiter = None;
    loop {
        access.may_call(candidate.caller)?;
        let now = Timestamp::now();
        let mut until = candidate.deadline;
        let pause = ticket.pause(now);
        let mut shortage = Shortage::Limits;
        if let Some(pause) = pause {
            (until, next) = (pause, pause);
        } else if ticket.may_ask(now) {
            match reserve(shared, candidate, queue, ticket, now).await {
                Ok(in_flight) => return Ok(in_flight),
                Err(Denial::Before(at)) => (until, next) = (at, at),
                Err(Denial::Short(of)) => shortage = of,
                Err(Denial::Refused(reason)) => return Err(reason),
            }
        }
        if now >= candidate.deadline {
            return Err(Refusal::Limit { retry_after_seconds: seconds(now, next) });
        }
        waiter = match shortage {
            Shortage::Limits => {
                let begin = || shared.waits.begin(candidate.caller, &candidate.grant.provider_key, now);
                Some(waiter.unwrap_or_else(begin))
            }
            Shortage::Money => None,
        };
        let pause = duration(now, until.min(candidate.deadline)).min(STOP_CHECK_INTERVAL);
        tokio::select! {
            () = tokio::time::sleep(pause) => ticket.unpark(),
            () = ticket.woken() => {}
        }
    }
}

/// Why a call may not go out now.
enum Denial {
    /// The limits leave no room before then.
    Before(Timestamp),
    /// Another call has to end first.
    Short(Shortage),
    /// The call is refused.
    Refused(Refusal),
}

async fn reserve(
    shared: &Arc<Shared>,
    candidate: &Candidate<'_>,
    queue: &Arc<FairQueue>,
    ticket: &Ticket,
    now: Timestamp,
) -> Result<InFlightCall, Denial> {
    let ended_calls = ticket.ended_calls();
    let reservation = reservation(candidate, now);
    let call = reservation.call.clone();
    let pending = PendingReservation::new(shared, call.clone());
    let reserved = shared.ledger.reserve(reservation).await.map_err(|error| Denial::Refused(unavailable(error)))?;
    pending.answered();
    match reserved {
        ReserveResult::Granted => {
            let amount = candidate.estimate.expected_input.saturating_add(candidate.estimate.max_output);
            ticket.granted(amount, now, pause_after(candidate));
            Ok(InFlightCall::new(shared, queue, call, candidate.grant.model.prices.clone()))
        }
        ReserveResult::BudgetExhausted(name) => {
            let message = format!("the budget {name} is used up; raise it to go on");
            Err(Denial::Refused(Refusal::Budget(message)))
        }
        ReserveResult::BudgetTooSmall(name) => {
            let message = format!(
                "the answers that this request asks for can together cost more than what is left of the budget {name}; ask for fewer of them (n, best_of, candidateCount, prompts) or bound their length"
            );
            Err(Denial::Refused(Refusal::Budget(message)))
        }
        ReserveResult::BreakerOpen(at) => {
            let model = candidate.grant.model.model.clone();
            Err(Denial::Refused(Refusal::Breaker { model, retry_after_seconds: seconds(now, at) }))
        }
        ReserveResult::WaitUntil(at) => {
            ticket.limit_reached(now);
            Err(Denial::Before(at))
        }
        ReserveResult::TooManyInFlight => {
            ticket.park(ended_calls, now);
            Err(Denial::Short(Shortage::Limits))
        }
        ReserveResult::WaitForAnother => {
            ticket.park(ended_calls, now);
            Err(Denial::Short(Shortage::Money))
        }
    }
}

/// Returns half the time in which the limits come back that a call uses for certain. So pauses never leave a limit unused.
fn pause_after(candidate: &Candidate<'_>) -> SignedDuration {
    let limits = &candidate.grant.provider.limits;
    let input = i64::try_from(candidate.estimate.expected_input).unwrap_or(i64::MAX);
    let share = |used: i64, most: i64| HALF_A_MINUTE.saturating_mul(used) / most.max(1);
    let tokens = [Some(limits.tokens_per_minute), limits.input_tokens_per_minute].into_iter().flatten();
    let longest = tokens.map(|most| share(input, most)).fold(share(1, limits.requests_per_minute), i64::max);
    SignedDuration::from_micros(longest.min(HALF_A_MINUTE))
}

fn reservation(candidate: &Candidate<'_>, now: Timestamp) -> Reservation {
    let Candidate { caller, grant, estimate, single, deadline: _ } = candidate;
    let most = |of: &Estimate| Amount { cost: of.max_cost, tokens: of.max_input.saturating_add(of.max_output) };
    Reservation {
        call: CallId::new(),
        at: now,
        caller: (*caller).clone(),
        provider: grant.provider_key.clone(),
        model: grant.model.model.clone(),
        prices: grant.prices.clone(),
        demand: Demand { input: estimate.expected_input, output: estimate.max_output },
        most: most(estimate),
        single: most(single),
        limits: RateLimits::of(&grant.provider.limits),
        breaker: BreakerSettings::of(&grant.provider.breaker),
        budgets: grant.budgets.clone(),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it maps an error")]
fn unavailable(error: manyworlds_ledger::LedgerError) -> Refusal {
    tracing::error!(%error, "the ledger does not answer; no call goes out");
    Refusal::Unavailable
}

fn duration(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::from_millis(1)).max(Duration::from_millis(1))
}

/// Returns the whole seconds until a time, at least one.
fn seconds(now: Timestamp, at: Timestamp) -> u64 {
    let wait = at.duration_since(now) + SignedDuration::from_millis(999);
    u64::try_from(wait.as_secs()).unwrap_or_default().max(1)
}
