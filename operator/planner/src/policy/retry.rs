//! Retries: what follows a failed attempt (W4).

use jiff::{SignedDuration, Timestamp};
use manyworlds_api::conditions::Reason;
use manyworlds_api::result::FailureClass;
use manyworlds_api::work_order::{Retry, RetryAction, RetryRule};

/// The most attempts of a World that do not count, so that a broken cluster does not try for ever.
pub const MOST_UNCOUNTED_ATTEMPTS: i32 = 10;

/// The most evaluations of one attempt. With the usual waits the last one begins 15 seconds after the first has failed, and
/// each has a node of its own by then where a node was the trouble.
pub const MOST_EVALUATIONS: i32 = 5;

/// A failed attempt, as far as the rules look at it.
#[derive(Clone, Copy, Debug)]
pub struct Failure<'a> {
    /// Class of the failure.
    pub class: FailureClass,
    /// Exit code of the worker, where it ended by itself.
    pub exit_code: Option<i32>,
    /// Conditions of the pod that were true.
    pub pod_conditions: &'a [String],
    /// When the attempt ended.
    pub finished: Timestamp,
}

/// The earlier attempts of a World, the failed one not included.
#[derive(Clone, Copy, Debug, Default)]
pub struct History {
    /// Those that counted.
    pub counted: i32,
    /// Those that did not.
    pub uncounted: i32,
}

/// The decision after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Another attempt, not before that time.
    Retry {
        /// The earliest time of the next attempt.
        not_before: Timestamp,
        /// Whether the failed attempt counts.
        counted: Counted,
    },
    /// The World has failed.
    FailWorld(Reason),
    /// The order has failed.
    FailOrder,
}

/// Whether an attempt counts against `retry.maxAttempts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// It does.
    Yes,
    /// It does not: it was not the World's fault.
    No,
}

/// What follows an evaluation that failed, of an attempt whose work is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterEvaluation {
    /// Another evaluation of the same change.
    Again {
        /// The wait before it.
        delay: SignedDuration,
    },
    /// Nothing: it was the last one, and the World is not worked anew for what its worker is not to blame for.
    Exhausted,
    /// The attempt has failed, and its end is decided by [`decide`].
    Attempt,
}

/// Decides what follows the failed evaluation of a number, from 1.
///
/// - **Guarantees:** no more than [`MOST_EVALUATIONS`] of an attempt.
/// - **Source:** W3, W4: a worker's change is kept for as long as it can be judged.
pub fn after_evaluation(retry: &Retry, failure: Failure<'_>, number: i32) -> AfterEvaluation {
    let again = match ruled(retry, failure) {
        Some(RetryAction::Retry | RetryAction::Ignore) => true,
        Some(RetryAction::FailWorld | RetryAction::FailOrder) => false,
        None => match failure.class {
            FailureClass::Infrastructure | FailureClass::Evaluation | FailureClass::Cancelled => true,
            FailureClass::Worker | FailureClass::Budget | FailureClass::Spec => false,
        },
    };
    if !again {
        return AfterEvaluation::Attempt;
    }
    if number >= MOST_EVALUATIONS {
        return AfterEvaluation::Exhausted;
    }
    AfterEvaluation::Again { delay: delay(retry, number) }
}

/// Decides what happens after a failed attempt.
///
/// - **Guarantees:** ends: after `maxAttempts` attempts that count, or [`MOST_UNCOUNTED_ATTEMPTS`] that do not.
/// - **Source:** W4; failure classes of the design.
pub fn decide(retry: &Retry, failure: Failure<'_>, history: History) -> Decision {
    let action = ruled(retry, failure).unwrap_or_else(|| default_action(failure.class));
    let counted = match action {
        RetryAction::FailWorld => return Decision::FailWorld(Reason::AttemptsExhausted),
        RetryAction::FailOrder => return Decision::FailOrder,
        RetryAction::Retry => Counted::Yes,
        RetryAction::Ignore => Counted::No,
    };
    let exhausted = match counted {
        Counted::Yes => history.counted + 1 >= retry.max_attempts,
        Counted::No => history.uncounted + 1 >= MOST_UNCOUNTED_ATTEMPTS,
    };
    if exhausted {
        return Decision::FailWorld(Reason::AttemptsExhausted);
    }
    let ended = history.counted + history.uncounted + 1;
    Decision::Retry { not_before: failure.finished + delay(retry, ended), counted }
}

/// Returns the wait after the given number of attempts have ended.
///
/// - **Shape:** `ended` counts from 1.
/// - **Guarantees:** never shrinks as `ended` grows, and never exceeds `maxDelay`.
pub fn delay(retry: &Retry, ended: i32) -> SignedDuration {
    let most = retry.max_delay.milliseconds();
    let multiplier = u64::try_from(retry.multiplier).unwrap_or(1);
    let mut wait = retry.base_delay.milliseconds().min(most);
    for _ in 1..ended {
        wait = wait.saturating_mul(multiplier).min(most);
        if wait == most {
            break;
        }
    }
    SignedDuration::from_millis(i64::try_from(wait).unwrap_or(i64::MAX))
}

/// Returns what the first rule of the order that matches a failure says.
fn ruled(retry: &Retry, failure: Failure<'_>) -> Option<RetryAction> {
    retry.rules.iter().find(|rule| matches(rule, failure)).map(|rule| rule.action)
}

const fn default_action(class: FailureClass) -> RetryAction {
    match class {
        FailureClass::Infrastructure | FailureClass::Cancelled => RetryAction::Ignore,
        FailureClass::Worker | FailureClass::Evaluation => RetryAction::Retry,
        FailureClass::Budget => RetryAction::FailWorld,
        FailureClass::Spec => RetryAction::FailOrder,
    }
}

fn matches(rule: &RetryRule, failure: Failure<'_>) -> bool {
    let RetryRule { on_class, on_exit_codes, on_pod_conditions, action: _ } = rule;
    on_class.is_some_and(|class| class == failure.class)
        || on_exit_codes.as_ref().is_some_and(|codes| failure.exit_code.is_some_and(|code| codes.contains(&code)))
        || on_pod_conditions
            .as_ref()
            .is_some_and(|wanted| wanted.iter().any(|kind| failure.pod_conditions.contains(kind)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use manyworlds_api::Duration;

    fn failure(class: FailureClass) -> Failure<'static> {
        Failure { class, exit_code: None, pod_conditions: &[], finished: Timestamp::UNIX_EPOCH }
    }

    fn history(counted: i32, uncounted: i32) -> History {
        History { counted, uncounted }
    }

    #[test]
    fn waits_are_one_two_and_four_seconds_and_never_above_sixty() {
        let waits: Vec<i64> = (1..=9).map(|ended| delay(&Retry::default(), ended).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn the_third_failure_of_the_worker_ends_the_world() {
        let retry = Retry::default();
        let after = |counted| decide(&retry, failure(FailureClass::Worker), history(counted, 0));
        assert_eq!(
            after(0),
            Decision::Retry { not_before: Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1), counted: Counted::Yes }
        );
        assert!(matches!(after(1), Decision::Retry { .. }));
        assert_eq!(after(2), Decision::FailWorld(Reason::AttemptsExhausted));
    }

    #[test]
    fn infrastructure_does_not_count_but_does_not_go_on_for_ever() {
        let retry = Retry::default();
        let after = |uncounted| decide(&retry, failure(FailureClass::Infrastructure), history(2, uncounted));
        assert!(matches!(after(0), Decision::Retry { counted: Counted::No, .. }));
        assert_eq!(after(MOST_UNCOUNTED_ATTEMPTS - 1), Decision::FailWorld(Reason::AttemptsExhausted));
    }

    #[test]
    fn a_rule_that_ignores_failures_does_not_go_on_for_ever() {
        let rule = RetryRule {
            on_class: None,
            on_exit_codes: Some(vec![75]),
            on_pod_conditions: None,
            action: RetryAction::Ignore,
        };
        let retry = Retry { rules: vec![rule], ..Retry::default() };
        let failed = Failure { exit_code: Some(75), ..failure(FailureClass::Worker) };
        let after = |uncounted| decide(&retry, failed, history(0, uncounted));
        assert!(matches!(after(0), Decision::Retry { counted: Counted::No, .. }));
        assert_eq!(after(MOST_UNCOUNTED_ATTEMPTS - 1), Decision::FailWorld(Reason::AttemptsExhausted));
    }

    #[test]
    fn a_fault_of_the_order_fails_the_order() {
        assert_eq!(decide(&Retry::default(), failure(FailureClass::Spec), history(0, 0)), Decision::FailOrder);
    }

    /// W4: what the cluster did to an evaluation costs no other work, and does not go on for ever.
    #[test]
    fn a_change_is_judged_again_until_it_cannot_be_judged() {
        let retry = Retry::default();
        let after = |class, number| after_evaluation(&retry, failure(class), number);
        for class in [FailureClass::Infrastructure, FailureClass::Evaluation] {
            let delays: Vec<_> = (1..=MOST_EVALUATIONS).map(|number| after(class, number)).collect();
            let again = |seconds| AfterEvaluation::Again { delay: SignedDuration::from_secs(seconds) };
            assert_eq!(delays, [again(1), again(2), again(4), again(8), AfterEvaluation::Exhausted], "{class:?}");
        }
        for class in [FailureClass::Worker, FailureClass::Spec, FailureClass::Budget] {
            assert_eq!(after(class, 1), AfterEvaluation::Attempt, "{class:?}");
        }
    }

    #[test]
    fn a_rule_of_the_order_holds_for_evaluations_too() {
        let rule = RetryRule {
            on_class: Some(FailureClass::Evaluation),
            on_exit_codes: None,
            on_pod_conditions: None,
            action: RetryAction::FailWorld,
        };
        let retry = Retry { rules: vec![rule], ..Retry::default() };
        assert_eq!(after_evaluation(&retry, failure(FailureClass::Evaluation), 1), AfterEvaluation::Attempt);
        let other = after_evaluation(&retry, failure(FailureClass::Infrastructure), 1);
        assert!(matches!(other, AfterEvaluation::Again { .. }));
    }

    #[test]
    fn the_first_rule_that_matches_holds() {
        let rule = |on_exit_codes, on_pod_conditions, action| RetryRule {
            on_class: None,
            on_exit_codes,
            on_pod_conditions,
            action,
        };
        let retry = Retry {
            rules: vec![
                rule(Some(vec![42]), None, RetryAction::FailWorld),
                rule(None, Some(vec!["DisruptionTarget".to_owned()]), RetryAction::FailOrder),
            ],
            ..Retry::default()
        };
        let by_code = Failure { exit_code: Some(42), ..failure(FailureClass::Worker) };
        assert_eq!(decide(&retry, by_code, history(0, 0)), Decision::FailWorld(Reason::AttemptsExhausted));
        let conditions = ["DisruptionTarget".to_owned()];
        let by_condition = Failure { pod_conditions: &conditions, ..failure(FailureClass::Infrastructure) };
        assert_eq!(decide(&retry, by_condition, history(0, 0)), Decision::FailOrder);
        assert!(matches!(decide(&retry, failure(FailureClass::Worker), history(0, 0)), Decision::Retry { .. }));
    }

    proptest::proptest! {
        #[test]
        fn the_wait_never_shrinks_and_never_exceeds_the_longest(
            base in 0_u64..10_000, most in 10_000_u64..100_000, multiplier in 1_i32..=10, ended in 1_i32..40
        ) {
            let retry = Retry {
                base_delay: Duration::from_milliseconds(base),
                max_delay: Duration::from_milliseconds(most),
                multiplier,
                ..Retry::default()
            };
            let (now, later) = (delay(&retry, ended), delay(&retry, ended + 1));
            proptest::prop_assert!(now <= later);
            proptest::prop_assert!(later.as_millis() <= i128::from(most));
        }
    }
}
