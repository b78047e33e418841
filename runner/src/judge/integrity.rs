//! What a gate's result is worth once the gate has touched what it is judged by. Pure.

use manyworlds_api::conditions::Reason;
use manyworlds_api::result::{GateOutcome, GateResult};
use manyworlds_api::work_order::Gate;

use super::baseline::Standard;
use super::outcome::{reason, unscored};
use super::tripwire::Touched;
use crate::text::few;

/// Returns the result of a gate that left protected files alone: one that did not has judged something else than them.
pub(super) fn untouched(gate: &Gate, result: GateResult, touched: &Touched) -> GateResult {
    if touched.tampered.is_empty() {
        return result;
    }
    let reason = format!("it touched protected files while it ran: {}", few(&touched.tampered));
    without_counts(gate, &result, GateOutcome::Failed, &reason)
}

/// Returns the result of a gate whose canary was not what it must be.
///
/// - **Shape:** at the base no change is at fault: the gate cannot tell there what it is asked.
pub(super) fn forged(gate: &Gate, result: &GateResult, why: &str, standard: Standard<'_>) -> GateResult {
    let outcome = if standard.is_base() { GateOutcome::CannotRun } else { GateOutcome::Failed };
    without_counts(gate, result, outcome, why)
}

/// Returns the result of a gate whose judge was attacked: what that judge has found cannot be believed.
pub(super) fn worthless(result: GateResult, attack: &str) -> GateResult {
    if result.outcome == GateOutcome::NotRun {
        return result;
    }
    let why = format!("{}: {attack}", Reason::JudgeAttacked);
    GateResult { outcome: GateOutcome::Failed, points: 0, reason: reason(&why), ..result }
}

/// Its counts are of no tests that anybody knows.
fn without_counts(gate: &Gate, result: &GateResult, outcome: GateOutcome, why: &str) -> GateResult {
    GateResult { outcome, reason: reason(why), milliseconds: result.milliseconds, ..unscored(gate) }
}

#[cfg(test)]
mod tests {
    use manyworlds_api::work_order::GateKind;

    use super::super::fixtures;
    use super::super::outcome::not_run;
    use super::*;

    fn gate() -> Gate {
        fixtures::gate(GateKind::Test)
    }

    fn passed() -> GateResult {
        let counts = (Some(4), Some(4));
        GateResult { outcome: GateOutcome::Passed, points: 50, passed: counts.0, total: counts.1, ..unscored(&gate()) }
    }

    /// W14: what runs in a gate judges itself once it may change what it is judged by.
    #[test]
    fn a_gate_that_touched_protected_files_earns_nothing() {
        let added = Touched { added: vec!["tests/b.py".to_owned()], ..Touched::default() };
        assert_eq!(untouched(&gate(), passed(), &added), passed());
        let tampered = Touched { tampered: vec!["tests/a.py".to_owned()], ..Touched::default() };
        let result = untouched(&gate(), passed(), &tampered);
        assert_eq!((result.points, result.outcome, result.total), (0, GateOutcome::Failed, None));
        assert_eq!(result.reason, "it touched protected files while it ran: tests/a.py");
    }

    /// W14: at the base it ends the order, before a model is paid for what no World can earn.
    #[test]
    fn a_forged_gate_earns_nothing_and_cannot_run_at_the_base() {
        for (standard, outcome) in
            [(Standard::Baseline(None), GateOutcome::Failed), (Standard::Nothing, GateOutcome::CannotRun)]
        {
            let result = forged(&gate(), &passed(), "it calls a failing test\na success", standard);
            assert_eq!((result.points, result.outcome, result.total), (0, outcome, None));
            assert!(!result.reason.contains('\n'), "{}", result.reason);
        }
    }

    /// W3: what a judge under attack has found counts for nothing.
    #[test]
    fn a_gate_whose_judge_was_attacked_earns_nothing() {
        let result = worthless(passed(), "gate gate told its judge to end");
        assert_eq!((result.points, result.outcome), (0, GateOutcome::Failed));
        assert_eq!(result.reason, "JudgeAttacked: gate gate told its judge to end");
        assert_eq!(worthless(not_run(&gate(), "why"), "").outcome, GateOutcome::NotRun);
    }
}
