//! The rules of the ledger over what is held in memory.
//!
//! **Architecture invariant:** pure. A [`Book`] knows no store and no clock: the writer fills in what a batch touches, lets
//! the book answer, and writes the [`Changes`] in the same transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use manyworlds_api::Money;
use manyworlds_metering::breaker::{Breaker, BreakerSettings, Pass, Passed};
use manyworlds_metering::budget::{Account, Amount, Verdict};
use manyworlds_metering::price::Tokens;
use manyworlds_metering::rate_window::{Demand, RateWindow, Remaining, Turn};

use crate::call::{CallId, Claim, Held, Holder, Outcome, Reservation, Reserved, Settled, Settlement, Spent};

/// Provider and model.
pub(crate) type BreakerKey = (String, String);
/// Key of a holder and the beginning of its period in milliseconds; 0 where it has none.
pub(crate) type AccountKey = (String, i64);

/// What is held in memory of the rows that a batch touches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    pub(crate) windows: HashMap<String, RateWindow>,
    pub(crate) breakers: HashMap<BreakerKey, Breaker>,
    pub(crate) accounts: HashMap<AccountKey, Account>,
    pub(crate) held: HashMap<CallId, Held>,
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
    pub(crate) held: Held,
    pub(crate) settlement: Settlement,
    pub(crate) tokens: Tokens,
    pub(crate) cost: Money,
}

impl Book {
    /// Returns what has changed since it was last asked.
    pub(crate) fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    pub(crate) fn reserve(&mut self, asked: &Reservation, epoch: i64) -> Reserved {
        if self.held.contains_key(&asked.call) {
            return Reserved::Granted;
        }
        let breaker_key = (asked.provider.clone(), asked.model.clone());
        let window = self.windows.entry(asked.provider.clone()).or_default();
        let breaker = self.breakers.entry(breaker_key.clone()).or_default();
        if let Some(refused) = refused_by_money(&self.accounts, &asked.holders, asked.most) {
            return refused;
        }
        let pass = breaker.pass(asked.at);
        if let Pass::Wait(until) = pass {
            return Reserved::BreakerOpen(until);
        }
        match window.turn(asked.at, &asked.limits, asked.demand) {
            Turn::At(at) => return Reserved::Wait(at),
            Turn::AfterAnother => return Reserved::Full,
            Turn::Now => {}
        }
        let place = window.take(asked.at, &asked.limits, asked.demand);
        breaker.goes_out(asked.at, pass, &asked.breaker);
        if pass == Pass::Probe {
            self.changes.breakers.insert(breaker_key);
        }
        for holder in &asked.holders {
            let key = account_key(holder);
            self.accounts.entry(key.clone()).or_default().reserve(asked.most);
            self.changes.accounts.insert(key);
        }
        self.changes.windows.insert(asked.provider.clone());
        self.changes.reserved.insert(asked.call.clone());
        self.held.insert(asked.call.clone(), held(asked, place_claim(asked, place, pass), epoch));
        Reserved::Granted
    }

    pub(crate) fn settle(&mut self, call: &CallId, settlement: Settlement) -> Settled {
        let Some(held) = self.remove(call) else { return Settled::Before };
        let (tokens, cost) = reckon(&held, settlement.spent);
        let used = Amount { cost, tokens: total(tokens) };
        let demand = Demand { input: tokens.all_input(), output: tokens.output };
        let window_use = match settlement.spent {
            // Upstream does not count what it reads from its cache.
            Spent::Said { tokens, .. } => Demand { input: tokens.all_input().saturating_sub(tokens.cached), ..demand },
            Spent::Unknown { .. } => demand,
        };
        self.windows.entry(held.provider.clone()).or_default().ended(held.claim.place, window_use);
        self.breaker_ended(&held, settlement.at, settlement.outcome);
        self.pay(&held, used);
        self.changes.settled.insert(call.clone(), SettledCall { held, settlement, tokens, cost });
        Settled::Now(cost)
    }

    pub(crate) fn release(&mut self, call: &CallId, now: Timestamp) -> Settled {
        let Some(held) = self.remove(call) else { return Settled::Before };
        self.windows.entry(held.provider.clone()).or_default().released(held.claim.place);
        self.breaker_ended(&held, now, Outcome::Lost);
        self.pay(&held, Amount::default());
        Settled::Now(Money::default())
    }

    /// Settles a call whose process died: it may have cost all that was reserved for it.
    pub(crate) fn lose(&mut self, call: &CallId, now: Timestamp) -> Settled {
        let since = self.held.get(call).map_or(0, |held| now.as_millisecond() - held.at.as_millisecond());
        let settlement = Settlement {
            at: now,
            outcome: Outcome::Lost,
            spent: Spent::Unknown { tokens: Tokens::default(), cost: Money::default() },
            status: 0,
            retry_count: 0,
            first_byte_ms: None,
            total_ms: since.max(0),
        };
        self.settle(call, settlement)
    }

    pub(crate) fn upstream_said(
        &mut self,
        provider: &str,
        now: Timestamp,
        remaining: &[Remaining],
        not_before: Option<Timestamp>,
    ) {
        let window = self.windows.entry(provider.to_owned()).or_default();
        for said in remaining {
            window.upstream_has_left(now, *said);
        }
        if let Some(not_before) = not_before {
            window.upstream_refused(not_before);
        }
        self.changes.windows.insert(provider.to_owned());
    }

    fn remove(&mut self, call: &CallId) -> Option<Held> {
        let held = self.held.remove(call)?;
        if !self.changes.reserved.remove(call) {
            self.changes.removed.insert(call.clone());
        }
        self.changes.windows.insert(held.provider.clone());
        Some(held)
    }

    fn breaker_ended(&mut self, held: &Held, now: Timestamp, outcome: Outcome) {
        let key = (held.provider.clone(), held.model.clone());
        let breaker = self.breakers.entry(key.clone()).or_default();
        let before = *breaker;
        let settings = BreakerSettings {
            failures: held.claim.failures,
            open_for: SignedDuration::from_millis(held.claim.open_for),
            successes: held.claim.successes,
        };
        breaker.ended(now, held.claim.passed, outcome.health(), &settings);
        if *breaker != before {
            self.changes.breakers.insert(key);
        }
    }

    fn pay(&mut self, held: &Held, used: Amount) {
        for key in &held.claim.holders {
            self.accounts.entry(key.clone()).or_default().settle(held.most, used);
            self.changes.accounts.insert(key.clone());
        }
    }
}

fn refused_by_money(accounts: &HashMap<AccountKey, Account>, holders: &[Holder], most: Amount) -> Option<Reserved> {
    let mut waits = None;
    for holder in holders {
        let account = accounts.get(&account_key(holder)).copied().unwrap_or_default();
        match account.ask(&holder.allowed, most) {
            Verdict::Exhausted => return Some(Reserved::Exhausted(holder.name.clone())),
            Verdict::AfterAnother => waits = Some(Reserved::AfterAnother),
            Verdict::Granted => {}
        }
    }
    waits
}

pub(crate) fn account_key(holder: &Holder) -> AccountKey {
    (holder.key.clone(), holder.period_start.map_or(0, Timestamp::as_millisecond))
}

fn place_claim(asked: &Reservation, place: manyworlds_metering::rate_window::Place, pass: Pass) -> Claim {
    let BreakerSettings { failures, open_for, successes } = asked.breaker;
    Claim {
        place,
        passed: Passed::of(pass),
        failures,
        open_for: i64::try_from(open_for.as_millis()).unwrap_or(i64::MAX / 4),
        successes,
        holders: asked.holders.iter().map(account_key).collect(),
    }
}

fn held(asked: &Reservation, claim: Claim, epoch: i64) -> Held {
    Held {
        epoch,
        party: asked.party.clone(),
        provider: asked.provider.clone(),
        model: asked.model.clone(),
        prices: asked.prices.clone(),
        at: asked.at,
        most: asked.most,
        claim,
    }
}

/// Returns tokens and cost of a call. Where they are not known, all that was reserved, the tokens beyond those known counted as
/// output, or what is known where that comes to more.
fn reckon(held: &Held, spent: Spent) -> (Tokens, Money) {
    match spent {
        Spent::Said { tokens, cost } => (tokens, cost),
        Spent::Unknown { tokens: known, cost } => {
            let beyond = held.most.tokens.saturating_sub(total(known));
            (Tokens { output: known.output.saturating_add(beyond), ..known }, held.most.cost.max(cost))
        }
    }
}

fn total(tokens: Tokens) -> u64 {
    tokens.all_input().saturating_add(tokens.output)
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
