//! The outcome and the points of a gate that has run. Pure.

use manyworlds_api::conditions::{Reason, shortened};
use manyworlds_api::result::{GateOutcome, GateResult};
use manyworlds_api::work_order::{Gate, GateKind};

use super::counts::TestCounts;
use super::gate::FILE_BYTES;
use super::tripwire::Touched;
use crate::process::{Completed, Stop};
use crate::text::{few, one_line};

/// The longest reason of a gate, in bytes.
pub(super) const REASON_BYTES: usize = 400;

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

pub(super) fn not_run(gate: &Gate, reason: &str) -> GateResult {
    GateResult { reason: shortened(&one_line(reason), REASON_BYTES), ..unscored(gate) }
}

/// Returns the result of a gate whose judge was attacked: what that judge has found cannot be believed.
pub(super) fn worthless(result: GateResult, attack: &str) -> GateResult {
    if result.outcome == GateOutcome::NotRun {
        return result;
    }
    let reason = shortened(&format!("{}: {attack}", Reason::JudgeAttacked), REASON_BYTES);
    GateResult { outcome: GateOutcome::Failed, points: 0, reason, ..result }
}

/// Returns the outcome and the points of a gate.
///
/// - **Guarantees:** full points only for exit code 0 and, where tests were counted, all of them passed.
pub(super) fn gate_result(gate: &Gate, completed: &Completed<String>, counts: Option<TestCounts>) -> GateResult {
    let milliseconds = u64::try_from(completed.elapsed.as_millis()).unwrap_or(u64::MAX);
    let base = GateResult { milliseconds, ..unscored(gate) };
    let last = last_line(&completed.output);
    let failed = |reason: &str| GateResult { outcome: GateOutcome::Failed, reason: reason.to_owned(), ..base.clone() };
    match completed.stopped {
        Some(Stop::TimeLimit) => {
            return GateResult {
                outcome: GateOutcome::TimedOut,
                reason: format!("it ran out of time after {:.0} s", completed.elapsed.as_secs_f64()),
                ..base
            };
        }
        Some(Stop::DiskLimit) => return failed("it filled the disk"),
        Some(Stop::FileSizeLimit) => return failed(&format!("it {}", file_too_large())),
        Some(Stop::FileCountLimit) => return failed("it made too many files"),
        Some(Stop::ProcessLimit) => return failed("it started too many processes"),
        Some(Stop::OutputLimit) => return failed("it printed too much"),
        Some(Stop::Terminated) | None => {}
    }
    let code = completed.ending();
    let Some(TestCounts { passed, total }) = counts else {
        return if completed.exit_code == Some(0) {
            let counted = gate.kind != GateKind::Test;
            let reason = if counted { String::new() } else { "no tests were counted in its output".to_owned() };
            GateResult { outcome: GateOutcome::Passed, points: gate.points, reason, ..base }
        } else {
            let reason = shortened(&format!("it ended with {code}: {last}"), REASON_BYTES);
            GateResult { outcome: GateOutcome::Failed, reason, ..base }
        };
    };
    let base = GateResult { passed: Some(passed), total: Some(total), ..base };
    if completed.exit_code == Some(0) && passed == total && total > 0 {
        return GateResult { outcome: GateOutcome::Passed, points: gate.points, ..base };
    }
    let reason = shortened(&format!("{passed} of {total} tests passed, {code}: {last}"), REASON_BYTES);
    let points = partial(gate.points, passed, total);
    let kind = if points > 0 { GateOutcome::Partial } else { GateOutcome::Failed };
    GateResult { outcome: kind, points, reason, ..base }
}

/// Returns the result of a gate that left protected files alone: one that did not has judged something else than them.
pub(super) fn untouched(gate: &Gate, result: GateResult, touched: &Touched) -> GateResult {
    if touched.tampered.is_empty() {
        return result;
    }
    let reason = format!("it touched protected files while it ran: {}", few(&touched.tampered));
    let reason = shortened(&one_line(&reason), REASON_BYTES);
    // Its counts are of no tests that anybody knows.
    GateResult { outcome: GateOutcome::Failed, reason, milliseconds: result.milliseconds, ..unscored(gate) }
}

pub(super) fn file_too_large() -> String {
    format!("wrote a file of more than {} MiB", FILE_BYTES >> 20)
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

    use super::*;

    fn gate(kind: GateKind) -> Gate {
        Gate {
            name: "gate".to_owned(),
            kind,
            command: vec!["true".to_owned()],
            report: None,
            canary: None,
            points: 50,
            required: false,
            timeout: manyworlds_api::Duration::from_minutes(1),
        }
    }

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

    #[test]
    fn full_points_need_a_good_exit_code_and_every_test() {
        let test = gate(GateKind::Test);
        for (exit_code, passed, total, points, outcome) in [
            (0, 4, 4, 50, GateOutcome::Passed),
            (1, 4, 4, 49, GateOutcome::Partial),
            (1, 2, 4, 25, GateOutcome::Partial),
            (0, 3, 4, 37, GateOutcome::Partial),
            (0, 0, 0, 0, GateOutcome::Failed),
            (1, 0, 4, 0, GateOutcome::Failed),
        ] {
            let result = gate_result(&test, &ended(exit_code), Some(TestCounts { passed, total }));
            assert_eq!((result.points, result.outcome), (points, outcome), "{exit_code} {passed}/{total}");
        }
    }

    #[test]
    fn without_counts_the_exit_code_decides() {
        assert_eq!(gate_result(&gate(GateKind::Lint), &ended(0), None).points, 50);
        let failed = gate_result(&gate(GateKind::Lint), &ended(3), None);
        assert_eq!((failed.points, failed.outcome), (0, GateOutcome::Failed));
        assert!(failed.reason.contains("exit code 3: last words"), "{}", failed.reason);
    }

    #[test]
    fn a_gate_that_was_killed_says_what_it_may_have_lacked() {
        let killed = Completed { exit_code: None, signal: Some(9), output: String::new(), ..ended(0) };
        for outcome in [killed, ended(137)] {
            let reason = gate_result(&gate(GateKind::Test), &outcome, None).reason;
            assert!(reason.contains("raise worlds.sizing.perWorld.memory"), "{reason}");
        }
        let aborted = Completed { exit_code: None, signal: Some(6), ..ended(0) };
        let reason = gate_result(&gate(GateKind::Test), &aborted, None).reason;
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
            let result = gate_result(&gate(GateKind::Test), &limited, Some(TestCounts { passed: 4, total: 4 }));
            assert_eq!((result.points, result.outcome, result.reason.as_str()), (0, GateOutcome::Failed, reason));
        }
    }

    /// W14: what runs in a gate judges itself once it may change what it is judged by.
    #[test]
    fn a_gate_that_touched_protected_files_earns_nothing() {
        let test = gate(GateKind::Test);
        let passed = || gate_result(&test, &ended(0), Some(TestCounts { passed: 4, total: 4 }));
        let added = Touched { added: vec!["tests/b.py".to_owned()], ..Touched::default() };
        assert_eq!(untouched(&test, passed(), &added), passed());
        let tampered = Touched { tampered: vec!["tests/a.py".to_owned()], ..Touched::default() };
        let result = untouched(&test, passed(), &tampered);
        assert_eq!((result.points, result.outcome, result.total), (0, GateOutcome::Failed, None));
        assert_eq!(result.reason, "it touched protected files while it ran: tests/a.py");
    }

    /// W3: what a judge under attack has found counts for nothing.
    #[test]
    fn a_gate_whose_judge_was_attacked_earns_nothing() {
        let passed = gate_result(&gate(GateKind::Lint), &ended(0), None);
        let result = worthless(passed, "gate gate told its judge to end");
        assert_eq!((result.points, result.outcome), (0, GateOutcome::Failed));
        assert_eq!(result.reason, "JudgeAttacked: gate gate told its judge to end");
        assert_eq!(worthless(not_run(&gate(GateKind::Lint), "why"), "").outcome, GateOutcome::NotRun);
    }

    #[test]
    fn a_gate_that_ran_out_of_time_earns_nothing() {
        let late = Completed { stopped: Some(Stop::TimeLimit), ..ended(0) };
        let result = gate_result(&gate(GateKind::Test), &late, Some(TestCounts { passed: 4, total: 4 }));
        assert_eq!((result.points, result.outcome), (0, GateOutcome::TimedOut));
    }
}
