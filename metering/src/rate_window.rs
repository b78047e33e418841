//! The rate limits of a Provider (W9): the time of the next call.
//!
//! The window is any sixty seconds, not a minute of the clock. Limits that upstream reports slow calls down before it has to
//! refuse one.
//!
//! **Architecture invariant:** a window is plain data. It knows no clock and no store; the ledger keeps it between calls,
//! so that a restart neither forgets what was used nor bursts.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use manyworlds_api::provider::Limits;
use serde::{Deserialize, Serialize};

/// The time that a call counts.
const WINDOW: SignedDuration = SignedDuration::from_secs(60);
/// The time whose calls share a count, so that a window is small however many calls it has. A call counts up to half a second too
/// long because of it.
const SLOT: SignedDuration = SignedDuration::from_millis(500);

/// The limits of a Provider, for all callers together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// The most calls, tokens, input tokens and output tokens in any minute; `None` is no limit.
    most: [Option<u64>; 4],
    /// The most calls at the same time.
    concurrency: Option<u32>,
}

impl RateLimits {
    /// Returns the limits of a Provider.
    pub fn of(limits: &Limits) -> Self {
        let number = |value: i64| u64::try_from(value).unwrap_or_default();
        Self {
            most: [
                Some(number(limits.requests_per_minute)),
                Some(number(limits.tokens_per_minute)),
                limits.input_tokens_per_minute.map(number),
                limits.output_tokens_per_minute.map(number),
            ],
            concurrency: limits.concurrency.map(|most| u32::try_from(most).unwrap_or_default()),
        }
    }

    fn most(&self, dimension: Dimension) -> Option<u64> {
        self.most[dimension as usize]
    }

    /// Returns a demand that fits into an empty window, so that a larger call waits for one instead of for ever.
    fn capped(&self, demand: Demand) -> Demand {
        let cut = |tokens: u64, dimension| self.most(dimension).map_or(tokens, |most| tokens.min(most));
        let input = cut(cut(demand.input, Dimension::Input), Dimension::Tokens);
        let left = self.most(Dimension::Tokens).map_or(u64::MAX, |most| most - input);
        Demand { input, output: cut(demand.output, Dimension::Output).min(left) }
    }
}

/// A dimension of the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// Calls.
    Requests,
    /// Tokens of both kinds.
    Tokens,
    /// Input tokens.
    Input,
    /// Output tokens.
    Output,
}

impl Dimension {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Requests, Self::Tokens, Self::Input, Self::Output];
}

/// The tokens that a call is expected to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// Input tokens.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
}

impl Demand {
    fn of(self, dimension: Dimension) -> u64 {
        match dimension {
            Dimension::Requests => 1,
            Dimension::Tokens => self.input.saturating_add(self.output),
            Dimension::Input => self.input,
            Dimension::Output => self.output,
        }
    }
}

/// The decision on a call that asks to go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateDecision {
    /// It may go out now.
    Now,
    /// Not before this time, and perhaps later.
    At(Timestamp),
    /// When a call in flight has ended.
    WaitForAnother,
}

/// The entry of a call in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowEntry {
    /// The slot that counts it.
    slot: i64,
    /// The tokens that it counts for.
    demand: Demand,
}

/// A limit that upstream reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamLimit {
    /// Its dimension.
    pub dimension: Dimension,
    /// The amount that is left.
    pub left: u64,
    /// The whole amount.
    pub limit: u64,
    /// The time at which the whole amount is left again.
    pub resets_at: Timestamp,
}

/// The calls of the last minute. Some of its fields have older names in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateWindow {
    slots: VecDeque<Slot>,
    #[serde(rename = "under_way")]
    in_flight: u32,
    /// The time before which no call goes out, in milliseconds.
    not_before: i64,
    #[serde(rename = "hints")]
    upstream: [Option<UpstreamCount>; 4],
}

/// The counts of half a second. Stored as four numbers without names, because a window has up to 121 slots and is written with
/// every call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(i64, u64, u64, u64)", into = "(i64, u64, u64, u64)")]
struct Slot {
    at: i64,
    calls: u64,
    input: u64,
    output: u64,
}

impl From<(i64, u64, u64, u64)> for Slot {
    fn from((at, calls, input, output): (i64, u64, u64, u64)) -> Self {
        Self { at, calls, input, output }
    }
}

impl From<Slot> for (i64, u64, u64, u64) {
    fn from(Slot { at, calls, input, output }: Slot) -> Self {
        (at, calls, input, output)
    }
}

impl Slot {
    fn of(&self, dimension: Dimension) -> u64 {
        match dimension {
            Dimension::Requests => self.calls,
            Dimension::Tokens => self.input.saturating_add(self.output),
            Dimension::Input => self.input,
            Dimension::Output => self.output,
        }
    }

    /// Returns the time from which none of its calls counts any more.
    fn expires(&self) -> i64 {
        (self.at + 1) * millis(SLOT) + millis(WINDOW)
    }
}

/// The count of upstream, which falls evenly to zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct UpstreamCount {
    at: i64,
    left: u64,
    limit: u64,
    #[serde(rename = "full_at")]
    resets_at: i64,
    /// The amount that was used since.
    since: u64,
}

impl UpstreamCount {
    /// Returns the time from which so much more may be used.
    fn allows(&self, wanted: u64) -> i64 {
        let needed = self.since.saturating_add(wanted.min(self.limit));
        let missing = needed.saturating_sub(self.left);
        if missing == 0 {
            return self.at;
        }
        let comes_back = self.limit.saturating_sub(self.left);
        if missing >= comes_back {
            return self.resets_at;
        }
        let share = u128::from(missing) * u128::try_from(self.resets_at - self.at).unwrap_or_default();
        self.at + i64::try_from(share.div_ceil(u128::from(comes_back))).unwrap_or(i64::MAX / 2)
    }
}

impl RateWindow {
    /// Decides when a call may go out.
    pub fn decide(&self, now: Timestamp, limits: &RateLimits, demand: Demand) -> RateDecision {
        let now = now.as_millisecond();
        let demand = limits.capped(demand);
        let by_dimension = Dimension::ALL.into_iter().map(|dimension| {
            let counted =
                limits.most(dimension).map_or(0, |most| self.room_at(now, dimension, most, demand.of(dimension)));
            let upstream = self.upstream[dimension as usize].filter(|count| now < count.resets_at);
            counted.max(upstream.map_or(0, |count| count.allows(demand.of(dimension))))
        });
        let at = by_dimension.fold(self.not_before, i64::max);
        if at > now {
            return RateDecision::At(timestamp(at));
        }
        match limits.concurrency {
            Some(most) if self.in_flight >= most.max(1) => RateDecision::WaitForAnother,
            _ => RateDecision::Now,
        }
    }

    /// Counts a call that goes out.
    pub fn add(&mut self, now: Timestamp, limits: &RateLimits, demand: Demand) -> WindowEntry {
        let now = now.as_millisecond();
        let demand = limits.capped(demand);
        // A clock that was set back must not open the window.
        let slot = now.div_euclid(millis(SLOT)).max(self.slots.back().map_or(i64::MIN, |last| last.at));
        while self.slots.front().is_some_and(|first| first.expires() <= now) {
            self.slots.pop_front();
        }
        if self.slots.back().is_none_or(|last| last.at < slot) {
            self.slots.push_back(Slot { at: slot, calls: 0, input: 0, output: 0 });
        }
        let entry = WindowEntry { slot, demand };
        self.change(entry, Demand::default(), demand, 1);
        for dimension in Dimension::ALL {
            if let Some(count) = &mut self.upstream[dimension as usize] {
                count.since = count.since.saturating_add(demand.of(dimension));
            }
        }
        self.in_flight = self.in_flight.saturating_add(1);
        entry
    }

    /// Replaces the expected tokens of a call that has ended by those that it used.
    pub fn finish(&mut self, entry: WindowEntry, used: Demand) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.change(entry, entry.demand, used, 0);
    }

    /// Removes a call that never went out.
    pub fn release(&mut self, entry: WindowEntry) {
        self.finish(entry, Demand::default());
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.at == entry.slot) {
            slot.calls = slot.calls.saturating_sub(1);
        }
    }

    /// Applies a limit that upstream reported.
    pub fn apply_upstream_limit(&mut self, now: Timestamp, remaining: UpstreamLimit) {
        let UpstreamLimit { dimension, left, limit, resets_at } = remaining;
        let (at, resets_at) = (now.as_millisecond(), resets_at.as_millisecond());
        let count = UpstreamCount { at, left, limit, resets_at, since: 0 };
        // No count of upstream is older than a minute, so its report is valid for a minute at most.
        let known = resets_at > at && resets_at - at <= millis(WINDOW);
        self.upstream[dimension as usize] = known.then_some(count);
    }

    /// Lets no call go out before a time.
    pub fn pause_until(&mut self, not_before: Timestamp) {
        self.not_before = self.not_before.max(not_before.as_millisecond());
    }

    /// Returns the present counts: calls, and input and output tokens.
    pub fn used(&self, now: Timestamp) -> (u64, Demand) {
        let now = now.as_millisecond();
        let counts = |dimension| self.counting(now).map(|slot| slot.of(dimension)).fold(0, u64::saturating_add);
        (counts(Dimension::Requests), Demand { input: counts(Dimension::Input), output: counts(Dimension::Output) })
    }

    /// Returns the number of calls in flight.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    fn counting(&self, now: i64) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(move |slot| slot.expires() > now)
    }

    /// Returns the time from which so much more fits.
    fn room_at(&self, now: i64, dimension: Dimension, most: u64, wanted: u64) -> i64 {
        let used = self.counting(now).map(|slot| slot.of(dimension)).fold(0, u64::saturating_add);
        let mut beyond = used.saturating_add(wanted).saturating_sub(most);
        if beyond == 0 || wanted == 0 {
            return 0;
        }
        for slot in self.counting(now) {
            beyond = beyond.saturating_sub(slot.of(dimension));
            if beyond == 0 {
                return slot.expires();
            }
        }
        // More was used than a whole window holds: it has to be empty.
        self.slots.back().map_or(0, Slot::expires)
    }

    fn change(&mut self, entry: WindowEntry, less: Demand, more: Demand, calls: u64) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.at == entry.slot) else { return };
        slot.calls = slot.calls.saturating_add(calls);
        slot.input = slot.input.saturating_sub(less.input).saturating_add(more.input);
        slot.output = slot.output.saturating_sub(less.output).saturating_add(more.output);
    }
}

fn millis(duration: SignedDuration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

fn timestamp(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
#[path = "rate_window_tests.rs"]
mod tests;
