//! The progress of a session, and when to stop it early: it repeats itself, does not improve, or spends too fast.
//!
//! **Architecture invariant:** pure: it sees calls, their results and their usage.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use manyworlds_api::Money;
use serde_json::Value;

/// The number of equal calls with equal results that ends the session. After one fewer the model is warned.
const REPEATS: u32 = 4;
/// The number of equal failures of the checks in a row that ends it.
const SAME_FAILURES: u32 = 3;
/// The number of answers without a tool in a row that ends it.
const IDLE_ANSWERS: u32 = 3;
/// The share of the turns after which tokens and money are forecast, in percent.
const FORECAST_FROM: u64 = 20;
/// The largest forecast, as a multiple of the tokens or of the money that there is.
const FORECAST_FACTOR: u128 = 3;
/// In reasons, money is rounded up to a millionth of a dollar.
const TRILLIONTHS_SHOWN: u128 = 1_000_000;

/// The reason why a session is stopped early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EarlyStop {
    #[error("it repeats itself: {0} gave the same result {REPEATS} times")]
    Repetition(String),
    #[error("it cannot improve: the checks failed in the same way {SAME_FAILURES} times")]
    NoImprovement,
    #[error("it says what it would do and does nothing")]
    NoToolCalls,
    #[error("its {0} turns are used up")]
    TurnLimit(u32),
    #[error("its {0} tokens are used up")]
    TokenLimit(u64),
    #[error("it spends faster than forecast: {used} of {most} tokens after {turns} turns")]
    TokenForecast { used: u64, most: u64, turns: u32 },
    #[error(
        "it spends faster than forecast: {spent} dollars after {turns} turns, so {forecast} in all, and its share of the order's budget is {share}"
    )]
    CostForecast { spent: Money, forecast: Money, share: Money, turns: u32 },
}

/// The limits of a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionLimits {
    pub(super) turns: u32,
    pub(super) tokens: u64,
    /// The World's share of the order's budget, if the prices of calls are known.
    pub(super) share: Option<Money>,
}

/// The usage of one answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TurnUsage {
    pub(super) tokens: u64,
    /// Zero where it is not known.
    pub(super) cost: Money,
}

/// The progress of a session so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    seen: HashMap<u64, u32>,
    last_failure: Option<u64>,
    same_failures: u32,
    idle: u32,
    truncated: u32,
    turns: u32,
    tokens: u64,
    /// Trillionths of a dollar.
    spent: u128,
}

impl Progress {
    /// Records an answer of the model, and returns why the session stops after it.
    pub(super) fn record_answer(
        &mut self,
        used: TurnUsage,
        kind: AnswerKind,
        limits: SessionLimits,
    ) -> Option<EarlyStop> {
        self.turns += 1;
        self.tokens = self.tokens.saturating_add(used.tokens);
        self.spent = self.spent.saturating_add(used.cost.trillionths());
        self.idle = match kind {
            AnswerKind::ToolCalls | AnswerKind::Truncated => 0,
            AnswerKind::TextOnly => self.idle + 1,
        };
        self.truncated += u32::from(kind == AnswerKind::Truncated);
        if self.idle >= IDLE_ANSWERS {
            return Some(EarlyStop::NoToolCalls);
        }
        if self.tokens >= limits.tokens {
            return Some(EarlyStop::TokenLimit(limits.tokens));
        }
        if self.turns >= limits.turns {
            return Some(EarlyStop::TurnLimit(limits.turns));
        }
        let begun = u64::from(self.turns) * 100 >= u64::from(limits.turns) * FORECAST_FROM;
        if begun { self.spends_too_fast(limits) } else { None }
    }

    /// Returns the forecast that is too high, if all turns use as much as those so far.
    fn spends_too_fast(&self, limits: SessionLimits) -> Option<EarlyStop> {
        let turns = self.turns;
        let forecast = |used: u128| used.saturating_mul(u128::from(limits.turns)) / u128::from(turns.max(1));
        let too_much = |forecast: u128, most: u128| forecast > most.saturating_mul(FORECAST_FACTOR);
        if too_much(forecast(self.tokens.into()), limits.tokens.into()) {
            return Some(EarlyStop::TokenForecast { used: self.tokens, most: limits.tokens, turns });
        }
        let share = limits.share?.trillionths();
        let cost = forecast(self.spent);
        too_much(cost, share).then(|| EarlyStop::CostForecast {
            spent: shown(self.spent),
            forecast: shown(cost),
            share: shown(share),
            turns,
        })
    }

    /// Records a call and its result. Returns a warning for the model, or why the session stops.
    pub(super) fn record_call(
        &mut self,
        name: &str,
        arguments: &Value,
        result: &str,
    ) -> Result<Option<String>, EarlyStop> {
        let times = self.seen.entry(fingerprint(&(name, arguments.to_string(), result))).or_default();
        *times += 1;
        match *times {
            REPEATS.. => Err(EarlyStop::Repetition(name.to_owned())),
            times if times + 1 == REPEATS => {
                Ok(Some(format!("You have done exactly this {times} times with the same result. Do something else.")))
            }
            _ => Ok(None),
        }
    }

    /// Records a change: the same call may now give another result.
    pub(super) fn record_change(&mut self) {
        self.seen.clear();
    }

    /// Records a failure of the checks, and returns why the session stops after it.
    pub(super) fn record_failed_checks(&mut self, output: &str) -> Option<EarlyStop> {
        // Times and addresses differ from run to run; what fails does not.
        let stable: String =
            output.chars().filter(|character| !character.is_ascii_digit() && *character != '.').collect();
        let found = fingerprint(&stable);
        self.same_failures = if self.last_failure == Some(found) { self.same_failures + 1 } else { 1 };
        self.last_failure = Some(found);
        (self.same_failures >= SAME_FAILURES).then_some(EarlyStop::NoImprovement)
    }

    pub(super) fn turns(&self) -> u32 {
        self.turns
    }

    /// Returns the number of answers that were truncated.
    pub(super) fn truncated_answers(&self) -> u32 {
        self.truncated
    }

    pub(super) fn tokens(&self) -> u64 {
        self.tokens
    }
}

/// The kind of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerKind {
    ToolCalls,
    TextOnly,
    /// It was cut before its end, so nobody knows what it would have done.
    Truncated,
}

fn shown(trillionths: u128) -> Money {
    Money::from_trillionths(trillionths.div_ceil(TRILLIONTHS_SHOWN).saturating_mul(TRILLIONTHS_SHOWN))
}

fn fingerprint(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LIMITS: SessionLimits = SessionLimits { turns: 50, tokens: 100_000, share: None };

    fn tokens(tokens: u64) -> TurnUsage {
        TurnUsage { tokens, ..TurnUsage::default() }
    }

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    /// Returns how a session ends whose turns cost so much each, and after how many.
    fn ends(cost: &str, share: Option<&str>) -> (Option<EarlyStop>, u32) {
        let mut progress = Progress::default();
        let limits = SessionLimits { share: share.map(money), ..LIMITS };
        let used = TurnUsage { tokens: 10, cost: money(cost) };
        let ended = (0..50).find_map(|_| progress.record_answer(used, AnswerKind::ToolCalls, limits));
        (ended, progress.turns())
    }

    #[test]
    fn the_fourth_time_the_same_is_the_last() {
        let mut progress = Progress::default();
        let mut again = || progress.record_call("read_file", &json!({"path": "a"}), "text");
        assert_eq!((again(), again()), (Ok(None), Ok(None)));
        assert!(again().unwrap().unwrap().contains("3 times"));
        assert_eq!(again(), Err(EarlyStop::Repetition("read_file".into())));
    }

    #[test]
    fn another_result_or_a_change_is_not_the_same() {
        let mut progress = Progress::default();
        for turn in 0..20 {
            assert_eq!(progress.record_call("run", &json!({"command": "test"}), &format!("failed {turn}")), Ok(None));
        }
        for _ in 0..20 {
            assert_eq!(progress.record_call("run", &json!({"command": "test"}), "failed"), Ok(None));
            progress.record_change();
        }
    }

    #[test]
    fn checks_that_fail_in_the_same_way_three_times_end_it() {
        let mut progress = Progress::default();
        assert_eq!(progress.record_failed_checks("test_a failed after 1.2 s"), None);
        assert_eq!(progress.record_failed_checks("test_a failed after 1.3 s"), None);
        assert_eq!(progress.record_failed_checks("test_b failed after 1.3 s"), None);
        assert_eq!(progress.record_failed_checks("test_b failed after 2 s"), None);
        assert_eq!(progress.record_failed_checks("test_b failed after 3 s"), Some(EarlyStop::NoImprovement));
    }

    #[test]
    fn turns_and_tokens_end_and_a_forecast_ends_it_before() {
        let mut progress = Progress::default();
        let ends = (0..50).find_map(|_| progress.record_answer(tokens(10), AnswerKind::ToolCalls, LIMITS));
        assert_eq!((ends, progress.turns()), (Some(EarlyStop::TurnLimit(50)), 50));
        let mut progress = Progress::default();
        assert_eq!(
            progress.record_answer(tokens(100_000), AnswerKind::ToolCalls, LIMITS),
            Some(EarlyStop::TokenLimit(100_000))
        );
        let mut progress = Progress::default();
        let ends = (0..50).find_map(|_| progress.record_answer(tokens(8_000), AnswerKind::ToolCalls, LIMITS));
        assert_eq!(ends, Some(EarlyStop::TokenForecast { used: 80_000, most: 100_000, turns: 10 }));
        let mut progress = Progress::default();
        let ends = (0..50).find_map(|_| progress.record_answer(tokens(1_900), AnswerKind::ToolCalls, LIMITS));
        assert_eq!(ends, Some(EarlyStop::TurnLimit(50)), "95,000 of 100,000 is as forecast");
    }

    #[test]
    fn a_forecast_of_three_shares_of_the_money_ends_it_with_the_amounts() {
        let (spent, forecast, share) = (money("0.70"), money("3.50"), money("1.00"));
        let (ended, turns) = ends("0.07", Some("1.00"));
        assert_eq!((&ended, turns), (&Some(EarlyStop::CostForecast { spent, forecast, share, turns: 10 }), 10));
        assert_eq!(
            ended.unwrap().to_string(),
            "it spends faster than forecast: 0.70 dollars after 10 turns, so 3.50 in all, and its share of the order's budget is 1.00"
        );
        let (ended, _) = ends("0.07", Some("0.333333333333"));
        assert!(ended.unwrap().to_string().ends_with("is 0.333334"), "no more digits than are read");
    }

    #[test]
    fn who_may_spend_three_shares_or_has_none_goes_on() {
        assert_eq!(ends("0.06", Some("1.00")), (Some(EarlyStop::TurnLimit(50)), 50));
        assert_eq!(ends("0.07", None), (Some(EarlyStop::TurnLimit(50)), 50));
    }

    #[test]
    fn who_only_talks_is_ended() {
        let mut progress = Progress::default();
        assert_eq!(progress.record_answer(tokens(1), AnswerKind::TextOnly, LIMITS), None);
        assert_eq!(progress.record_answer(tokens(1), AnswerKind::ToolCalls, LIMITS), None);
        let ends: Vec<_> = (0..3).map(|_| progress.record_answer(tokens(1), AnswerKind::TextOnly, LIMITS)).collect();
        assert_eq!(ends, [None, None, Some(EarlyStop::NoToolCalls)]);
    }

    #[test]
    fn who_is_cut_does_not_only_talk() {
        let mut progress = Progress::default();
        let ended = (0..5).find_map(|_| progress.record_answer(tokens(1), AnswerKind::Truncated, LIMITS));
        assert_eq!((ended, progress.truncated_answers()), (None, 5));
    }
}
