//! What a canary says of the test program that ran it.

use super::outcomes::{Outcome, Outcomes};

/// What is known of a test program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::judge) enum Verdict {
    /// It tells a failing test from a passing one.
    Sound,
    /// It does not, so what it said of the other tests is worth nothing.
    Forged(String),
    /// The canary could not be run, or said nothing either way.
    Unknown(String),
}

/// Returns the verdict on a program that ran two cases.
///
/// A program is called forged for a success that cannot be one, never for a failure: a failure earns nobody anything, and
/// has honest reasons that the judge does not know, such as a fixture that wants something of every test.
pub(super) fn of_cases(exit_code: Option<i32>, Outcomes { passing, failing }: Outcomes) -> Verdict {
    let forged = |why: &str| Verdict::Forged(format!("the test program {why}"));
    let unknown = |why: &str| Verdict::Unknown(why.to_owned());
    match (passing, failing) {
        (_, Some(Outcome::Passed)) => forged("called a test that must fail a success"),
        (Some(Outcome::Skipped), Some(Outcome::Skipped)) => unknown("both of its tests were skipped"),
        (_, Some(Outcome::Failed)) if exit_code == Some(0) => forged("ended with exit code 0 although a test failed"),
        _ if exit_code == Some(0) => forged("ended with exit code 0 and hid a test that must fail"),
        (Some(Outcome::Passed), Some(Outcome::Failed)) => Verdict::Sound,
        (Some(Outcome::Passed), None | Some(Outcome::Skipped)) => forged("hid a test that must fail"),
        (Some(Outcome::Failed | Outcome::Skipped), _) => unknown("the test that must pass did not"),
        (None, Some(_)) => unknown("nothing was said of the test that must pass"),
        (None, None) => unknown("neither of its tests was run"),
    }
}

/// Returns the verdict on a program of which the order has one command that must succeed and one that must not.
pub(super) fn of_commands(passing: Option<i32>, failing: Option<i32>) -> Verdict {
    if failing == Some(0) {
        return Verdict::Forged("the canary's command that must fail ended with exit code 0".to_owned());
    }
    match passing {
        Some(0) => Verdict::Sound,
        Some(code) => Verdict::Forged(format!("the canary's command that must succeed ended with exit code {code}")),
        None => Verdict::Forged("the canary's command that must succeed was ended by a signal".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSED: Option<Outcome> = Some(Outcome::Passed);
    const FAILED: Option<Outcome> = Some(Outcome::Failed);
    const SKIPPED: Option<Outcome> = Some(Outcome::Skipped);

    fn word(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Sound => "sound",
            Verdict::Forged(_) => "forged",
            Verdict::Unknown(_) => "unknown",
        }
    }

    /// W14: a success that cannot be one is found, and no honest failure is taken for a forgery.
    #[test]
    fn a_success_that_cannot_be_one_is_forged_and_a_failure_is_not() {
        for (exit_code, passing, failing, expected) in [
            (Some(1), PASSED, FAILED, "sound"),
            (Some(101), PASSED, FAILED, "sound"),
            (Some(1), PASSED, PASSED, "forged"),
            (Some(0), PASSED, PASSED, "forged"),
            (Some(0), PASSED, FAILED, "forged"),
            (Some(0), PASSED, SKIPPED, "forged"),
            (Some(1), PASSED, None, "forged"),
            (Some(0), None, None, "forged"),
            (Some(0), SKIPPED, SKIPPED, "unknown"),
            (Some(4), None, None, "unknown"),
            (None, None, None, "unknown"),
            (Some(1), FAILED, FAILED, "unknown"),
            (Some(1), None, FAILED, "unknown"),
        ] {
            let verdict = of_cases(exit_code, Outcomes { passing, failing });
            assert_eq!(word(&verdict), expected, "{exit_code:?} {passing:?} {failing:?}");
        }
    }

    #[test]
    fn the_commands_of_an_order_must_end_as_it_says() {
        for (passing, failing, expected) in [
            (Some(0), Some(1), "sound"),
            (Some(0), None, "sound"),
            (Some(0), Some(0), "forged"),
            (Some(1), Some(1), "forged"),
            (None, Some(1), "forged"),
        ] {
            assert_eq!(word(&of_commands(passing, failing)), expected, "{passing:?} {failing:?}");
        }
    }
}
