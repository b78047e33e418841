//! When a session is over although the model did not say so: it repeats itself, cannot improve, or spends too fast.
//!
//! **Architecture invariant:** pure: it sees what was called, what came of it and what was used.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use manyworlds_api::Money;
use serde_json::Value;

/// The same call with the same result so often ends the session; one fewer is pointed out to the model.
const REPEATS: u32 = 4;
/// The same failure of the checks so often in a row ends it.
const SAME_FAILURES: u32 = 3;
/// Answers without a tool so often in a row end it.
const IDLE_ANSWERS: u32 = 3;
/// From this share of the turns on, in percent, it is looked whether the tokens and the money will last.
const FORECAST_FROM: u64 = 20;
/// How many times as many tokens as there are, or as much money, a session may be on the way to use.
const FORECAST_FACTOR: u128 = 3;
/// In reasons, money is rounded up to a millionth of a dollar.
const TRILLIONTHS_SHOWN: u128 = 1_000_000;

/// Why a session ended early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Early {
    #[error("it repeats itself: {0} gave the same result {REPEATS} times")]
    Repeats(String),
    #[error("it cannot improve: the checks failed in the same way {SAME_FAILURES} times")]
    CannotImprove,
    #[error("it says what it would do and does nothing")]
    Idle,
    #[error("its {0} turns are used up")]
    Turns(u32),
    #[error("its {0} tokens are used up")]
    Tokens(u64),
    #[error("it spends faster than forecast: {used} of {most} tokens after {turns} turns")]
    SpendsTooFast { used: u64, most: u64, turns: u32 },
    #[error(
        "it spends faster than forecast: {spent} dollars after {turns} turns, so {forecast} in all, and its share of the order's budget is {share}"
    )]
    CostsTooMuch { spent: Money, forecast: Money, share: Money, turns: u32 },
}

/// What a session may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) turns: u32,
    pub(super) tokens: u64,
    /// The World's share of the order's budget, where it is known what calls cost.
    pub(super) share: Option<Money>,
}

/// What an answer has used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    pub(super) tokens: u64,
    /// Nothing where it is not known.
    pub(super) cost: Money,
}

/// What a session has done.
#[derive(Debug, Default)]
pub(super) struct Conduct {
    seen: HashMap<u64, u32>,
    last_failure: Option<u64>,
    same_failures: u32,
    idle: u32,
    cut: u32,
    turns: u32,
    tokens: u64,
    /// Trillionths of a dollar.
    spent: u128,
}

impl Conduct {
    /// Notes an answer of the model, and returns why no other is asked for.
    pub(super) fn answered(&mut self, used: Used, acts: Acts, bounds: Bounds) -> Option<Early> {
        self.turns += 1;
        self.tokens = self.tokens.saturating_add(used.tokens);
        self.spent = self.spent.saturating_add(used.cost.trillionths());
        self.idle = match acts {
            Acts::Calls | Acts::IsCut => 0,
            Acts::OnlyTalks => self.idle + 1,
        };
        self.cut += u32::from(acts == Acts::IsCut);
        if self.idle >= IDLE_ANSWERS {
            return Some(Early::Idle);
        }
        if self.tokens >= bounds.tokens {
            return Some(Early::Tokens(bounds.tokens));
        }
        if self.turns >= bounds.turns {
            return Some(Early::Turns(bounds.turns));
        }
        let begun = u64::from(self.turns) * 100 >= u64::from(bounds.turns) * FORECAST_FROM;
        if begun { self.spends_too_fast(bounds) } else { None }
    }

    /// Returns why what is there will not last, if all turns use as much as those so far.
    fn spends_too_fast(&self, bounds: Bounds) -> Option<Early> {
        let turns = self.turns;
        let forecast = |used: u128| used.saturating_mul(u128::from(bounds.turns)) / u128::from(turns.max(1));
        let too_much = |forecast: u128, most: u128| forecast > most.saturating_mul(FORECAST_FACTOR);
        if too_much(forecast(self.tokens.into()), bounds.tokens.into()) {
            return Some(Early::SpendsTooFast { used: self.tokens, most: bounds.tokens, turns });
        }
        let share = bounds.share?.trillionths();
        let cost = forecast(self.spent);
        too_much(cost, share).then(|| Early::CostsTooMuch {
            spent: shown(self.spent),
            forecast: shown(cost),
            share: shown(share),
            turns,
        })
    }

    /// Notes what came of a call, and returns what the model is told of it, or why the session ends.
    pub(super) fn called(&mut self, name: &str, arguments: &Value, result: &str) -> Result<Option<String>, Early> {
        let times = self.seen.entry(fingerprint(&(name, arguments.to_string(), result))).or_default();
        *times += 1;
        match *times {
            REPEATS.. => Err(Early::Repeats(name.to_owned())),
            times if times + 1 == REPEATS => {
                Ok(Some(format!("You have done exactly this {times} times with the same result. Do something else.")))
            }
            _ => Ok(None),
        }
    }

    /// Notes that something was changed: the same call may now have another meaning.
    pub(super) fn changed(&mut self) {
        self.seen.clear();
    }

    /// Notes that the checks failed, and returns why no further attempt is made.
    pub(super) fn failed(&mut self, output: &str) -> Option<Early> {
        // Times and addresses differ from run to run; what fails does not.
        let stable: String =
            output.chars().filter(|character| !character.is_ascii_digit() && *character != '.').collect();
        let found = fingerprint(&stable);
        self.same_failures = if self.last_failure == Some(found) { self.same_failures + 1 } else { 1 };
        self.last_failure = Some(found);
        (self.same_failures >= SAME_FAILURES).then_some(Early::CannotImprove)
    }

    pub(super) fn turns(&self) -> u32 {
        self.turns
    }

    /// Returns how many answers were cut.
    pub(super) fn cut(&self) -> u32 {
        self.cut
    }

    pub(super) fn tokens(&self) -> u64 {
        self.tokens
    }
}

/// Whether an answer does anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acts {
    Calls,
    OnlyTalks,
    /// It was cut before its end: what it would have done is not known.
    IsCut,
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

    const BOUNDS: Bounds = Bounds { turns: 50, tokens: 100_000, share: None };

    fn tokens(tokens: u64) -> Used {
        Used { tokens, ..Used::default() }
    }

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    /// Returns how a session ends whose turns cost so much each, and after how many.
    fn ends(cost: &str, share: Option<&str>) -> (Option<Early>, u32) {
        let mut conduct = Conduct::default();
        let bounds = Bounds { share: share.map(money), ..BOUNDS };
        let used = Used { tokens: 10, cost: money(cost) };
        let ended = (0..50).find_map(|_| conduct.answered(used, Acts::Calls, bounds));
        (ended, conduct.turns())
    }

    #[test]
    fn the_fourth_time_the_same_is_the_last() {
        let mut conduct = Conduct::default();
        let mut again = || conduct.called("read_file", &json!({"path": "a"}), "text");
        assert_eq!((again(), again()), (Ok(None), Ok(None)));
        assert!(again().unwrap().unwrap().contains("3 times"));
        assert_eq!(again(), Err(Early::Repeats("read_file".into())));
    }

    #[test]
    fn another_result_or_a_change_is_not_the_same() {
        let mut conduct = Conduct::default();
        for turn in 0..20 {
            assert_eq!(conduct.called("run", &json!({"command": "test"}), &format!("failed {turn}")), Ok(None));
        }
        for _ in 0..20 {
            assert_eq!(conduct.called("run", &json!({"command": "test"}), "failed"), Ok(None));
            conduct.changed();
        }
    }

    #[test]
    fn checks_that_fail_in_the_same_way_three_times_end_it() {
        let mut conduct = Conduct::default();
        assert_eq!(conduct.failed("test_a failed after 1.2 s"), None);
        assert_eq!(conduct.failed("test_a failed after 1.3 s"), None);
        assert_eq!(conduct.failed("test_b failed after 1.3 s"), None);
        assert_eq!(conduct.failed("test_b failed after 2 s"), None);
        assert_eq!(conduct.failed("test_b failed after 3 s"), Some(Early::CannotImprove));
    }

    #[test]
    fn turns_and_tokens_end_and_a_forecast_ends_it_before() {
        let mut conduct = Conduct::default();
        let ends = (0..50).find_map(|_| conduct.answered(tokens(10), Acts::Calls, BOUNDS));
        assert_eq!((ends, conduct.turns()), (Some(Early::Turns(50)), 50));
        let mut conduct = Conduct::default();
        assert_eq!(conduct.answered(tokens(100_000), Acts::Calls, BOUNDS), Some(Early::Tokens(100_000)));
        let mut conduct = Conduct::default();
        let ends = (0..50).find_map(|_| conduct.answered(tokens(8_000), Acts::Calls, BOUNDS));
        assert_eq!(ends, Some(Early::SpendsTooFast { used: 80_000, most: 100_000, turns: 10 }));
        let mut conduct = Conduct::default();
        let ends = (0..50).find_map(|_| conduct.answered(tokens(1_900), Acts::Calls, BOUNDS));
        assert_eq!(ends, Some(Early::Turns(50)), "95,000 of 100,000 is as forecast");
    }

    #[test]
    fn a_forecast_of_three_shares_of_the_money_ends_it_with_the_amounts() {
        let (spent, forecast, share) = (money("0.70"), money("3.50"), money("1.00"));
        let (ended, turns) = ends("0.07", Some("1.00"));
        assert_eq!((&ended, turns), (&Some(Early::CostsTooMuch { spent, forecast, share, turns: 10 }), 10));
        assert_eq!(
            ended.unwrap().to_string(),
            "it spends faster than forecast: 0.70 dollars after 10 turns, so 3.50 in all, and its share of the order's budget is 1.00"
        );
        let (ended, _) = ends("0.07", Some("0.333333333333"));
        assert!(ended.unwrap().to_string().ends_with("is 0.333334"), "no more digits than are read");
    }

    #[test]
    fn who_may_spend_three_shares_or_has_none_goes_on() {
        assert_eq!(ends("0.06", Some("1.00")), (Some(Early::Turns(50)), 50));
        assert_eq!(ends("0.07", None), (Some(Early::Turns(50)), 50));
    }

    #[test]
    fn who_only_talks_is_ended() {
        let mut conduct = Conduct::default();
        assert_eq!(conduct.answered(tokens(1), Acts::OnlyTalks, BOUNDS), None);
        assert_eq!(conduct.answered(tokens(1), Acts::Calls, BOUNDS), None);
        let ends: Vec<_> = (0..3).map(|_| conduct.answered(tokens(1), Acts::OnlyTalks, BOUNDS)).collect();
        assert_eq!(ends, [None, None, Some(Early::Idle)]);
    }

    #[test]
    fn who_is_cut_does_not_only_talk() {
        let mut conduct = Conduct::default();
        let ended = (0..5).find_map(|_| conduct.answered(tokens(1), Acts::IsCut, BOUNDS));
        assert_eq!((ended, conduct.cut()), (None, 5));
    }
}
