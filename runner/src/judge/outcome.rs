//! The outcome and the points of a gate that has run. Pure.

use manyworlds_api::baseline_document::TestCase;
use manyworlds_api::conditions::shortened;
use manyworlds_api::result::{GateOutcome, GateResult};
use manyworlds_api::work_order::Gate;

use super::baseline::Standard;
use super::comparison::{Comparison, compare};
use super::confine::FAILED;
use super::counts::{Counted, Reading, TestCounts};
use super::gate::FILE_BYTES;
use crate::process::{Completed, Stop};
use crate::text::one_line;

/// The longest reason of a gate, in bytes.
pub(super) const REASON_BYTES: usize = 400;
/// The most tests that a reason names.
const NAMED: usize = 5;
/// The most bytes of a test's name in a reason, so that all that it names have room.
const NAME_BYTES: usize = 48;
/// The exit codes of a shell whose program cannot be executed, or is not there.
const NOT_STARTED: [i32; 2] = [126, 127];
/// How the program that starts a gate begins what it says.
const STARTER: &str = "manyworlds-runner: ";
/// The advice where no test was counted.
const ADVICE: &str = "use the kind Custom where a tool counts none";

/// Returns a text as the reason of a gate: on one line, and no longer than one may be. It may name whatever a worker has named.
pub(super) fn reason(text: &str) -> String {
    shortened(&one_line(text), REASON_BYTES)
}

/// Returns the result of a gate that has not run.
pub(super) fn not_run(gate: &Gate, why: &str) -> GateResult {
    GateResult { reason: reason(why), ..unscored(gate) }
}

/// Returns the result of a gate of which nothing is known.
pub(super) fn unscored(gate: &Gate) -> GateResult {
    GateResult {
        name: gate.name.clone(),
        outcome: GateOutcome::NotRun,
        points: 0,
        passed: None,
        total: None,
        tests: None,
        milliseconds: 0,
        reason: String::new(),
    }
}

/// Returns the outcome and the points of a gate.
///
/// - **Shape:** `reading` is what its tests came to, where it is of the kind Test.
/// - **Guarantees:** full points only for exit code 0 and, where it is to count tests, all of them passed and none of the base's is
///   missing.
pub(super) fn gate_result(
    gate: &Gate,
    completed: &Completed<String>,
    reading: Option<&Reading>,
    standard: Standard<'_>,
) -> GateResult {
    let milliseconds = u64::try_from(completed.elapsed.as_millis()).unwrap_or(u64::MAX);
    let ran = Ran { gate, completed, base: GateResult { milliseconds, ..unscored(gate) } };
    if let Some(stopped) = completed.stopped.and_then(|stop| ran.stopped(stop)) {
        return stopped;
    }
    match reading {
        None => ran.by_exit_code(),
        Some(Reading::Contradictory(why)) => ran.failed(why),
        Some(Reading::Nothing(why)) => ran.without_tests(why, standard),
        Some(Reading::Counted(counted)) if counted.counts.total == 0 => {
            let none = GateResult { passed: Some(0), total: Some(0), ..ran.base.clone() };
            Ran { base: none, ..ran }.with_no_test(standard)
        }
        Some(Reading::Counted(counted)) => ran.with_tests(counted, standard),
    }
}

/// Returns the test cases of a gate that is held against later, where every test that was counted has a name.
pub(super) fn cases_of(completed: &Completed<String>, reading: Option<&Reading>) -> Vec<TestCase> {
    match reading {
        Some(Reading::Counted(counted)) if completed.stopped.is_none() && counted.cases.are_all_of(counted.counts) => {
            counted.cases.sorted()
        }
        _ => Vec::new(),
    }
}

/// Returns that a file was too large, in words.
pub(super) fn file_too_large() -> String {
    format!("wrote a file of more than {} MiB", FILE_BYTES >> 20)
}

/// A gate that has run.
struct Ran<'a> {
    gate: &'a Gate,
    completed: &'a Completed<String>,
    /// What is known of its result.
    base: GateResult,
}

impl Ran<'_> {
    fn of(&self, outcome: GateOutcome, why: &str) -> GateResult {
        GateResult { outcome, reason: reason(why), ..self.base.clone() }
    }

    fn failed(&self, reason: &str) -> GateResult {
        self.of(GateOutcome::Failed, reason)
    }

    fn full(&self) -> GateResult {
        GateResult { outcome: GateOutcome::Passed, points: self.gate.points, ..self.base.clone() }
    }

    /// Returns how it ended, with the last thing that it said.
    fn ending(&self) -> String {
        format!("{}: {}", self.completed.ending(), last_line(&self.completed.output))
    }

    /// Returns its result where it reached a limit.
    fn stopped(&self, stop: Stop) -> Option<GateResult> {
        match stop {
            Stop::TimeLimit => {
                let reason = format!("it ran out of time after {:.0} s", self.completed.elapsed.as_secs_f64());
                Some(self.of(GateOutcome::TimedOut, &reason))
            }
            Stop::DiskLimit => Some(self.failed("it filled the disk")),
            Stop::FileSizeLimit => Some(self.failed(&format!("it {}", file_too_large()))),
            Stop::FileCountLimit => Some(self.failed("it made too many files")),
            Stop::ProcessLimit => Some(self.failed("it started too many processes")),
            Stop::OutputLimit => Some(self.failed("it printed too much")),
            Stop::Terminated => None,
        }
    }

    fn by_exit_code(&self) -> GateResult {
        if self.completed.exit_code == Some(0) {
            return self.full();
        }
        self.cannot_start().unwrap_or_else(|| self.failed(&format!("it ended with {}", self.ending())))
    }

    /// Returns its result where its program is missing, or cannot be executed.
    fn cannot_start(&self) -> Option<GateResult> {
        let code = self.completed.exit_code?;
        let was_refused =
            code == i32::from(FAILED) && self.completed.output.lines().any(|line| line.starts_with(STARTER));
        (was_refused || NOT_STARTED.contains(&code))
            .then(|| self.of(GateOutcome::CannotRun, &format!("its program could not be started, {}", self.ending())))
    }

    /// Where nothing was counted and the command failed, its tests may not compile yet: that is for a change to mend.
    fn without_tests(&self, why: &str, standard: Standard<'_>) -> GateResult {
        if let Some(result) = self.cannot_start() {
            return result;
        }
        if self.completed.exit_code == Some(0) && standard.is_base() {
            return self.of(GateOutcome::CannotRun, &format!("it found no test: {why}; {ADVICE}"));
        }
        self.failed(&format!("no test was counted: {why}; {ADVICE}; it ended with {}", self.ending()))
    }

    fn with_no_test(&self, standard: Standard<'_>) -> GateResult {
        if let Some(result) = self.cannot_start() {
            return result;
        }
        let (outcome, what) = if standard.is_base() {
            (GateOutcome::CannotRun, "it found no test")
        } else {
            (GateOutcome::Failed, "no test was counted")
        };
        self.of(outcome, &format!("{what}: 0 of 0 passed; {ADVICE}; it ended with {}", self.ending()))
    }

    fn with_tests(&self, counted: &Counted, standard: Standard<'_>) -> GateResult {
        let ended_well = self.completed.exit_code == Some(0);
        let Comparison { counts: TestCounts { passed, total }, changes, missing, missing_names } =
            compare(counted, standard.gate());
        let base = GateResult { passed: Some(passed), total: Some(total), tests: changes, ..self.base.clone() };
        let ran = Ran { base, ..*self };
        let TestCounts { passed: all_passed, total: all } = counted.counts;
        match (ended_well, all_passed == all) {
            (true, false) => ran.failed(&format!(
                "{} of {all} tests failed, and yet its exit code is 0; have its command end as its tests do",
                counted.counts.failed()
            )),
            (false, true) => ran.failed(&format!("all {all} tests passed, and yet it ended with {}", self.ending())),
            _ if ended_well && passed == total && total > 0 => ran.full(),
            _ => {
                let lack = lack(missing, &missing_names);
                let points = partial(self.gate.points, passed, total);
                let outcome = if points > 0 { GateOutcome::Partial } else { GateOutcome::Failed };
                let reason = format!("{passed} of {total} tests passed{lack}, {}", self.ending());
                GateResult { points, ..ran.of(outcome, &reason) }
            }
        }
    }
}

/// Returns the tests of the base that were not run, in words.
fn lack(missing: u32, missing_names: &[String]) -> String {
    if missing == 0 {
        return String::new();
    }
    let listed: Vec<String> = missing_names.iter().take(NAMED).map(|name| shortened(name, NAME_BYTES)).collect();
    let names = if listed.is_empty() { String::new() } else { format!(" ({})", listed.join(", ")) };
    format!("; {missing} of the base's tests were not run{names}")
}

/// Returns the points for a part of the tests, never all of them.
fn partial(points: i32, passed: u32, total: u32) -> i32 {
    if total == 0 {
        return 0;
    }
    let share = i64::from(points) * i64::from(passed.min(total)) / i64::from(total);
    i32::try_from(share).unwrap_or(0).clamp(0, (points - 1).max(0))
}

fn last_line(output: &str) -> &str {
    output.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it printed nothing")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use manyworlds_api::baseline_document::{BaselineGate, CaseOutcome};
    use manyworlds_api::work_order::GateKind;

    use super::super::counts::Cases;
    use super::super::fixtures::gate;
    use super::*;

    const UNKNOWN: Standard<'_> = Standard::Baseline(None);

    fn ended(exit_code: i32) -> Completed<String> {
        Completed {
            exit_code: Some(exit_code),
            signal: None,
            stopped: None,
            elapsed: Duration::from_secs(1),
            output: "last words\n".to_owned(),
            printed: 11,
            left_behind: 0,
            forged_signals: 0,
        }
    }

    fn counted(passed: u32, total: u32) -> Reading {
        Reading::Counted(Counted { counts: TestCounts { passed, total }, ..Counted::default() })
    }

    fn named(cases: &[(&str, CaseOutcome)]) -> Reading {
        let mut all = Cases::default();
        for (name, outcome) in cases {
            all.add(name, *outcome);
        }
        Reading::Counted(all.into())
    }

    fn tested(completed: &Completed<String>, reading: &Reading, standard: Standard<'_>) -> GateResult {
        gate_result(&gate(GateKind::Test), completed, Some(reading), standard)
    }

    fn plain(kind: GateKind, completed: &Completed<String>) -> GateResult {
        gate_result(&gate(kind), completed, None, UNKNOWN)
    }

    #[test]
    fn full_points_need_a_good_exit_code_and_every_test() {
        for (exit_code, passed, total, points, outcome) in [
            (0, 4, 4, 50, GateOutcome::Passed),
            (1, 2, 4, 25, GateOutcome::Partial),
            (1, 0, 4, 0, GateOutcome::Failed),
            // The exit code contradicts the count.
            (1, 4, 4, 0, GateOutcome::Failed),
            (0, 3, 4, 0, GateOutcome::Failed),
            (0, 0, 0, 0, GateOutcome::Failed),
        ] {
            let result = tested(&ended(exit_code), &counted(passed, total), UNKNOWN);
            assert_eq!((result.points, result.outcome), (points, outcome), "{exit_code} {passed}/{total}");
            assert_eq!(result.reason.is_empty(), outcome == GateOutcome::Passed, "{}", result.reason);
        }
    }

    /// W3: a gate that is to count tests and counts none shows nothing.
    #[test]
    fn a_test_gate_without_a_test_earns_nothing_and_cannot_run_at_the_base() {
        let nothing = Reading::Nothing("its output has no count".to_owned());
        for (reading, exit_code, standard, outcome, words) in [
            (&nothing, 0, UNKNOWN, GateOutcome::Failed, "no test was counted"),
            (&nothing, 1, UNKNOWN, GateOutcome::Failed, "no test was counted"),
            (&nothing, 0, Standard::Nothing, GateOutcome::CannotRun, "it found no test"),
            // Its tests may not compile there.
            (&nothing, 1, Standard::Nothing, GateOutcome::Failed, "no test was counted"),
            (&counted(0, 0), 0, UNKNOWN, GateOutcome::Failed, "no test was counted"),
            (&counted(0, 0), 5, Standard::Nothing, GateOutcome::CannotRun, "it found no test"),
        ] {
            let result = tested(&ended(exit_code), reading, standard);
            assert_eq!((result.points, result.outcome), (0, outcome), "{reading:?} {exit_code}");
            assert!(
                result.reason.contains(words) && result.reason.contains("use the kind Custom"),
                "{}",
                result.reason
            );
        }
    }

    #[test]
    fn a_program_that_is_missing_is_told_from_one_that_fails() {
        let refused = Completed { output: "manyworlds-runner: \"no\" could not be started\n".to_owned(), ..ended(125) };
        for (completed, outcome) in [
            (&refused, GateOutcome::CannotRun),
            (&ended(125), GateOutcome::Failed),
            (&ended(126), GateOutcome::CannotRun),
            (&ended(127), GateOutcome::CannotRun),
            (&ended(2), GateOutcome::Failed),
        ] {
            for standard in [UNKNOWN, Standard::Nothing] {
                assert_eq!(gate_result(&gate(GateKind::Lint), completed, None, standard).outcome, outcome);
                let nothing = Reading::Nothing("why".to_owned());
                assert_eq!(tested(completed, &nothing, standard).outcome, outcome, "{completed:?}");
            }
        }
    }

    /// W3: what is removed or renamed is named and earns nothing.
    #[test]
    fn the_tests_of_the_base_are_missed_by_name() {
        const PASSED: CaseOutcome = CaseOutcome::Passed;
        let before = named(&[("a", PASSED), ("b", PASSED), ("c", CaseOutcome::Failed), ("d", PASSED)]);
        let result = tested(&ended(1), &before, Standard::Nothing);
        let base = BaselineGate { result, cases: cases_of(&ended(1), Some(&before)) };
        let standard = Standard::Baseline(Some(&base));
        let full = named(&[("a", PASSED), ("b", PASSED), ("c", PASSED), ("d", PASSED)]);
        let result = tested(&ended(0), &full, standard);
        assert_eq!((result.points, result.outcome, result.tests.unwrap().fixed), (50, GateOutcome::Passed, 1));
        let renamed = named(&[("a", PASSED), ("b", PASSED), ("x", PASSED), ("y", PASSED)]);
        let result = tested(&ended(0), &renamed, standard);
        assert_eq!(
            (result.points, result.outcome, result.passed, result.total),
            (25, GateOutcome::Partial, Some(2), Some(4))
        );
        assert!(result.reason.contains("2 of the base's tests were not run (c, d)"), "{}", result.reason);
        let all: Vec<_> = (0..8).map(|number| format!("{number}{}", "x".repeat(100))).collect();
        let said = lack(8, &all);
        assert_eq!(said.matches("...").count(), NAMED, "{said}");
    }

    /// W14: what contradicts itself earns nothing.
    #[test]
    fn a_contradiction_earns_nothing_and_is_told() {
        let result = tested(&ended(1), &Reading::Contradictory("two summaries".to_owned()), UNKNOWN);
        assert_eq!((result.points, result.outcome, result.reason.as_str()), (0, GateOutcome::Failed, "two summaries"));
    }

    #[test]
    fn only_tests_that_all_have_names_are_kept() {
        let reading = named(&[("a", CaseOutcome::Passed)]);
        assert_eq!(cases_of(&ended(0), Some(&reading)).len(), 1);
        let late = Completed { stopped: Some(Stop::TimeLimit), ..ended(0) };
        assert!(cases_of(&late, Some(&reading)).is_empty());
        assert!(cases_of(&ended(0), Some(&counted(1, 1))).is_empty());
    }

    #[test]
    fn without_counts_the_exit_code_decides() {
        assert_eq!(plain(GateKind::Lint, &ended(0)).points, 50);
        let failed = plain(GateKind::Lint, &ended(3));
        assert_eq!((failed.points, failed.outcome), (0, GateOutcome::Failed));
        assert!(failed.reason.contains("exit code 3: last words"), "{}", failed.reason);
    }

    #[test]
    fn a_gate_that_was_killed_says_what_it_may_have_lacked() {
        let killed = Completed { exit_code: None, signal: Some(9), output: String::new(), ..ended(0) };
        for outcome in [killed, ended(137)] {
            let reason = plain(GateKind::Lint, &outcome).reason;
            assert!(reason.contains("raise worlds.sizing.perWorld.memory"), "{reason}");
        }
        let aborted = Completed { exit_code: None, signal: Some(6), ..ended(0) };
        let reason = plain(GateKind::Lint, &aborted).reason;
        assert!(reason.contains("SIGABRT") && !reason.contains("memory"), "{reason}");
    }

    #[test]
    fn a_gate_that_reached_a_limit_earns_nothing_and_says_which() {
        for (limit, reason) in [
            (Stop::DiskLimit, "it filled the disk"),
            (Stop::FileSizeLimit, "it wrote a file of more than 1024 MiB"),
            (Stop::FileCountLimit, "it made too many files"),
            (Stop::ProcessLimit, "it started too many processes"),
        ] {
            let limited = Completed { stopped: Some(limit), ..ended(0) };
            let result = tested(&limited, &counted(4, 4), UNKNOWN);
            assert_eq!((result.points, result.outcome, result.reason.as_str()), (0, GateOutcome::Failed, reason));
        }
    }

    #[test]
    fn a_gate_that_ran_out_of_time_earns_nothing() {
        let late = Completed { stopped: Some(Stop::TimeLimit), ..ended(0) };
        let result = tested(&late, &counted(4, 4), UNKNOWN);
        assert_eq!((result.points, result.outcome), (0, GateOutcome::TimedOut));
    }
}
