//! Reservations and settlements of calls, and their results.

use std::fmt;

use jiff::Timestamp;
use manyworlds_api::Money;
use manyworlds_metering::breaker::{BreakerSettings, CallKind, ModelHealth};
use manyworlds_metering::budget::{Amount, SpendingLimit};
use manyworlds_metering::price::Tokens;
use manyworlds_metering::rate_window::{Demand, RateLimits, WindowEntry};
use serde::{Deserialize, Serialize};

/// The name of a call to a Provider.
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

    pub(crate) fn of_text(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn into_text(self) -> String {
        self.0
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

/// A budget that pays for a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetAccount {
    /// Its name in the ledger, such as `order/<uid>` or `budget/<uid>`.
    pub key: String,
    /// Its name for people.
    pub name: String,
    /// The most that may be spent.
    pub limit: SpendingLimit,
    /// The start of its period; `None` where it has none.
    pub period_start: Option<Timestamp>,
}

/// A call that is about to be made.
#[derive(Clone, Debug)]
pub struct Reservation {
    /// Its name.
    pub call: CallId,
    /// Now.
    pub at: Timestamp,
    /// The attempt that makes it.
    pub caller: Caller,
    /// The Provider, as `<namespace>/<name>`.
    pub provider: String,
    /// The model, as the Provider knows it.
    pub model: String,
    /// The name of the prices that its cost is computed with, such as the hash of their table.
    pub prices: String,
    /// The tokens that it is expected to use, for the rate window.
    pub demand: Demand,
    /// The most that it can cost and use: this is reserved.
    pub most: Amount,
    /// The most that one answer of it can cost and use. It is less than `most` where the call asks for several answers.
    pub single: Amount,
    /// The Provider's limits.
    pub limits: RateLimits,
    /// The settings of the model's breaker.
    pub breaker: BreakerSettings,
    /// Every budget that pays for it.
    pub budgets: Vec<BudgetAccount>,
}

/// The result of a reservation.
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
    /// The call asks for several answers, which can cost more than what is left of the budget of this name.
    BudgetTooSmall(String),
}

/// The reservation of a call in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenReservation {
    /// The epoch of the process that made it.
    pub epoch: i64,
    /// The attempt that makes the call.
    pub caller: Caller,
    /// The Provider.
    pub provider: String,
    /// The model.
    pub model: String,
    /// The name of the prices.
    pub prices: String,
    /// The time at which it was granted.
    pub at: Timestamp,
    /// The amount that is reserved.
    pub most: Amount,
    /// The other reservations that the end of the call undoes.
    pub details: ReservationDetails,
}

/// The part of a reservation that is stored as JSON. Its keys in the store have older names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationDetails {
    /// Its entry in the rate window.
    #[serde(rename = "place")]
    pub entry: WindowEntry,
    /// Whether the breaker let it pass as a probe.
    #[serde(rename = "passed")]
    pub kind: CallKind,
    /// The number of failures in a row that open the breaker.
    pub failures: u32,
    /// The time that it then stays open, in milliseconds.
    pub open_for: i64,
    /// The number of successes in a row that close it.
    pub successes: u32,
    /// Key and start of the period of each budget, in milliseconds; 0 where it has none.
    #[serde(rename = "holders")]
    pub budgets: Vec<(String, i64)>,
}

/// The outcome of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CallOutcome {
    /// The model answered.
    Answered,
    /// Upstream failed, or could not be reached.
    Outage,
    /// Upstream was busy or its rate limit was passed.
    Refused,
    /// The request or the key was wrong, or the money was used up.
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

    /// Returns what it says about the model's health.
    pub const fn health(self) -> ModelHealth {
        match self {
            Self::Answered => ModelHealth::Reachable,
            Self::Outage => ModelHealth::Unreachable,
            Self::Refused | Self::Faulty | Self::Cut | Self::Lost => ModelHealth::Unknown,
        }
    }
}

/// The usage of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallUsage {
    /// Upstream reported it.
    Reported {
        /// Its tokens.
        tokens: Tokens,
        /// Their cost.
        cost: Money,
    },
    /// It is not known. The call is charged what was reserved, or what is known where that is more.
    Unknown {
        /// At least these tokens.
        tokens: Tokens,
        /// Their cost.
        cost: Money,
    },
}

/// The end of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Now.
    pub at: Timestamp,
    /// Its outcome.
    pub outcome: CallOutcome,
    /// Its usage.
    pub usage: CallUsage,
    /// The status of upstream's answer; 0 where there was none.
    pub status: u16,
    /// The number of attempts of the same request before this one.
    pub retry_count: u32,
    /// The time from the start of the call to the first byte of the answer, in milliseconds.
    pub first_byte_ms: Option<i64>,
    /// The duration of the call, in milliseconds.
    pub total_ms: i64,
}

/// The result of a settlement or a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettleResult {
    /// It counted; the call has cost this much.
    Settled(Money),
    /// The call had been settled or released before.
    AlreadySettled,
}
