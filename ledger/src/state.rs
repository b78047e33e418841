//! The rules of the ledger over what is held in memory.
//!
//! **Architecture invariant:** pure. A [`LedgerState`] knows no store and no clock: the writer fills in what a batch touches, lets
//! the state answer, and writes the [`Changes`] in the same transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use manyworlds_api::Money;
use manyworlds_metering::breaker::{Breaker, BreakerDecision, BreakerSettings, CallKind};
use manyworlds_metering::budget::{Amount, Balance, BudgetDecision};
use manyworlds_metering::price::Tokens;
use manyworlds_metering::rate_window::{Demand, RateDecision, RateWindow, UpstreamLimit};

use crate::call::{
    BudgetAccount, CallId, CallOutcome, CallUsage, OpenReservation, Reservation, ReservationDetails, ReserveResult,
    SettleResult, Settlement,
};

/// Provider and model.
pub(crate) type BreakerKey = (String, String);
/// Key of a budget and the beginning of its period in milliseconds; 0 where it has none.
pub(crate) type AccountKey = (String, i64);

/// What is held in memory of the rows that a batch touches.
#[derive(Clone, Debug, Default)]
pub(crate) struct LedgerState {
    pub(crate) windows: HashMap<String, RateWindow>,
    pub(crate) breakers: HashMap<BreakerKey, Breaker>,
    pub(crate) accounts: HashMap<AccountKey, Balance>,
    pub(crate) held: HashMap<CallId, OpenReservation>,
    /// Whether every reservation of the store is in `held`, so that what is not there is nowhere.
    pub(crate) complete: bool,
    changes: Changes,
}

/// What has to be written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    pub(crate) windows: BTreeSet<String>,
    pub(crate) breakers: BTreeSet<BreakerKey>,
    pub(crate) accounts: BTreeSet<AccountKey>,
    pub(crate) reserved: BTreeSet<CallId>,
    pub(crate) removed: BTreeSet<CallId>,
    pub(crate) settled: BTreeMap<CallId, SettledCall>,
}

/// A call that has ended.
#[derive(Clone, Debug)]
pub(crate) struct SettledCall {
    pub(crate) held: OpenReservation,
    pub(crate) settlement: Settlement,
    pub(crate) tokens: Tokens,
    pub(crate) cost: Money,
}

impl LedgerState {
    /// Returns what has changed since the last time.
    pub(crate) fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    pub(crate) fn reserve(&mut self, reservation: &Reservation, epoch: i64) -> ReserveResult {
        if self.held.contains_key(&reservation.call) {
            return ReserveResult::Granted;
        }
        let breaker_key = (reservation.provider.clone(), reservation.model.clone());
        let window = self.windows.entry(reservation.provider.clone()).or_default();
        let breaker = self.breakers.entry(breaker_key.clone()).or_default();
        if let Some(refused) = refused_by_budget(&self.accounts, &reservation.budgets, reservation.most) {
            return refused;
        }
        let decision = breaker.decide(reservation.at);
        if let BreakerDecision::WaitUntil(until) = decision {
            return ReserveResult::BreakerOpen(until);
        }
        match window.decide(reservation.at, &reservation.limits, reservation.demand) {
            RateDecision::At(at) => return ReserveResult::WaitUntil(at),
            RateDecision::WaitForAnother => return ReserveResult::TooManyInFlight,
            RateDecision::Now => {}
        }
        let entry = window.add(reservation.at, &reservation.limits, reservation.demand);
        breaker.record_start(reservation.at, decision, &reservation.breaker);
        if decision == BreakerDecision::Probe {
            self.changes.breakers.insert(breaker_key);
        }
        for budget in &reservation.budgets {
            let key = account_key(budget);
            self.accounts.entry(key.clone()).or_default().reserve(reservation.most);
            self.changes.accounts.insert(key);
        }
        self.changes.windows.insert(reservation.provider.clone());
        self.changes.reserved.insert(reservation.call.clone());
        self.held.insert(reservation.call.clone(), held(reservation, details_of(reservation, entry, decision), epoch));
        ReserveResult::Granted
    }

    pub(crate) fn settle(&mut self, call: &CallId, settlement: Settlement) -> SettleResult {
        let Some(held) = self.remove(call) else { return SettleResult::AlreadySettled };
        let (tokens, cost) = charge_of(&held, settlement.usage);
        let used = Amount { cost, tokens: total(tokens) };
        let demand = Demand { input: tokens.all_input(), output: tokens.output };
        let window_use = match settlement.usage {
            // Upstream does not count what it reads from its cache.
            CallUsage::Reported { tokens, .. } => {
                Demand { input: tokens.all_input().saturating_sub(tokens.cached), ..demand }
            }
            CallUsage::Unknown { .. } => demand,
        };
        self.windows.entry(held.provider.clone()).or_default().finish(held.details.entry, window_use);
        self.breaker_ended(&held, settlement.at, settlement.outcome);
        self.pay(&held, used);
        self.changes.settled.insert(call.clone(), SettledCall { held, settlement, tokens, cost });
        SettleResult::Settled(cost)
    }

    pub(crate) fn release(&mut self, call: &CallId, now: Timestamp) -> SettleResult {
        let Some(held) = self.remove(call) else { return SettleResult::AlreadySettled };
        self.windows.entry(held.provider.clone()).or_default().release(held.details.entry);
        self.breaker_ended(&held, now, CallOutcome::Lost);
        self.pay(&held, Amount::default());
        SettleResult::Settled(Money::default())
    }

    /// Settles a call whose process died: it may have cost all that was reserved for it.
    pub(crate) fn settle_lost(&mut self, call: &CallId, now: Timestamp) -> SettleResult {
        let since = self.held.get(call).map_or(0, |held| now.as_millisecond() - held.at.as_millisecond());
        let settlement = Settlement {
            at: now,
            outcome: CallOutcome::Lost,
            usage: CallUsage::Unknown { tokens: Tokens::default(), cost: Money::default() },
            status: 0,
            retry_count: 0,
            first_byte_ms: None,
            total_ms: since.max(0),
        };
        self.settle(call, settlement)
    }

    pub(crate) fn record_upstream_limits(
        &mut self,
        provider: &str,
        now: Timestamp,
        remaining: &[UpstreamLimit],
        not_before: Option<Timestamp>,
    ) {
        let window = self.windows.entry(provider.to_owned()).or_default();
        for said in remaining {
            window.apply_upstream_limit(now, *said);
        }
        if let Some(not_before) = not_before {
            window.pause_until(not_before);
        }
        self.changes.windows.insert(provider.to_owned());
    }

    fn remove(&mut self, call: &CallId) -> Option<OpenReservation> {
        let held = self.held.remove(call)?;
        if !self.changes.reserved.remove(call) {
            self.changes.removed.insert(call.clone());
        }
        self.changes.windows.insert(held.provider.clone());
        Some(held)
    }

    fn breaker_ended(&mut self, held: &OpenReservation, now: Timestamp, outcome: CallOutcome) {
        let key = (held.provider.clone(), held.model.clone());
        let breaker = self.breakers.entry(key.clone()).or_default();
        let before = *breaker;
        let settings = BreakerSettings {
            failures: held.details.failures,
            open_for: SignedDuration::from_millis(held.details.open_for),
            successes: held.details.successes,
        };
        breaker.record_end(now, held.details.kind, outcome.health(), &settings);
        if *breaker != before {
            self.changes.breakers.insert(key);
        }
    }

    fn pay(&mut self, held: &OpenReservation, used: Amount) {
        for key in &held.details.budgets {
            self.accounts.entry(key.clone()).or_default().settle(held.most, used);
            self.changes.accounts.insert(key.clone());
        }
    }
}

fn refused_by_budget(
    accounts: &HashMap<AccountKey, Balance>,
    budgets: &[BudgetAccount],
    most: Amount,
) -> Option<ReserveResult> {
    let mut waits = None;
    for budget in budgets {
        let account = accounts.get(&account_key(budget)).copied().unwrap_or_default();
        match account.decide(&budget.limit, most) {
            BudgetDecision::Exhausted => return Some(ReserveResult::BudgetExhausted(budget.name.clone())),
            BudgetDecision::WaitForAnother => waits = Some(ReserveResult::WaitForAnother),
            BudgetDecision::Granted => {}
        }
    }
    waits
}

pub(crate) fn account_key(budget: &BudgetAccount) -> AccountKey {
    (budget.key.clone(), budget.period_start.map_or(0, Timestamp::as_millisecond))
}

fn details_of(
    reservation: &Reservation,
    entry: manyworlds_metering::rate_window::WindowEntry,
    decision: BreakerDecision,
) -> ReservationDetails {
    let BreakerSettings { failures, open_for, successes } = reservation.breaker;
    ReservationDetails {
        entry,
        kind: CallKind::of(decision),
        failures,
        open_for: i64::try_from(open_for.as_millis()).unwrap_or(i64::MAX / 4),
        successes,
        budgets: reservation.budgets.iter().map(account_key).collect(),
    }
}

fn held(reservation: &Reservation, details: ReservationDetails, epoch: i64) -> OpenReservation {
    OpenReservation {
        epoch,
        caller: reservation.caller.clone(),
        provider: reservation.provider.clone(),
        model: reservation.model.clone(),
        prices: reservation.prices.clone(),
        at: reservation.at,
        most: reservation.most,
        details,
    }
}

/// Returns tokens and cost of a call. Where they are not known, all that was reserved, the tokens beyond those known counted as
/// output, or what is known where that comes to more.
fn charge_of(held: &OpenReservation, usage: CallUsage) -> (Tokens, Money) {
    match usage {
        CallUsage::Reported { tokens, cost } => (tokens, cost),
        CallUsage::Unknown { tokens: known, cost } => {
            let beyond = held.most.tokens.saturating_sub(total(known));
            (Tokens { output: known.output.saturating_add(beyond), ..known }, held.most.cost.max(cost))
        }
    }
}

fn total(tokens: Tokens) -> u64 {
    tokens.all_input().saturating_add(tokens.output)
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
