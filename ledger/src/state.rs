//! The rules of the ledger over its state in memory.
//!
//! **Architecture invariant:** pure. A [`LedgerState`] knows no store and no clock: the writer loads the rows that a batch
//! needs, lets the state decide, and writes the [`Changes`] in the same transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use manyworlds_api::Money;
use manyworlds_metering::breaker::{Breaker, BreakerDecision, BreakerSettings, CallKind};
use manyworlds_metering::budget::{Amount, Balance, BudgetDecision};
use manyworlds_metering::price::Tokens;
use manyworlds_metering::rate_window::{Demand, RateDecision, RateWindow, UpstreamLimit, WindowEntry};

use crate::call::{
    BudgetAccount, CallId, CallOutcome, CallUsage, OpenReservation, Reservation, ReservationDetails, ReserveResult,
    SettleResult, Settlement,
};

/// Provider and model.
pub(crate) type BreakerKey = (String, String);
/// Key of a budget and the start of its period in milliseconds; 0 where it has none.
pub(crate) type AccountKey = (String, i64);

/// The rows that a batch needs, in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct LedgerState {
    pub(crate) windows: HashMap<String, RateWindow>,
    pub(crate) breakers: HashMap<BreakerKey, Breaker>,
    pub(crate) balances: HashMap<AccountKey, Balance>,
    pub(crate) open: HashMap<CallId, OpenReservation>,
    /// Whether `open` has every reservation of the store, so that no other has to be looked for.
    pub(crate) is_complete: bool,
    changes: Changes,
}

/// The rows that have to be written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    pub(crate) windows: BTreeSet<String>,
    pub(crate) breakers: BTreeSet<BreakerKey>,
    pub(crate) balances: BTreeSet<AccountKey>,
    pub(crate) reserved: BTreeSet<CallId>,
    pub(crate) removed: BTreeSet<CallId>,
    pub(crate) settled: BTreeMap<CallId, SettledCall>,
}

/// A call that has ended.
#[derive(Clone, Debug)]
pub(crate) struct SettledCall {
    pub(crate) open: OpenReservation,
    pub(crate) settlement: Settlement,
    pub(crate) tokens: Tokens,
    pub(crate) cost: Money,
}

impl LedgerState {
    /// Returns the changes since the last time.
    pub(crate) fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// Reserves a call.
    ///
    /// - **Guarantees:** a refused call changes nothing; a call that is reserved already is granted again.
    pub(crate) fn reserve(&mut self, reservation: &Reservation, epoch: i64) -> ReserveResult {
        if self.open.contains_key(&reservation.call) {
            return ReserveResult::Granted;
        }
        let breaker_key = (reservation.provider.clone(), reservation.model.clone());
        let window = self.windows.entry(reservation.provider.clone()).or_default();
        let breaker = self.breakers.entry(breaker_key.clone()).or_default();
        if let Some(refused) = refused_by_budget(&self.balances, reservation) {
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
            self.balances.entry(key.clone()).or_default().reserve(reservation.most);
            self.changes.balances.insert(key);
        }
        self.changes.windows.insert(reservation.provider.clone());
        self.changes.reserved.insert(reservation.call.clone());
        self.open.insert(reservation.call.clone(), opened(reservation, entry, decision, epoch));
        ReserveResult::Granted
    }

    /// Settles a call: its cost and its tokens take the place of what was reserved.
    pub(crate) fn settle(&mut self, call: &CallId, settlement: Settlement) -> SettleResult {
        let Some(open) = self.remove(call) else { return SettleResult::AlreadySettled };
        let (tokens, cost) = charge(&open, settlement.usage);
        let used = Amount { cost, tokens: total(tokens) };
        let demand = Demand { input: tokens.all_input(), output: tokens.output };
        let counted = match settlement.usage {
            // Upstream does not count what it reads from its cache.
            CallUsage::Reported { tokens, .. } => {
                Demand { input: tokens.all_input().saturating_sub(tokens.cached), ..demand }
            }
            CallUsage::Unknown { .. } => demand,
        };
        self.windows.entry(open.provider.clone()).or_default().finish(open.details.entry, counted);
        self.end_at_breaker(&open, settlement.at, settlement.outcome);
        self.charge_budgets(&open, used);
        self.changes.settled.insert(call.clone(), SettledCall { open, settlement, tokens, cost });
        SettleResult::Settled(cost)
    }

    /// Gives back what was reserved for a call that never went out.
    pub(crate) fn release(&mut self, call: &CallId, now: Timestamp) -> SettleResult {
        let Some(open) = self.remove(call) else { return SettleResult::AlreadySettled };
        self.windows.entry(open.provider.clone()).or_default().release(open.details.entry);
        self.end_at_breaker(&open, now, CallOutcome::Lost);
        self.charge_budgets(&open, Amount::default());
        SettleResult::Settled(Money::default())
    }

    /// Settles a call whose process died, for all that was reserved: it may have cost that.
    pub(crate) fn settle_lost(&mut self, call: &CallId, now: Timestamp) -> SettleResult {
        let since = self.open.get(call).map_or(0, |open| now.as_millisecond() - open.at.as_millisecond());
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

    /// Applies the limits that upstream reported, and its wish for a pause.
    pub(crate) fn record_upstream_limits(
        &mut self,
        provider: &str,
        now: Timestamp,
        limits: &[UpstreamLimit],
        not_before: Option<Timestamp>,
    ) {
        let window = self.windows.entry(provider.to_owned()).or_default();
        for limit in limits {
            window.apply_upstream_limit(now, *limit);
        }
        if let Some(not_before) = not_before {
            window.pause_until(not_before);
        }
        self.changes.windows.insert(provider.to_owned());
    }

    fn remove(&mut self, call: &CallId) -> Option<OpenReservation> {
        let open = self.open.remove(call)?;
        if !self.changes.reserved.remove(call) {
            self.changes.removed.insert(call.clone());
        }
        self.changes.windows.insert(open.provider.clone());
        Some(open)
    }

    fn end_at_breaker(&mut self, open: &OpenReservation, now: Timestamp, outcome: CallOutcome) {
        let key = (open.provider.clone(), open.model.clone());
        let breaker = self.breakers.entry(key.clone()).or_default();
        let before = *breaker;
        let settings = BreakerSettings {
            failures: open.details.failures,
            open_for: SignedDuration::from_millis(open.details.open_for),
            successes: open.details.successes,
        };
        breaker.record_end(now, open.details.kind, outcome.health(), &settings);
        if *breaker != before {
            self.changes.breakers.insert(key);
        }
    }

    fn charge_budgets(&mut self, open: &OpenReservation, used: Amount) {
        for key in &open.details.budgets {
            self.balances.entry(key.clone()).or_default().settle(open.most, used);
            self.changes.balances.insert(key.clone());
        }
    }
}

fn refused_by_budget(balances: &HashMap<AccountKey, Balance>, reservation: &Reservation) -> Option<ReserveResult> {
    let Reservation { most, single, budgets, .. } = reservation;
    let mut waits = None;
    for budget in budgets {
        let balance = balances.get(&account_key(budget)).copied().unwrap_or_default();
        match balance.decide(&budget.limit, *most) {
            BudgetDecision::Exhausted => return Some(ReserveResult::BudgetExhausted(budget.name.clone())),
            _ if balance.is_passed_by_several(&budget.limit, *most, *single) => {
                return Some(ReserveResult::BudgetTooSmall(budget.name.clone()));
            }
            BudgetDecision::WaitForAnother => waits = Some(ReserveResult::WaitForAnother),
            BudgetDecision::Granted => {}
        }
    }
    waits
}

/// Returns the key of a budget in its present period.
pub(crate) fn account_key(budget: &BudgetAccount) -> AccountKey {
    (budget.key.clone(), budget.period_start.map_or(0, Timestamp::as_millisecond))
}

fn opened(reservation: &Reservation, entry: WindowEntry, decision: BreakerDecision, epoch: i64) -> OpenReservation {
    let BreakerSettings { failures, open_for, successes } = reservation.breaker;
    OpenReservation {
        epoch,
        caller: reservation.caller.clone(),
        provider: reservation.provider.clone(),
        model: reservation.model.clone(),
        prices: reservation.prices.clone(),
        at: reservation.at,
        most: reservation.most,
        details: ReservationDetails {
            entry,
            kind: CallKind::of(decision),
            failures,
            open_for: i64::try_from(open_for.as_millis()).unwrap_or(i64::MAX / 4),
            successes,
            budgets: reservation.budgets.iter().map(account_key).collect(),
        },
    }
}

/// Returns the tokens and the cost that a call is charged for.
///
/// - **Guarantees:** where the usage is unknown, all that was reserved, the tokens beyond the known ones counted as output;
///   never less than what is known.
fn charge(open: &OpenReservation, usage: CallUsage) -> (Tokens, Money) {
    match usage {
        CallUsage::Reported { tokens, cost } => (tokens, cost),
        CallUsage::Unknown { tokens: known, cost } => {
            let beyond = open.most.tokens.saturating_sub(total(known));
            (Tokens { output: known.output.saturating_add(beyond), ..known }, open.most.cost.max(cost))
        }
    }
}

fn total(tokens: Tokens) -> u64 {
    tokens.all_input().saturating_add(tokens.output)
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
