//! Rows of what a batch changes.

use jiff::Timestamp;
use manyworlds_api::Money;
use manyworlds_metering::breaker::Breaker;
use manyworlds_metering::budget::{Amount, Balance};
use manyworlds_metering::rate_window::RateWindow;
use serde::de::DeserializeOwned;

use super::statement::{Row, Value};
use super::tables::{RESERVATIONS, Table};
use crate::call::{CallId, CallUsage, Caller, OpenReservation};
use crate::error::LedgerError;
use crate::state::{AccountKey, BreakerKey, SettledCall};

pub(crate) fn money(amount: Money) -> Result<i64, LedgerError> {
    i64::try_from(amount.trillionths()).map_err(|_| LedgerError::Range("an amount of money"))
}

pub(crate) fn money_of(number: i64) -> Money {
    Money::from_trillionths(u128::try_from(number).unwrap_or_default())
}

pub(crate) fn count(number: u64) -> Result<i64, LedgerError> {
    i64::try_from(number).map_err(|_| LedgerError::Range("a count of tokens"))
}

pub(crate) fn count_of(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn state(value: &impl serde::Serialize) -> Result<Value, LedgerError> {
    let text = serde_json::to_string(value);
    Ok(Value::Text(Some(text.map_err(|error| LedgerError::Database(error.to_string()))?)))
}

pub(crate) fn parse_state<T: DeserializeOwned>(table: &'static Table, text: &str) -> Result<T, LedgerError> {
    serde_json::from_str(text).map_err(|error| LedgerError::Row { table: table.name, reason: error.to_string() })
}

pub(crate) fn window_row(provider: &str, window: &RateWindow, epoch: i64) -> Result<Row, LedgerError> {
    Ok(vec![provider.into(), epoch.into(), state(window)?])
}

pub(crate) fn breaker_row(key: &BreakerKey, breaker: &Breaker, epoch: i64) -> Result<Row, LedgerError> {
    Ok(vec![key.0.as_str().into(), key.1.as_str().into(), epoch.into(), state(breaker)?])
}

pub(crate) fn account_row(key: &AccountKey, account: &Balance, epoch: i64) -> Result<Row, LedgerError> {
    let Balance { spent, reserved } = account;
    Ok(vec![
        key.0.as_str().into(),
        key.1.into(),
        epoch.into(),
        money(spent.cost)?.into(),
        count(spent.tokens)?.into(),
        money(reserved.cost)?.into(),
        count(reserved.tokens)?.into(),
    ])
}

fn caller_values(caller: &Caller) -> [Value; 6] {
    let Caller { namespace, work_order, order_uid, world, world_uid, attempt } = caller;
    [
        namespace.as_str().into(),
        work_order.as_str().into(),
        order_uid.as_str().into(),
        world.as_str().into(),
        world_uid.as_str().into(),
        i64::from(*attempt).into(),
    ]
}

/// Returns what the rows of a call begin with, under way or ended.
fn call_values(call: &CallId, held: &OpenReservation, epoch: i64) -> Row {
    let mut row = vec![call.as_str().into(), epoch.into()];
    row.extend(caller_values(&held.caller));
    row.extend([
        held.provider.as_str().into(),
        held.model.as_str().into(),
        held.prices.as_str().into(),
        held.at.as_millisecond().into(),
    ]);
    row
}

pub(crate) fn reservation_row(call: &CallId, held: &OpenReservation) -> Result<Row, LedgerError> {
    let mut row = call_values(call, held, held.epoch);
    row.extend([money(held.most.cost)?.into(), count(held.most.tokens)?.into(), state(&held.details)?]);
    Ok(row)
}

pub(crate) fn call_row(call: &CallId, settled: &SettledCall, epoch: i64) -> Result<Row, LedgerError> {
    let SettledCall { held, settlement, tokens, cost } = settled;
    let mut row = call_values(call, held, epoch);
    row.extend([
        settlement.at.as_millisecond().into(),
        settlement.outcome.name().into(),
        i64::from(settlement.status).into(),
        i64::from(matches!(settlement.usage, CallUsage::Unknown { .. })).into(),
    ]);
    let counts =
        [tokens.input, tokens.cached, tokens.cache_write_5m, tokens.cache_write_1h, tokens.output, tokens.reasoning];
    for tokens in counts {
        row.push(count(tokens)?.into());
    }
    row.extend([money(*cost)?.into(), settlement.first_byte_ms.into(), settlement.total_ms.into()]);
    Ok(row)
}

pub(crate) fn open_reservation_of_row(row: Row) -> Result<(CallId, OpenReservation), LedgerError> {
    let mut values = row.into_iter();
    let mut text = || match values.next() {
        Some(Value::Text(text)) => text.unwrap_or_default(),
        Some(Value::Number(number)) => number.unwrap_or_default().to_string(),
        None => String::new(),
    };
    let number = |text: String| text.parse::<i64>().unwrap_or_default();
    let call = CallId::of_row(text());
    let epoch = number(text());
    let caller = Caller {
        namespace: text(),
        work_order: text(),
        order_uid: text(),
        world: text(),
        world_uid: text(),
        attempt: u32::try_from(number(text())).unwrap_or_default(),
    };
    let (provider, model, prices) = (text(), text(), text());
    let at = Timestamp::from_millisecond(number(text())).unwrap_or(Timestamp::UNIX_EPOCH);
    let most = Amount { cost: money_of(number(text())), tokens: count_of(number(text())) };
    let details = parse_state(&RESERVATIONS, &text())?;
    Ok((call, OpenReservation { epoch, caller, provider, model, prices, at, most, details }))
}

pub(crate) fn account_of_row(row: &[Value]) -> Option<((String, i64), Balance)> {
    let [holder, period, _, spent_cost, spent_tokens, reserved_cost, reserved_tokens] = row else {
        return None;
    };
    let number = |value: &Value| match value {
        Value::Number(Some(number)) => *number,
        Value::Number(None) | Value::Text(_) => 0,
    };
    let amount = |cost, tokens| Amount { cost: money_of(number(cost)), tokens: count_of(number(tokens)) };
    let Value::Text(Some(holder)) = holder else { return None };
    let account = Balance { spent: amount(spent_cost, spent_tokens), reserved: amount(reserved_cost, reserved_tokens) };
    Some(((holder.clone(), number(period)), account))
}
