//! A call that went out and has to be settled, whatever happens.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use manyworlds_api::provider::{Prices, Protocol};
use manyworlds_ledger::{CallId, LedgerError, Outcome, Settled, Settlement, Spent};
use manyworlds_metering::price::{self, Sending, Tokens};
use serde_json::Value;

use crate::line::Line;
use crate::shared::Shared;
use crate::usage::{self, Meter, Used};

/// The largest answer that is not streamed and whose usage is read, in bytes.
const LARGEST_ANSWER: usize = 32 * 1024 * 1024;
/// How long it is tried to write a settlement down. A reservation that stays is settled when the process has gone.
const SETTLING: Duration = Duration::from_hours(24);
/// How long it is tried to give back what may not even have been reserved.
const RELEASING: Duration = Duration::from_mins(1);
/// The first wait after the ledger did not take something; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest of those.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long an answer waits for its settlement.
const WAITED_FOR: Duration = Duration::from_secs(1);

/// Reads what an answer has used.
pub(crate) enum Reading {
    /// Nothing came yet.
    Nothing,
    /// It is streamed.
    Stream(Box<Meter>),
    /// It comes whole.
    Whole(Protocol, Vec<u8>),
}

impl Reading {
    pub(crate) fn feed(&mut self, part: &[u8]) {
        match self {
            Self::Nothing => {}
            Self::Stream(meter) => meter.feed(part),
            Self::Whole(_, body) if body.len() + part.len() <= LARGEST_ANSWER => body.extend_from_slice(part),
            // What is too large to be read is settled at its upper bound.
            Self::Whole(..) => *self = Self::Nothing,
        }
    }

    /// Returns what was read, or nothing where what came whole is no answer that anybody could read.
    fn used(self) -> Option<Used> {
        let unknown = Used::Unknown(Tokens::default());
        Some(match self {
            Self::Nothing => unknown,
            Self::Stream(meter) => meter.finish(),
            Self::Whole(protocol, body) => {
                let value: Value = serde_json::from_slice(&body).ok()?;
                usage::of_body(protocol, &value).map_or(unknown, Used::Said)
            }
        })
    }
}

/// A call that the ledger is asked for: nobody knows yet whether it is reserved.
///
/// - **Guarantees:** where nobody waits for the answer any more, as when the client has gone, or where it was lost, what was
///   reserved is given back.
pub(crate) struct AskedFor {
    shared: Arc<Shared>,
    call: Option<CallId>,
}

impl AskedFor {
    pub(crate) fn new(shared: &Arc<Shared>, call: CallId) -> Self {
        Self { shared: shared.clone(), call: Some(call) }
    }

    /// Notes that the ledger has answered.
    pub(crate) fn answered(mut self) {
        self.call = None;
    }
}

impl Drop for AskedFor {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            // The ledger is asked in order, so that this comes behind the reservation.
            in_the_background(give_back(self.shared.clone(), call));
        }
    }
}

/// A call that is under way.
///
/// - **Guarantees:** settled once: by [`OpenCall::settle`], or, when it is dropped, by a task.
pub(crate) struct OpenCall {
    shared: Arc<Shared>,
    line: Arc<Line>,
    call: Option<CallId>,
    prices: Prices,
    begun: Instant,
    first_byte: Option<Duration>,
    pub(crate) status: u16,
    /// How many attempts of the same request were made before.
    pub(crate) retries: u32,
    pub(crate) reading: Reading,
    /// Whether the request has gone out: upstream may then make the call, and charge for it, whatever comes back.
    sent: Arc<AtomicBool>,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// All of it came.
    Whole,
    /// It was cut.
    Cut,
    /// It was a failure, which costs nothing.
    Failed(Outcome),
    /// None came.
    Silent,
}

/// What is known of what a call has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Upstream said it, to the end of its answer.
    Exactly,
    /// Its upper bound alone.
    AtMost,
}

impl OpenCall {
    pub(crate) fn new(shared: &Arc<Shared>, line: &Arc<Line>, call: CallId, prices: Prices) -> Self {
        shared.metrics.llm_running.inc();
        Self {
            shared: shared.clone(),
            line: line.clone(),
            call: Some(call),
            prices,
            begun: Instant::now(),
            first_byte: None,
            status: 0,
            retries: 0,
            reading: Reading::Nothing,
            sent: Arc::default(),
        }
    }

    /// Returns a number from 0 to 99 that nobody can foresee: names of calls end with chance.
    pub(crate) fn chance(&self) -> u32 {
        let digits = self.call.as_ref().map(|call| call.as_str().rsplit('-').next().unwrap_or_default());
        let chance = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default();
        u32::try_from(chance % 100).unwrap_or_default()
    }

    /// Returns what has to be set when the request goes out.
    pub(crate) fn sent(&self) -> Arc<AtomicBool> {
        self.sent.clone()
    }

    /// Notes that the answer begins.
    pub(crate) fn answers(&mut self, status: u16) {
        let waited = self.begun.elapsed();
        self.status = status;
        self.first_byte = Some(waited);
        self.shared.metrics.llm_first_byte_seconds.observe(waited.as_secs_f64());
    }

    /// Settles the call.
    ///
    /// - **Guarantees:** who stops waiting for it, such as a client that has gone, does not stop it.
    pub(crate) async fn settle(mut self, ending: Ending) -> Known {
        let mut known = Known::AtMost;
        if let Some((call, settlement)) = self.settlement(ending) {
            if matches!(settlement.spent, Spent::Said { .. }) {
                known = Known::Exactly;
            }
            begun(write_down(self.shared.clone(), self.line.clone(), call, settlement)).await;
        }
        known
    }

    /// Gives back what was reserved for a call that did not go out after all.
    ///
    /// - **Guarantees:** who stops waiting for it does not stop it.
    pub(crate) async fn release(mut self) {
        let Some(call) = self.call.take() else { return };
        self.shared.metrics.llm_running.dec();
        let (shared, line) = (self.shared.clone(), self.line.clone());
        let given_back = async move {
            give_back(shared, call).await;
            line.ended();
        };
        begun(given_back).await;
    }

    fn settlement(&mut self, ending: Ending) -> Option<(CallId, Settlement)> {
        let call = self.call.take()?;
        self.shared.metrics.llm_running.dec();
        let cost = |tokens| price::cost(&self.prices, tokens, Sending::Single);
        let said = |tokens| Spent::Said { tokens, cost: cost(tokens) };
        let unknown = |tokens| Spent::Unknown { tokens, cost: cost(tokens) };
        let used = std::mem::replace(&mut self.reading, Reading::Nothing).used();
        let (outcome, spent) = match (ending, used) {
            (Ending::Failed(outcome), _) => (outcome, said(Tokens::default())),
            (Ending::Silent, _) | (Ending::Whole, None) => (Outcome::Outage, unknown(Tokens::default())),
            (Ending::Cut, None) => (Outcome::Cut, unknown(Tokens::default())),
            (Ending::Whole, Some(Used::Unknown(tokens))) => (Outcome::Answered, unknown(tokens)),
            // A client that goes away after the last event has had its answer.
            (Ending::Whole | Ending::Cut, Some(Used::Said(tokens))) => (Outcome::Answered, said(tokens)),
            (Ending::Cut, Some(Used::Unknown(tokens))) => (Outcome::Cut, unknown(tokens)),
        };
        // What has not gone out cannot be charged for.
        let spent = if self.sent.load(Ordering::Relaxed) { spent } else { said(Tokens::default()) };
        let milliseconds = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let settlement = Settlement {
            at: Timestamp::now(),
            outcome,
            spent,
            status: self.status,
            retry_count: self.retries,
            first_byte_ms: self.first_byte.map(milliseconds),
            total_ms: milliseconds(self.begun.elapsed()),
        };
        Some((call, settlement))
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        if let Some((call, settlement)) = self.settlement(Ending::Cut) {
            in_the_background(write_down(self.shared.clone(), self.line.clone(), call, settlement));
        }
    }
}

/// Does something that is mostly done at once, and waits for it so long: it goes on where the ledger is away, and where whoever
/// waits for it has gone.
async fn begun(work: impl Future<Output = ()> + Send + 'static) {
    // The task neither panics nor is it ended by anybody.
    let _ = tokio::time::timeout(WAITED_FOR, tokio::spawn(work)).await;
}

/// Does something that nobody waits for. Outside a runtime there is no task: the process ends, and the next one settles the call.
fn in_the_background(work: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(work);
    }
}

async fn write_down(shared: Arc<Shared>, line: Arc<Line>, call: CallId, settlement: Settlement) {
    insist(&call, SETTLING, || shared.ledger.settle(call.clone(), settlement)).await;
    line.ended();
}

async fn give_back(shared: Arc<Shared>, call: CallId) {
    insist(&call, RELEASING, || shared.ledger.release(call.clone(), Timestamp::now())).await;
}

/// Says something to the ledger until it takes it, for so long at most.
async fn insist<F>(call: &CallId, patience: Duration, say: impl Fn() -> F)
where
    F: Future<Output = Result<Settled, LedgerError>>,
{
    let (begun, mut pause) = (Instant::now(), PAUSE);
    loop {
        let error = match say().await {
            // Another process settles what this one may not write any more.
            Ok(Settled::Now(_) | Settled::Before) | Err(LedgerError::Closed | LedgerError::Superseded(_)) => return,
            Err(error) => error,
        };
        tracing::error!(%error, %call, "the ledger does not take the end of a call yet");
        if begun.elapsed() >= patience {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
