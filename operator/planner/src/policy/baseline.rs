//! The gates at the base, held against the order (W3): one that cannot do its work there ends the order before money is spent
//! for it, and one that passes there already tells less than people think.
//!
//! The result comes from a pod, so what it says of gates that the order does not have is ignored.

use manyworlds_api::conditions::shortened;
use manyworlds_api::result::{GateOutcome, GateResult, WorldResult};
use manyworlds_api::work_order::{BaselineGateStatus, BaselineState, BaselineStatus, Evaluation, Gate, GateKind};

/// The longest reason of a gate, as the schema of the status has it.
const LONGEST_REASON: usize = 256;

/// Returns whether the gates of an order are run at its base: a program may be missing there, and tests may pass.
pub fn is_wanted(evaluation: &Evaluation) -> bool {
    evaluation.gates.iter().any(|gate| !gate.command.is_empty())
}

/// Returns what is written of the gates at the base.
///
/// - **Shape:** one entry for each gate of the order, in its order.
pub fn judged(evaluation: &Evaluation, result: &WorldResult) -> BaselineStatus {
    let gates: Vec<_> = evaluation.gates.iter().map(|gate| entry(gate, &result.gates)).collect();
    let warnings = warnings(evaluation, &gates);
    BaselineStatus { state: BaselineState::Judged, message: None, gates, warnings }
}

/// Returns what keeps an order from going on, and what to do: a gate that cannot do its work at the base.
pub fn obstacle(gates: &[BaselineGateStatus]) -> Option<String> {
    let found = gates.iter().find(|gate| gate.outcome == GateOutcome::CannotRun)?;
    let why = if found.reason.is_empty() { "it does not say why" } else { found.reason.as_str() };
    Some(format!(
        "the gate {} cannot run at the base: {why}; set evaluation.image to one that has what it needs, or change the gate's command",
        found.gate
    ))
}

fn entry(gate: &Gate, results: &[GateResult]) -> BaselineGateStatus {
    let count = |count: Option<u32>| count.map(|count| i32::try_from(count).unwrap_or(i32::MAX));
    match results.iter().find(|result| result.name == gate.name) {
        Some(result) => BaselineGateStatus {
            gate: gate.name.clone(),
            outcome: result.outcome,
            passed: count(result.passed),
            total: count(result.total),
            reason: shortened(&result.reason, LONGEST_REASON),
        },
        None => BaselineGateStatus {
            gate: gate.name.clone(),
            outcome: GateOutcome::NotRun,
            passed: None,
            total: None,
            reason: "the result says nothing about this gate".to_owned(),
        },
    }
}

fn warnings(evaluation: &Evaluation, gates: &[BaselineGateStatus]) -> Vec<String> {
    let passing = || evaluation.gates.iter().zip(gates).filter(|(_, entry)| entry.outcome == GateOutcome::Passed);
    let tests = passing().filter(|(gate, _)| gate.kind == GateKind::Test);
    let mut warnings: Vec<_> = tests
        .map(|(gate, _)| {
            format!("gate {}: every test passes already at the base; it tells no fix from none", gate.name)
        })
        .collect();
    let points: i32 = passing().map(|(gate, _)| gate.points).sum();
    let required_pass =
        evaluation.gates.iter().zip(gates).all(|(gate, entry)| !gate.required || entry.outcome == GateOutcome::Passed);
    if required_pass && points >= evaluation.accept_score {
        warnings.push(format!(
            "the base itself has {points} points and passes every required gate, and acceptScore is {}: a change that \
             breaks nothing is accepted; add a gate that fails at the base, or raise evaluation.acceptScore",
            evaluation.accept_score
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use manyworlds_api::Duration;
    use manyworlds_api::result::DiffStatistics;

    fn gate(name: &str, kind: GateKind, points: i32, required: bool) -> Gate {
        let command = if kind == GateKind::Size { Vec::new() } else { vec!["check".to_owned()] };
        let timeout = Duration::from_minutes(1);
        Gate { name: name.to_owned(), kind, command, report: None, canary: None, points, required, timeout }
    }

    fn evaluation(gates: Vec<Gate>) -> Evaluation {
        Evaluation { gates, ..Evaluation::default() }
    }

    fn result(gates: &[(&str, GateOutcome)]) -> WorldResult {
        let gate = |&(name, outcome): &(&str, GateOutcome)| GateResult {
            name: name.to_owned(),
            outcome,
            points: 0,
            passed: Some(3),
            total: Some(u32::MAX),
            tests: None,
            milliseconds: 1,
            reason: "r".repeat(1000),
        };
        WorldResult {
            commit: None,
            sealed: true,
            landlock: None,
            attack: None,
            gates: gates.iter().map(gate).collect(),
            diff: DiffStatistics::default(),
            artifacts: Vec::new(),
            reasons: Vec::new(),
        }
    }

    #[test]
    fn only_an_order_that_runs_a_program_is_judged_at_its_base() {
        assert!(!is_wanted(&Evaluation::default()), "the size of a change is nothing at the base");
        assert!(is_wanted(&evaluation(vec![gate("test", GateKind::Test, 100, false)])));
    }

    #[test]
    fn what_is_written_is_bounded_and_has_the_gates_of_the_order_alone() {
        let two = evaluation(vec![gate("build", GateKind::Build, 30, true), gate("test", GateKind::Test, 70, false)]);
        let status = judged(&two, &result(&[("bonus", GateOutcome::CannotRun), ("test", GateOutcome::Partial)]));
        let outcomes: Vec<_> = status.gates.iter().map(|gate| (gate.gate.as_str(), gate.outcome)).collect();
        assert_eq!(outcomes, [("build", GateOutcome::NotRun), ("test", GateOutcome::Partial)]);
        assert_eq!((status.gates[1].passed, status.gates[1].total), (Some(3), Some(i32::MAX)));
        assert_eq!(status.gates[1].reason.len(), LONGEST_REASON);
        assert_eq!(obstacle(&status.gates), None, "a gate that the order does not have keeps it from nothing");
    }

    /// W3: no World is paid for whose evidence cannot be had.
    #[test]
    fn a_gate_that_cannot_run_at_the_base_is_named_with_what_to_do() {
        let one = evaluation(vec![gate("test", GateKind::Test, 100, false)]);
        for outcome in [GateOutcome::Passed, GateOutcome::Failed, GateOutcome::TimedOut, GateOutcome::NotRun] {
            assert_eq!(obstacle(&judged(&one, &result(&[("test", outcome)])).gates), None, "{outcome:?}");
        }
        let said = obstacle(&judged(&one, &result(&[("test", GateOutcome::CannotRun)])).gates).unwrap();
        for words in ["gate test", "rrr", "evaluation.image", "change the gate's command"] {
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn gates_that_pass_at_the_base_are_warned_of() {
        let warned =
            |gates: Vec<Gate>, outcomes: &[(&str, GateOutcome)]| judged(&evaluation(gates), &result(outcomes)).warnings;
        let (passed, failed) = (GateOutcome::Passed, GateOutcome::Failed);
        let three = || {
            vec![
                gate("size", GateKind::Size, 10, true),
                gate("build", GateKind::Build, 20, true),
                gate("test", GateKind::Test, 70, false),
            ]
        };
        assert_eq!(warned(three(), &[("size", failed), ("build", passed), ("test", failed)]), [""; 0]);
        let tests = warned(three(), &[("size", failed), ("build", passed), ("test", passed)]);
        assert_eq!(tests, ["gate test: every test passes already at the base; it tells no fix from none"]);
        let all = warned(three()[1..].to_vec(), &[("build", passed), ("test", passed)]);
        assert!(all.len() == 2 && all[1].contains("has 90 points") && all[1].contains("acceptScore is 70"), "{all:?}");
        let low = vec![gate("build", GateKind::Build, 60, true), gate("test", GateKind::Test, 40, false)];
        assert_eq!(warned(low, &[("build", passed), ("test", failed)]), [""; 0], "60 is below 70");
    }
}
