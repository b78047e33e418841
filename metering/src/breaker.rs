//! The circuit breaker of a model (W6): a model that keeps failing is not called for a while.

use jiff::{SignedDuration, Timestamp};
use manyworlds_api::provider::{self, BreakerState};
use serde::{Deserialize, Serialize};

/// The settings of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// The number of failures in a row that open it.
    pub failures: u32,
    /// The time that it stays open.
    pub open_for: SignedDuration,
    /// The number of successes in a row that close it again.
    pub successes: u32,
}

impl BreakerSettings {
    /// Returns the settings of a Provider.
    pub fn of(breaker: &provider::Breaker) -> Self {
        let number = |value: i32| u32::try_from(value).unwrap_or_default().max(1);
        let open_for = SignedDuration::try_from(std::time::Duration::from(breaker.open_for));
        Self {
            failures: number(breaker.failures),
            open_for: open_for.unwrap_or(SignedDuration::from_mins(1)),
            successes: number(breaker.successes),
        }
    }
}

/// The decision on a call that asks to go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerDecision {
    /// It may go out.
    Allow,
    /// It may go out, and finds out whether the model can be reached again.
    Probe,
    /// Not before this time.
    WaitUntil(Timestamp),
}

/// The health of a model, as the end of a call shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelHealth {
    /// It answered.
    Reachable,
    /// It failed by its own fault.
    Unreachable,
    /// The call says nothing: the request, the key, the money or the rate was at fault.
    Unknown,
}

/// The failures of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    failures: u32,
    successes: u32,
    /// The end of its open time, in milliseconds. Without one it is closed; after it, half open.
    open_until: Option<i64>,
    /// The time until which other calls wait for the probe, in milliseconds.
    probed_until: Option<i64>,
}

impl Breaker {
    /// Returns whether a call may go out.
    pub fn decide(&self, now: Timestamp) -> BreakerDecision {
        let now = now.as_millisecond();
        match (self.open_until, self.probed_until) {
            (None, _) => BreakerDecision::Allow,
            (Some(until), _) | (_, Some(until)) if now < until => BreakerDecision::WaitUntil(timestamp(until)),
            _ => BreakerDecision::Probe,
        }
    }

    /// Returns its state.
    pub fn state(&self, now: Timestamp) -> BreakerState {
        match self.open_until {
            None => BreakerState::Closed,
            Some(until) if now.as_millisecond() < until => BreakerState::Open,
            Some(_) => BreakerState::HalfOpen,
        }
    }

    /// Records that a call goes out.
    pub fn record_start(&mut self, now: Timestamp, decision: BreakerDecision, settings: &BreakerSettings) {
        if decision == BreakerDecision::Probe {
            // A probe that never ends does not keep all others waiting.
            self.probed_until = Some(later(now, settings.open_for));
        }
    }

    /// Records the end of a call.
    ///
    /// - **Guarantees:** a call that went out before the breaker opened, and ends while it is open or half open, changes nothing.
    pub fn record_end(&mut self, now: Timestamp, kind: CallKind, health: ModelHealth, settings: &BreakerSettings) {
        match (self.open_until.is_some(), kind) {
            (false, _) => self.record_end_closed(now, health, settings),
            (true, CallKind::Probe) => self.record_end_of_probe(now, health, settings),
            (true, CallKind::Regular) => {}
        }
    }

    fn record_end_closed(&mut self, now: Timestamp, health: ModelHealth, settings: &BreakerSettings) {
        match health {
            ModelHealth::Reachable => self.failures = 0,
            ModelHealth::Unknown => {}
            ModelHealth::Unreachable => {
                self.failures = self.failures.saturating_add(1);
                if self.failures >= settings.failures {
                    self.open(now, settings);
                }
            }
        }
    }

    fn record_end_of_probe(&mut self, now: Timestamp, health: ModelHealth, settings: &BreakerSettings) {
        self.probed_until = None;
        match health {
            ModelHealth::Unknown => {}
            ModelHealth::Unreachable => self.open(now, settings),
            ModelHealth::Reachable => {
                self.successes = self.successes.saturating_add(1);
                if self.successes >= settings.successes {
                    *self = Self::default();
                }
            }
        }
    }

    fn open(&mut self, now: Timestamp, settings: &BreakerSettings) {
        *self = Self { open_until: Some(later(now, settings.open_for)), ..Self::default() };
    }
}

/// The role of a call that passed the breaker. Its variants have older names in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallKind {
    /// An ordinary call.
    #[serde(rename = "Usual")]
    Regular,
    /// The call that finds out whether the model can be reached again.
    #[serde(rename = "Probing")]
    Probe,
}

impl CallKind {
    /// Returns the role of a call that may go out.
    pub fn of(decision: BreakerDecision) -> Self {
        if decision == BreakerDecision::Probe { Self::Probe } else { Self::Regular }
    }
}

fn later(now: Timestamp, duration: SignedDuration) -> i64 {
    now.as_millisecond().saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4))
}

fn timestamp(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETTINGS: BreakerSettings =
        BreakerSettings { failures: 5, open_for: SignedDuration::from_secs(60), successes: 2 };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000_000 + seconds).unwrap()
    }

    /// Makes one call and returns whether it went out.
    fn call(breaker: &mut Breaker, now: Timestamp, health: ModelHealth) -> bool {
        let decision = breaker.decide(now);
        if matches!(decision, BreakerDecision::WaitUntil(_)) {
            return false;
        }
        breaker.record_start(now, decision, &SETTINGS);
        breaker.record_end(now, CallKind::of(decision), health, &SETTINGS);
        true
    }

    fn calls(breaker: &mut Breaker, count: u32, health: ModelHealth) {
        for _ in 0..count {
            call(breaker, at(0), health);
        }
    }

    #[test]
    fn w6_opens_after_five_failures_half_opens_after_a_minute_and_closes_after_two_successes() {
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            call(&mut breaker, at(0), ModelHealth::Unreachable);
        }
        assert_eq!(breaker.state(at(0)), BreakerState::Closed);
        call(&mut breaker, at(0), ModelHealth::Unreachable);
        assert_eq!(
            (breaker.state(at(0)), breaker.decide(at(59))),
            (BreakerState::Open, BreakerDecision::WaitUntil(at(60)))
        );
        assert_eq!(breaker.state(at(60)), BreakerState::HalfOpen);
        assert!(call(&mut breaker, at(60), ModelHealth::Reachable));
        assert_eq!(breaker.state(at(60)), BreakerState::HalfOpen);
        assert!(call(&mut breaker, at(60), ModelHealth::Reachable));
        assert_eq!(breaker, Breaker::default());
    }

    #[test]
    fn a_success_between_failures_keeps_it_closed() {
        let mut breaker = Breaker::default();
        for turn in 0..20 {
            call(&mut breaker, at(turn), if turn % 5 == 4 { ModelHealth::Reachable } else { ModelHealth::Unreachable });
        }
        assert_eq!(breaker.state(at(20)), BreakerState::Closed);
    }

    #[test]
    fn only_one_call_at_a_time_tries_a_half_open_breaker() {
        let mut breaker = Breaker::default();
        calls(&mut breaker, 5, ModelHealth::Unreachable);
        assert_eq!(breaker.decide(at(60)), BreakerDecision::Probe);
        breaker.record_start(at(60), BreakerDecision::Probe, &SETTINGS);
        assert_eq!(breaker.decide(at(61)), BreakerDecision::WaitUntil(at(120)), "who tries is given a minute");
        assert_eq!(breaker.decide(at(120)), BreakerDecision::Probe, "and if it is never heard of again, another tries");
    }

    #[test]
    fn what_went_out_before_it_opened_changes_nothing() {
        let mut breaker = Breaker::default();
        calls(&mut breaker, 5, ModelHealth::Unreachable);
        let open = breaker;
        breaker.record_end(at(30), CallKind::Regular, ModelHealth::Unreachable, &SETTINGS);
        breaker.record_end(at(70), CallKind::Regular, ModelHealth::Reachable, &SETTINGS);
        assert_eq!(breaker, open);
    }

    #[test]
    fn what_says_nothing_of_its_health_leaves_it_as_it_was() {
        let mut breaker = Breaker::default();
        calls(&mut breaker, 100, ModelHealth::Unknown);
        assert_eq!(breaker, Breaker::default());
        calls(&mut breaker, 5, ModelHealth::Unreachable);
        assert!(call(&mut breaker, at(60), ModelHealth::Unknown));
        assert_eq!((breaker.state(at(60)), breaker.decide(at(60))), (BreakerState::HalfOpen, BreakerDecision::Probe));
    }

    /// The breaker as W6 tells it, over the whole history of calls.
    fn model(history: &[(i64, ModelHealth)], now: i64) -> BreakerState {
        let (mut state, mut failures, mut successes, mut opened) = (BreakerState::Closed, 0, 0, 0);
        for (time, health) in history {
            if state == BreakerState::Open && *time >= opened + 60 {
                (state, successes) = (BreakerState::HalfOpen, 0);
            }
            match (state, health) {
                (BreakerState::Closed, ModelHealth::Reachable) => failures = 0,
                (BreakerState::Closed, ModelHealth::Unreachable) => failures += 1,
                (BreakerState::HalfOpen, ModelHealth::Reachable) => successes += 1,
                (BreakerState::HalfOpen, ModelHealth::Unreachable) => (state, opened) = (BreakerState::Open, *time),
                _ => {}
            }
            if state == BreakerState::Closed && failures == 5 {
                (state, opened, failures) = (BreakerState::Open, *time, 0);
            }
            if state == BreakerState::HalfOpen && successes == 2 {
                (state, failures) = (BreakerState::Closed, 0);
            }
        }
        if state == BreakerState::Open && now >= opened + 60 { BreakerState::HalfOpen } else { state }
    }

    proptest! {
        #[test]
        fn it_does_what_w6_says(steps in prop::collection::vec((0_i64..40, 0_u8..5), 0..200)) {
            let (mut breaker, mut history, mut now) = (Breaker::default(), Vec::new(), 0);
            for (pause, outcome) in steps {
                now += pause;
                let health = match outcome { 0 => ModelHealth::Reachable, 1 => ModelHealth::Unknown, _ => ModelHealth::Unreachable };
                let expected = model(&history, now);
                prop_assert_eq!(breaker.state(at(now)), expected);
                let went = call(&mut breaker, at(now), health);
                prop_assert_eq!(went, expected != BreakerState::Open);
                if went {
                    history.push((now, health));
                }
            }
        }
    }
}
