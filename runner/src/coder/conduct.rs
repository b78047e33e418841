//! When a session is over although the model did not say so: it repeats itself, cannot improve, or spends too fast.
//!
//! **Architecture invariant:** pure: it sees what was called, what came of it and what was used.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

/// The same call with the same result so often ends the session; one fewer is pointed out to the model.
const REPEATS: u32 = 4;
/// The same failure of the checks so often in a row ends it.
const SAME_FAILURES: u32 = 3;
/// Answers without a tool so often in a row end it.
const IDLE_ANSWERS: u32 = 3;
/// From this share of the turns on, in percent, it is looked whether the tokens will last.
const FORECAST_FROM: u64 = 20;
/// How many times as many tokens as there are a session may be on the way to use.
const FORECAST_FACTOR: u64 = 3;

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
}

/// What a session may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) turns: u32,
    pub(super) tokens: u64,
}

/// What a session has done.
#[derive(Debug, Default)]
pub(super) struct Conduct {
    seen: HashMap<u64, u32>,
    last_failure: Option<u64>,
    same_failures: u32,
    idle: u32,
    turns: u32,
    tokens: u64,
}

impl Conduct {
    /// Notes an answer of the model, and returns why no other is asked for.
    pub(super) fn answered(&mut self, tokens: u64, acts: Acts, bounds: Bounds) -> Option<Early> {
        self.turns += 1;
        self.tokens = self.tokens.saturating_add(tokens);
        self.idle = match acts {
            Acts::Calls => 0,
            Acts::OnlyTalks => self.idle + 1,
        };
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
        let forecast = u128::from(self.tokens) * u128::from(bounds.turns) / u128::from(self.turns.max(1));
        (begun && forecast > u128::from(bounds.tokens) * u128::from(FORECAST_FACTOR)).then_some(Early::SpendsTooFast {
            used: self.tokens,
            most: bounds.tokens,
            turns: self.turns,
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

    pub(super) fn tokens(&self) -> u64 {
        self.tokens
    }
}

/// Whether an answer does anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acts {
    Calls,
    OnlyTalks,
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

    const BOUNDS: Bounds = Bounds { turns: 50, tokens: 100_000 };

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
        let ends = (0..50).find_map(|_| conduct.answered(10, Acts::Calls, BOUNDS));
        assert_eq!((ends, conduct.turns()), (Some(Early::Turns(50)), 50));
        let mut conduct = Conduct::default();
        assert_eq!(conduct.answered(100_000, Acts::Calls, BOUNDS), Some(Early::Tokens(100_000)));
        let mut conduct = Conduct::default();
        let ends = (0..50).find_map(|_| conduct.answered(8_000, Acts::Calls, BOUNDS));
        assert_eq!(ends, Some(Early::SpendsTooFast { used: 80_000, most: 100_000, turns: 10 }));
        let mut conduct = Conduct::default();
        let ends = (0..50).find_map(|_| conduct.answered(1_900, Acts::Calls, BOUNDS));
        assert_eq!(ends, Some(Early::Turns(50)), "95,000 of 100,000 is as forecast");
    }

    #[test]
    fn who_only_talks_is_ended() {
        let mut conduct = Conduct::default();
        assert_eq!(conduct.answered(1, Acts::OnlyTalks, BOUNDS), None);
        assert_eq!(conduct.answered(1, Acts::Calls, BOUNDS), None);
        let ends: Vec<_> = (0..3).map(|_| conduct.answered(1, Acts::OnlyTalks, BOUNDS)).collect();
        assert_eq!(ends, [None, None, Some(Early::Idle)]);
    }
}
