//! What is asked of the ledger, and what it answers.

use std::fmt;

use jiff::Timestamp;
use manyworlds_api::Money;
use manyworlds_metering::breaker::{BreakerSettings, CallKind, ModelHealth};
use manyworlds_metering::budget::{Amount, SpendingLimit};
use manyworlds_metering::price::Tokens;
use manyworlds_metering::rate_window::{Demand, RateLimits, WindowEntry};
use serde::{Deserialize, Serialize};

/// Names one call to a Provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CallId(String);

impl CallId {
    /// Returns a name that no other call has. Later ones sort behind earlier ones.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "each one is another")]
    pub fn new() -> Self {
        Self(uuid::Uuid::now_v7().to_string())
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn of_row(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The attempt of a World that a call belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// Namespace of the order.
    pub namespace: String,
    /// Name of the order.
    pub work_order: String,
    /// Uid of the order.
    pub order_uid: String,
    /// Name of the World.
    pub world: String,
    /// Uid of the World.
    pub world_uid: String,
    /// Number of the attempt, from 1.
    pub attempt: u32,
}

/// A budget that a call is held by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetAccount {
    /// Names it in the ledger, such as `order/<uid>` or `budget/<uid>`.
    pub key: String,
    /// Names it to people.
    pub name: String,
    /// The most that may be spent.
    pub limit: SpendingLimit,
    /// When its period began; `None` where it has none.
    pub period_start: Option<Timestamp>,
}

/// A call that is about to be made.
#[derive(Clone, Debug)]
pub struct Reservation {
    /// Its name.
    pub call: CallId,
    /// Now.
    pub at: Timestamp,
    /// Whose it is.
    pub caller: Caller,
    /// Whom it goes to, as `<namespace>/<name>`.
    pub provider: String,
    /// The model, as the Provider knows it.
    pub model: String,
    /// Names the prices that it is reckoned by, such as the hash of their table.
    pub prices: String,
    /// What it counts for in the rate window.
    pub demand: Demand,
    /// What it may use at most.
    pub most: Amount,
    /// The Provider's limits.
    pub limits: RateLimits,
    /// When the model's breaker opens and closes.
    pub breaker: BreakerSettings,
    /// Every budget that pays for it.
    pub budgets: Vec<BudgetAccount>,
}

/// What became of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReserveResult {
    /// The call may be made now, and has to be settled or released.
    Granted,
    /// The rate window has no room before this time.
    WaitUntil(Timestamp),
    /// The Provider takes no more calls at once.
    TooManyInFlight,
    /// A call in flight has to end first: the budget may be enough when its cost is known.
    WaitForAnother,
    /// The breaker of the model is open until this time.
    BreakerOpen(Timestamp),
    /// The budget of this name is spent.
    BudgetExhausted(String),
}

/// What a call that was granted has been given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenReservation {
    /// Its epoch.
    pub epoch: i64,
    /// Whose it is.
    pub caller: Caller,
    /// Whom it goes to.
    pub provider: String,
    /// The model.
    pub model: String,
    /// The prices.
    pub prices: String,
    /// When it was granted.
    pub at: Timestamp,
    /// What was set aside.
    pub most: Amount,
    /// The rest.
    pub details: ReservationDetails,
}

/// What is set aside for a call beside its money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationDetails {
    /// Its entry in the rate window.
    #[serde(rename = "place")]
    pub entry: WindowEntry,
    /// How it passed the breaker.
    #[serde(rename = "passed")]
    pub kind: CallKind,
    /// Failures in a row that open the breaker.
    pub failures: u32,
    /// How long it then stays open, in milliseconds.
    pub open_for: i64,
    /// Successes in a row that close it.
    pub successes: u32,
    /// Key and start of the period of each budget, in milliseconds; 0 where it has none.
    #[serde(rename = "holders")]
    pub budgets: Vec<(String, i64)>,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CallOutcome {
    /// The model answered.
    Answered,
    /// Upstream failed, or could not be reached.
    Outage,
    /// Upstream was busy or its rate limit was passed.
    Refused,
    /// The request, the key or the money was at fault.
    Faulty,
    /// The client went away, or the answer was cut.
    Cut,
    /// The process that made it died.
    Lost,
}

impl CallOutcome {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Answered, Self::Outage, Self::Refused, Self::Faulty, Self::Cut, Self::Lost];

    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "Answered",
            Self::Outage => "Outage",
            Self::Refused => "Refused",
            Self::Faulty => "Faulty",
            Self::Cut => "Cut",
            Self::Lost => "Lost",
        }
    }

    /// Returns what it says about the health of the model.
    pub const fn health(self) -> ModelHealth {
        match self {
            Self::Answered => ModelHealth::Reachable,
            Self::Outage => ModelHealth::Unreachable,
            Self::Refused | Self::Faulty | Self::Cut | Self::Lost => ModelHealth::Unknown,
        }
    }
}

/// What a call has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallUsage {
    /// Upstream reported it.
    Reported {
        /// Its tokens.
        tokens: Tokens,
        /// What they cost.
        cost: Money,
    },
    /// It is not known. What was reserved is taken to be spent, or what is known where that comes to more.
    Unknown {
        /// At least these tokens.
        tokens: Tokens,
        /// What they cost.
        cost: Money,
    },
}

/// How a call ended and what it used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Now.
    pub at: Timestamp,
    /// How it ended.
    pub outcome: CallOutcome,
    /// What it used.
    pub usage: CallUsage,
    /// The status of upstream's answer; 0 where there was none.
    pub status: u16,
    /// How many attempts of the same request were made before.
    pub retry_count: u32,
    /// When the first byte of the answer came, in milliseconds after the call went out.
    pub first_byte_ms: Option<i64>,
    /// How long the call took, in milliseconds.
    pub total_ms: i64,
}

/// Whether a settlement counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettleResult {
    /// It counted; the call has cost this much.
    Settled(Money),
    /// The call had been settled or released before.
    AlreadySettled,
}
