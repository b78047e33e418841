//! The tables of calls and of money, and what their rows mean.

use jiff::Timestamp;
use manyworlds_api::Money;
use manyworlds_metering::breaker::Breaker;
use manyworlds_metering::budget::{Amount, Balance};
use manyworlds_metering::rate_window::RateWindow;

use super::table::{Column, Table, TableRow, Values, column_name, table};
use super::value::{Field, Kind, Row, Value};
use crate::call::{CallId, CallOutcome, CallUsage, Caller, OpenReservation, ReservationDetails};
use crate::error::LedgerError;
use crate::state::{AccountKey, BreakerKey, SettledCall};

/// The processes that wrote. Its key is the epoch itself.
pub(crate) const EPOCHS: Table = Table {
    name: "epochs",
    key: &["epoch"],
    columns: &[
        Column { name: "epoch", kind: Kind::Number },
        Column { name: "writer", kind: Kind::Text },
        Column { name: "began_at", kind: Kind::Number },
        Column { name: "seen_at", kind: Kind::Number },
        Column { name: "ended_at", kind: Kind::Number },
    ],
    sums: &[],
};

table! {
    LLM_CALLS = "llm_calls", sums ["cost", "input_tokens", "cached_tokens", "output_tokens"];
    /// A call that has ended.
    pub(crate) struct CallRow {
        key { id: CallId }
        columns {
            namespace: String,
            work_order: String,
            order_uid: String,
            world: String,
            world_uid: String,
            attempt: u32,
            provider: String,
            model: String,
            prices: String,
            reserved_at: Timestamp,
            settled_at: Timestamp,
            outcome: CallOutcome,
            status: u16,
            estimated: bool,
            input_tokens: u64,
            cached_tokens: u64,
            cache_write_5m_tokens: u64,
            cache_write_1h_tokens: u64,
            output_tokens: u64,
            reasoning_tokens: u64,
            cost: Money,
            first_byte_ms: Option<i64>,
            total_ms: i64,
        }
    }
}

table! {
    CALL_TOTALS = "call_totals",
    sums ["calls", "cost", "input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens"];
    /// The sums of older calls with one outcome.
    pub(crate) struct CallTotalRow {
        key { outcome: CallOutcome }
        columns {
            until: Timestamp,
            calls: u64,
            cost: Money,
            input_tokens: u64,
            cached_tokens: u64,
            cache_write_tokens: u64,
            output_tokens: u64,
        }
    }
}

table! {
    RESERVATIONS = "reservations", sums ["cost", "tokens"];
    /// A call in flight.
    pub(crate) struct ReservationRow {
        key { id: CallId }
        columns {
            namespace: String,
            work_order: String,
            order_uid: String,
            world: String,
            world_uid: String,
            attempt: u32,
            provider: String,
            model: String,
            prices: String,
            reserved_at: Timestamp,
            cost: Money,
            tokens: u64,
            details: ReservationDetails,
        }
    }
}

table! {
    BUDGETS = "budgets", sums ["spent_cost", "spent_tokens", "reserved_cost", "reserved_tokens"];
    /// The balance of a budget in a period.
    pub(crate) struct BudgetRow {
        key { holder: String, period_start: i64 }
        columns {
            spent_cost: Money,
            spent_tokens: u64,
            reserved_cost: Money,
            reserved_tokens: u64,
        }
    }
}

table! {
    RATE_WINDOWS = "rate_windows", sums [];
    /// The rate window of a Provider.
    pub(crate) struct RateWindowRow {
        key { provider: String }
        columns { state: RateWindow }
    }
}

table! {
    BREAKER = "breaker", sums [];
    /// The breaker of a model.
    pub(crate) struct BreakerRow {
        key { provider: String, model: String }
        columns { state: Breaker }
    }
}

/// Implements [`Field`] for types that are stored as JSON.
macro_rules! json_fields {
    ($($type:ty),+) => {
        $(impl Field for $type {
            const KIND: Kind = Kind::Text;

            fn into_value(self) -> Result<Value, LedgerError> {
                let text = serde_json::to_string(&self);
                text.map(Value::from).map_err(|error| LedgerError::Database(error.to_string()))
            }

            fn of_value(value: Value) -> Result<Self, String> {
                serde_json::from_str(&String::of_value(value)?).map_err(|error| error.to_string())
            }
        })+
    };
}

json_fields!(ReservationDetails, RateWindow, Breaker);

impl Field for CallId {
    const KIND: Kind = Kind::Text;

    fn into_value(self) -> Result<Value, LedgerError> {
        Ok(Value::from(self.into_text()))
    }

    fn of_value(value: Value) -> Result<Self, String> {
        String::of_value(value).map(Self::of_text)
    }
}

impl Field for CallOutcome {
    const KIND: Kind = Kind::Text;

    fn into_value(self) -> Result<Value, LedgerError> {
        Ok(Value::from(self.name().to_owned()))
    }

    fn of_value(value: Value) -> Result<Self, String> {
        let name = String::of_value(value)?;
        let outcome = Self::ALL.into_iter().find(|outcome| outcome.name() == name);
        outcome.ok_or_else(|| format!("{name:?} is no outcome of a call"))
    }
}

/// Returns the row of a call in flight. It keeps the epoch of the process that made it.
pub(crate) fn reservation_row(call: &CallId, open: &OpenReservation) -> Result<Row, LedgerError> {
    let OpenReservation { epoch, caller, provider, model, prices, at, most, details } = open.clone();
    let Caller { namespace, work_order, order_uid, world, world_uid, attempt } = caller;
    let row = ReservationRow {
        id: call.clone(),
        namespace,
        work_order,
        order_uid,
        world,
        world_uid,
        attempt,
        provider,
        model,
        prices,
        reserved_at: at,
        cost: most.cost,
        tokens: most.tokens,
        details,
    };
    row.into_values(epoch)
}

/// Reads the row of a call in flight.
pub(crate) fn open_reservation(values: Row) -> Result<(CallId, OpenReservation), LedgerError> {
    let (row, epoch) = ReservationRow::of_values(values)?;
    let ReservationRow { namespace, work_order, order_uid, world, world_uid, attempt, .. } = row;
    let open = OpenReservation {
        epoch,
        caller: Caller { namespace, work_order, order_uid, world, world_uid, attempt },
        provider: row.provider,
        model: row.model,
        prices: row.prices,
        at: row.reserved_at,
        most: Amount { cost: row.cost, tokens: row.tokens },
        details: row.details,
    };
    Ok((row.id, open))
}

/// Returns the row of a call that has ended.
pub(crate) fn call_row(call: &CallId, settled: &SettledCall, epoch: i64) -> Result<Row, LedgerError> {
    let SettledCall { open, settlement, tokens, cost } = settled;
    let Caller { namespace, work_order, order_uid, world, world_uid, attempt } = open.caller.clone();
    let row = CallRow {
        id: call.clone(),
        namespace,
        work_order,
        order_uid,
        world,
        world_uid,
        attempt,
        provider: open.provider.clone(),
        model: open.model.clone(),
        prices: open.prices.clone(),
        reserved_at: open.at,
        settled_at: settlement.at,
        outcome: settlement.outcome,
        status: settlement.status,
        estimated: matches!(settlement.usage, CallUsage::Unknown { .. }),
        input_tokens: tokens.input,
        cached_tokens: tokens.cached,
        cache_write_5m_tokens: tokens.cache_write_5m,
        cache_write_1h_tokens: tokens.cache_write_1h,
        output_tokens: tokens.output,
        reasoning_tokens: tokens.reasoning,
        cost: *cost,
        first_byte_ms: settlement.first_byte_ms,
        total_ms: settlement.total_ms,
    };
    row.into_values(epoch)
}

/// Returns the row of a budget's balance.
pub(crate) fn budget_row(key: &AccountKey, balance: &Balance, epoch: i64) -> Result<Row, LedgerError> {
    let Balance { spent, reserved } = balance;
    let row = BudgetRow {
        holder: key.0.clone(),
        period_start: key.1,
        spent_cost: spent.cost,
        spent_tokens: spent.tokens,
        reserved_cost: reserved.cost,
        reserved_tokens: reserved.tokens,
    };
    row.into_values(epoch)
}

/// Reads the row of a budget's balance.
pub(crate) fn balance(values: Row) -> Result<(AccountKey, Balance), LedgerError> {
    let (row, _) = BudgetRow::of_values(values)?;
    let spent = Amount { cost: row.spent_cost, tokens: row.spent_tokens };
    let reserved = Amount { cost: row.reserved_cost, tokens: row.reserved_tokens };
    Ok(((row.holder, row.period_start), Balance { spent, reserved }))
}

/// Returns the row of a rate window.
pub(crate) fn window_row(provider: &str, window: &RateWindow, epoch: i64) -> Result<Row, LedgerError> {
    RateWindowRow { provider: provider.to_owned(), state: window.clone() }.into_values(epoch)
}

/// Reads the row of a rate window.
pub(crate) fn window(values: Row) -> Result<(String, RateWindow), LedgerError> {
    let (row, _) = RateWindowRow::of_values(values)?;
    Ok((row.provider, row.state))
}

/// Returns the row of a breaker.
pub(crate) fn breaker_row(key: &BreakerKey, breaker: &Breaker, epoch: i64) -> Result<Row, LedgerError> {
    BreakerRow { provider: key.0.clone(), model: key.1.clone(), state: *breaker }.into_values(epoch)
}

/// Reads the row of a breaker.
pub(crate) fn breaker(values: Row) -> Result<(BreakerKey, Breaker), LedgerError> {
    let (row, _) = BreakerRow::of_values(values)?;
    Ok(((row.provider, row.model), row.state))
}
