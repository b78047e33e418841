//! A call between its reservation and its settlement: it is settled once, whatever happens.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use manyworlds_api::provider::{Prices, Protocol};
use manyworlds_ledger::{CallId, CallOutcome, CallUsage, LedgerError, SettleResult, Settlement};
use manyworlds_metering::price::{self, CallMode, Tokens};
use serde_json::Value;

use crate::kept_bytes::KeptBytes;
use crate::queue::FairQueue;
use crate::shared::Shared;
use crate::usage::{self, Usage, UsageParser};

/// The largest answer that is not streamed and whose usage is read, in bytes.
const LARGEST_ANSWER: usize = 32 * 1024 * 1024;
/// How long a settlement is retried. A reservation that stays is settled when the process has gone.
const SETTLE_RETRY_TIME: Duration = Duration::from_hours(24);
/// How long a release is retried: it may be of a call that was never reserved.
const RELEASE_RETRY_TIME: Duration = Duration::from_mins(1);
/// The first wait before a retry. Each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest wait before a retry.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The time for which an answer waits for its settlement.
const SETTLEMENT_WAIT: Duration = Duration::from_secs(1);

/// Reads the usage of one answer.
pub(crate) enum UsageReader {
    /// No answer came yet, or it is too large to be read, or there is no room for it.
    Nothing,
    /// The answer is streamed.
    Stream(Box<UsageParser>),
    /// The answer is one document, of which this came so far.
    Document(Protocol, KeptBytes),
}

impl UsageReader {
    /// Takes the next part of the answer.
    pub(crate) fn feed(&mut self, part: &[u8]) {
        match self {
            Self::Nothing => {}
            Self::Stream(parser) => parser.feed(part),
            Self::Document(_, body) => {
                // An answer that is not read is settled at its upper bound.
                if body.len() + part.len() > LARGEST_ANSWER || body.extend(part).is_err() {
                    *self = Self::Nothing;
                }
            }
        }
    }

    /// Returns the usage, or nothing where the document is no JSON.
    fn finish(self) -> Option<Usage> {
        let unknown = Usage::Unknown(Tokens::default());
        Some(match self {
            Self::Nothing => unknown,
            Self::Stream(parser) => parser.finish(),
            Self::Document(protocol, body) => {
                let value: Value = serde_json::from_slice(&body).ok()?;
                usage::of_body(protocol, &value).map_or(unknown, Usage::Reported)
            }
        })
    }
}

/// A reservation that was asked of the ledger, and not answered yet.
///
/// - **Guarantees:** dropping it gives back what may have been reserved, as when the client has gone or the answer was lost.
pub(crate) struct PendingReservation {
    shared: Arc<Shared>,
    call: Option<CallId>,
}

impl PendingReservation {
    pub(crate) fn new(shared: &Arc<Shared>, call: CallId) -> Self {
        Self { shared: shared.clone(), call: Some(call) }
    }

    /// Notes that the ledger has answered.
    pub(crate) fn answered(mut self) {
        self.call = None;
    }
}

impl Drop for PendingReservation {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            // The ledger takes commands in order, so this one comes behind the reservation.
            in_the_background(release(self.shared.clone(), call));
        }
    }
}

/// A call that was reserved and is not settled yet.
///
/// - **Guarantees:** it is settled once: by [`InFlightCall::settle`], or, when it is dropped, by a task.
pub(crate) struct InFlightCall {
    shared: Arc<Shared>,
    queue: Arc<FairQueue>,
    call: Option<CallId>,
    prices: Prices,
    begun: Instant,
    first_byte: Option<Duration>,
    pub(crate) status: u16,
    /// The number of attempts of the same request before this one.
    pub(crate) retries: u32,
    pub(crate) usage: UsageReader,
    /// The request has gone out: upstream may then make the call, and charge for it, whatever comes back.
    sent: Arc<AtomicBool>,
}

/// The end of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerEnd {
    /// All of it came.
    Complete,
    /// It was cut.
    Cut,
    /// It was a failure, which costs nothing.
    Failed(CallOutcome),
    /// No answer came.
    Missing,
}

/// The certainty of a call's cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CostCertainty {
    /// Upstream reported the usage, to the end of its answer.
    Exact,
    /// Only an upper bound is known.
    UpperBound,
}

impl InFlightCall {
    /// Returns a call that was reserved a moment ago.
    pub(crate) fn new(shared: &Arc<Shared>, queue: &Arc<FairQueue>, call: CallId, prices: Prices) -> Self {
        shared.metrics.llm_running.inc();
        Self {
            shared: shared.clone(),
            queue: queue.clone(),
            call: Some(call),
            prices,
            begun: Instant::now(),
            first_byte: None,
            status: 0,
            retries: 0,
            usage: UsageReader::Nothing,
            sent: Arc::default(),
        }
    }

    /// Returns a random number from 0 to 99: the names of calls end with chance.
    pub(crate) fn chance(&self) -> u32 {
        let digits = self.call.as_ref().map(|call| call.as_str().rsplit('-').next().unwrap_or_default());
        let chance = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default();
        u32::try_from(chance % 100).unwrap_or_default()
    }

    /// Returns the flag that has to be set when the request goes out.
    pub(crate) fn sent(&self) -> Arc<AtomicBool> {
        self.sent.clone()
    }

    /// Notes that the answer begins.
    pub(crate) fn answer_begins(&mut self, status: u16) {
        let waited = self.begun.elapsed();
        self.status = status;
        self.first_byte = Some(waited);
        self.shared.metrics.llm_first_byte_seconds.observe(waited.as_secs_f64());
    }

    /// Settles the call.
    ///
    /// - **Guarantees:** the settlement goes on where nobody waits for it any more, as when the client has gone.
    pub(crate) async fn settle(mut self, end: AnswerEnd) -> CostCertainty {
        let mut certainty = CostCertainty::UpperBound;
        if let Some((call, settlement)) = self.settlement(end) {
            if matches!(settlement.usage, CallUsage::Reported { .. }) {
                certainty = CostCertainty::Exact;
            }
            mostly_done(settle(self.shared.clone(), self.queue.clone(), call, settlement)).await;
        }
        certainty
    }

    /// Releases the reservation of a call that did not go out after all.
    ///
    /// - **Guarantees:** the release goes on where nobody waits for it any more.
    pub(crate) async fn release(mut self) {
        let Some(call) = self.call.take() else { return };
        self.shared.metrics.llm_running.dec();
        let (shared, queue) = (self.shared.clone(), self.queue.clone());
        let released = async move {
            release(shared, call).await;
            queue.call_ended();
        };
        mostly_done(released).await;
    }

    fn settlement(&mut self, end: AnswerEnd) -> Option<(CallId, Settlement)> {
        let call = self.call.take()?;
        self.shared.metrics.llm_running.dec();
        let cost = |tokens| price::cost(&self.prices, tokens, CallMode::Single);
        let exactly = |tokens| CallUsage::Reported { tokens, cost: cost(tokens) };
        let at_least = |tokens| CallUsage::Unknown { tokens, cost: cost(tokens) };
        let usage = std::mem::replace(&mut self.usage, UsageReader::Nothing).finish();
        let (outcome, spent) = match (end, usage) {
            (AnswerEnd::Failed(outcome), _) => (outcome, exactly(Tokens::default())),
            (AnswerEnd::Missing, _) | (AnswerEnd::Complete, None) => (CallOutcome::Outage, at_least(Tokens::default())),
            (AnswerEnd::Cut, None) => (CallOutcome::Cut, at_least(Tokens::default())),
            (AnswerEnd::Complete, Some(Usage::Unknown(tokens))) => (CallOutcome::Answered, at_least(tokens)),
            // A client that goes away after the last event has had its answer.
            (AnswerEnd::Complete | AnswerEnd::Cut, Some(Usage::Reported(tokens))) => {
                (CallOutcome::Answered, exactly(tokens))
            }
            (AnswerEnd::Cut, Some(Usage::Unknown(tokens))) => (CallOutcome::Cut, at_least(tokens)),
        };
        // A request that has not gone out cannot be charged for.
        let spent = if self.sent.load(Ordering::Relaxed) { spent } else { exactly(Tokens::default()) };
        let milliseconds = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let settlement = Settlement {
            at: Timestamp::now(),
            outcome,
            usage: spent,
            status: self.status,
            retry_count: self.retries,
            first_byte_ms: self.first_byte.map(milliseconds),
            total_ms: milliseconds(self.begun.elapsed()),
        };
        Some((call, settlement))
    }
}

impl Drop for InFlightCall {
    fn drop(&mut self) {
        if let Some((call, settlement)) = self.settlement(AnswerEnd::Cut) {
            in_the_background(settle(self.shared.clone(), self.queue.clone(), call, settlement));
        }
    }
}

/// Runs work that is mostly done at once, and waits for it for [`SETTLEMENT_WAIT`] at most. The work goes on where the ledger is
/// away, and where nobody waits for it any more.
async fn mostly_done(work: impl Future<Output = ()> + Send + 'static) {
    // The task neither panics nor is it ended by anybody.
    let _ = tokio::time::timeout(SETTLEMENT_WAIT, tokio::spawn(work)).await;
}

/// Runs work that nobody waits for. Outside a runtime there is no task: the process ends, and the next one settles the call.
fn in_the_background(work: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(work);
    }
}

async fn settle(shared: Arc<Shared>, queue: Arc<FairQueue>, call: CallId, settlement: Settlement) {
    retry(&call, SETTLE_RETRY_TIME, || shared.ledger.settle(call.clone(), settlement)).await;
    queue.call_ended();
}

async fn release(shared: Arc<Shared>, call: CallId) {
    retry(&call, RELEASE_RETRY_TIME, || shared.ledger.release(call.clone(), Timestamp::now())).await;
}

/// Repeats a command until the ledger takes it, or the retry time is over.
async fn retry<F>(call: &CallId, retry_time: Duration, command: impl Fn() -> F)
where
    F: Future<Output = Result<SettleResult, LedgerError>>,
{
    let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
    loop {
        let error = match command().await {
            // Another process settles what this one may not write any more.
            Ok(SettleResult::Settled(_) | SettleResult::AlreadySettled)
            | Err(LedgerError::Closed | LedgerError::Superseded(_) | LedgerError::Faulted) => return,
            Err(error) => error,
        };
        tracing::error!(%error, %call, "the ledger does not take the end of a call yet");
        if begun.elapsed() >= retry_time {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
