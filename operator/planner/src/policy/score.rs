//! A World's score: points out of 100, from gates that ran (W3).
//!
//! The result comes from a pod, so it is held against the order: gates that the order does not have are ignored, points
//! above what a gate is worth are cut, and a gate without a result did not run.

use manyworlds_api::conditions::{Reason, shortened};
use manyworlds_api::result::{GateOutcome, GateResult, WorldResult};
use manyworlds_api::work_order::{Evaluation, Gate, Sealing};
use manyworlds_api::world::{Score, ScorePart};

/// A World's score and whether it could win.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The score with its parts.
    pub score: Score,
    /// The first thing that keeps the World from winning; [`Reason::Eligible`] when nothing does.
    pub reason: Reason,
    /// A sentence on that.
    pub message: String,
}

impl Verdict {
    /// Returns whether the World could win.
    pub fn eligible(&self) -> bool {
        self.reason == Reason::Eligible
    }
}

/// Judges a World's result by the order's rules.
///
/// - **Guarantees:** the total is the sum of the parts and lies in 0..=100; a gate that did not run earns nothing; the
///   order of the results does not matter.
pub fn judge(evaluation: &Evaluation, result: &WorldResult) -> Verdict {
    let parts: Vec<ScorePart> = evaluation.gates.iter().map(|gate| part(gate, result)).collect();
    let total = parts.iter().map(|part| part.points).sum();
    let (reason, message) = obstacle(evaluation, result, &parts, total);
    Verdict { score: Score { total, parts }, reason, message }
}

fn part(gate: &Gate, WorldResult { gates, attack, .. }: &WorldResult) -> ScorePart {
    let result = gates.iter().find(|result| result.name == gate.name);
    let (outcome, points, reason) = match result {
        // Nothing that such a judge has found can be believed.
        Some(result) if attack.is_some() => (result.outcome, 0, shortened(&result.reason, 512)),
        Some(result) => (result.outcome, earned(gate, result), shortened(&result.reason, 512)),
        None => (GateOutcome::NotRun, 0, "the result says nothing about this gate".to_owned()),
    };
    let tests = result.and_then(|result| result.tests);
    ScorePart { gate: gate.name.clone(), points, out_of: gate.points, outcome, tests, reason }
}

fn earned(gate: &Gate, result: &GateResult) -> i32 {
    match result.outcome {
        GateOutcome::Passed => gate.points,
        GateOutcome::Partial => result.points.clamp(0, (gate.points - 1).max(0)),
        GateOutcome::Failed | GateOutcome::TimedOut | GateOutcome::CannotRun | GateOutcome::NotRun => 0,
    }
}

fn obstacle(evaluation: &Evaluation, result: &WorldResult, parts: &[ScorePart], total: i32) -> (Reason, String) {
    let failed = evaluation
        .gates
        .iter()
        .zip(parts)
        .find(|(gate, part)| gate.required && part.outcome != GateOutcome::Passed)
        .map(|(_, part)| part);
    if let Some(attack) = &result.attack {
        (Reason::JudgeAttacked, format!("its judge was attacked: {attack}"))
    } else if result.commit.is_none() {
        let said = result.reasons.first().map_or_else(|| "the worker changed nothing".to_owned(), Clone::clone);
        (Reason::NoChange, said)
    } else if !result.sealed && evaluation.sealing == Sealing::Required {
        (
            Reason::NotSealed,
            "the gates could not be confined on its node, and evaluation.sealing asks for that".to_owned(),
        )
    } else if let Some(part) = failed {
        let why = if part.reason.is_empty() { String::new() } else { format!(": {}", part.reason) };
        (Reason::RequiredGateFailed, format!("the required gate {} did not pass{why}", part.gate))
    } else if total < evaluation.accept_score {
        (Reason::BelowAcceptScore, format!("its score of {total} is below {}", evaluation.accept_score))
    } else {
        (Reason::Eligible, format!("it scored {total} of 100 and passed every required gate"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use manyworlds_api::result::{DiffStatistics, TestChanges};
    use manyworlds_api::work_order::GateKind;

    fn gate(name: &str, points: i32, required: bool) -> Gate {
        Gate {
            name: name.to_owned(),
            kind: GateKind::Custom,
            command: vec!["true".to_owned()],
            report: None,
            canary: None,
            points,
            required,
            timeout: manyworlds_api::Duration::from_minutes(1),
        }
    }

    fn evaluation() -> Evaluation {
        Evaluation { gates: vec![gate("build", 30, true), gate("test", 70, false)], ..Evaluation::default() }
    }

    fn result(gates: &[(&str, GateOutcome, i32)]) -> WorldResult {
        let gates = gates
            .iter()
            .map(|&(name, outcome, points)| GateResult {
                name: name.to_owned(),
                outcome,
                points,
                passed: None,
                total: None,
                tests: None,
                milliseconds: 1,
                reason: String::new(),
            })
            .collect();
        WorldResult {
            commit: Some("c".repeat(40)),
            sealed: true,
            landlock: Some(6),
            attack: None,
            gates,
            diff: DiffStatistics::default(),
            artifacts: Vec::new(),
            reasons: Vec::new(),
        }
    }

    #[test]
    fn the_parts_add_up() {
        let verdict =
            judge(&evaluation(), &result(&[("build", GateOutcome::Passed, 30), ("test", GateOutcome::Partial, 50)]));
        assert_eq!((verdict.score.total, verdict.eligible()), (80, true));
    }

    /// W3: what became of the base's test cases is on the World, for the gates that the order has.
    #[test]
    fn a_part_says_what_became_of_the_tests_of_the_base() {
        let tests = Some(TestChanges { fixed: 1, kept: 7, broken: 2, failing: 3, missing: 4, added: 5 });
        let mut result = result(&[("build", GateOutcome::Passed, 30), ("test", GateOutcome::Partial, 50)]);
        result.gates[1].tests = tests;
        let parts = judge(&evaluation(), &result).score.parts;
        assert_eq!((parts[0].tests, parts[1].tests), (None, tests));
    }

    #[test]
    fn a_gate_that_did_not_run_earns_nothing_whatever_its_result_says() {
        for outcome in [GateOutcome::NotRun, GateOutcome::Failed, GateOutcome::TimedOut, GateOutcome::CannotRun] {
            let verdict = judge(&evaluation(), &result(&[("build", GateOutcome::Passed, 30), ("test", outcome, 70)]));
            assert_eq!(verdict.score.total, 30, "{outcome:?}");
        }
        let verdict = judge(&evaluation(), &result(&[("test", GateOutcome::Passed, 70)]));
        assert_eq!(verdict.score.total, 70);
        assert_eq!(verdict.reason, Reason::RequiredGateFailed);
    }

    #[test]
    fn points_above_a_gates_worth_and_unknown_gates_do_not_count() {
        let verdict = judge(
            &evaluation(),
            &result(&[
                ("build", GateOutcome::Passed, 9999),
                ("test", GateOutcome::Partial, 9999),
                ("bonus", GateOutcome::Passed, 9999),
            ]),
        );
        assert_eq!(verdict.score.total, 99);
    }

    #[test]
    fn a_required_gate_that_passed_only_partly_keeps_a_world_out() {
        let evaluation = Evaluation { gates: vec![gate("test", 100, true)], ..Evaluation::default() };
        let verdict = judge(&evaluation, &result(&[("test", GateOutcome::Partial, 99)]));
        assert_eq!(verdict.reason, Reason::RequiredGateFailed);
    }

    #[test]
    fn unsealed_evidence_counts_only_where_the_order_allows_it() {
        let unsealed = WorldResult {
            sealed: false,
            ..result(&[("build", GateOutcome::Passed, 30), ("test", GateOutcome::Passed, 70)])
        };
        assert_eq!(judge(&evaluation(), &unsealed).reason, Reason::NotSealed);
        let preferred = Evaluation { sealing: Sealing::Preferred, ..evaluation() };
        assert!(judge(&preferred, &unsealed).eligible());
    }

    /// W3: not even where every score is accepted.
    #[test]
    fn a_world_that_attacked_its_judge_has_no_points_and_cannot_win() {
        let attacked = WorldResult {
            attack: Some("gate test told its judge to end".to_owned()),
            ..result(&[("build", GateOutcome::Passed, 30), ("test", GateOutcome::Partial, 50)])
        };
        let verdict = judge(&Evaluation { accept_score: 0, ..evaluation() }, &attacked);
        assert_eq!((verdict.score.total, verdict.reason), (0, Reason::JudgeAttacked));
        assert!(verdict.message.contains("gate test told its judge to end"), "{}", verdict.message);
    }

    #[test]
    fn a_world_without_a_change_cannot_win() {
        let empty = WorldResult {
            commit: None,
            ..result(&[("build", GateOutcome::Passed, 30), ("test", GateOutcome::Passed, 70)])
        };
        assert_eq!(judge(&evaluation(), &empty).reason, Reason::NoChange);
    }

    #[test]
    fn a_score_below_the_accepted_one_keeps_a_world_out() {
        let low = judge(&evaluation(), &result(&[("build", GateOutcome::Passed, 30)]));
        assert_eq!(low.reason, Reason::BelowAcceptScore);
        assert!(low.message.contains("30 is below 70"));
    }
}
