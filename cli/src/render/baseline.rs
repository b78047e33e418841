//! What the gates give at the base, and what became of its test cases, in words.

use manyworlds_api::result::{GateOutcome, TestChanges};
use manyworlds_api::work_order::{BaselineGateStatus, BaselineState, BaselineStatus};

use super::text::{Line, Tone, paragraph};

/// Returns the lines on what the gates give without any change.
pub fn baseline(status: &BaselineStatus, width: Option<usize>) -> Vec<Line> {
    let BaselineStatus { state, message, gates, warnings } = status;
    let said = match state {
        BaselineState::Judging => "The gates run at the base; the Worlds are judged after that.",
        BaselineState::Judged => "At the base, without any change:",
        BaselineState::Failed => "The gates could not be run at the base.",
    };
    let mut lines = vec![Line::of(Tone::Muted, said)];
    if let Some(message) = message {
        lines.extend(paragraph("  ", message, width));
    }
    lines.extend(gates.iter().map(gate));
    for warning in warnings {
        lines.extend(paragraph("  ! ", warning, width));
    }
    lines
}

fn gate(gate: &BaselineGateStatus) -> Line {
    let (mark, tone) = outcome_mark(gate.outcome);
    let line = Line::plain("  ").and(tone, mark).and(Tone::Strong, format!(" {}", gate.gate));
    let line = match (gate.passed, gate.total) {
        (Some(passed), Some(total)) => line.and(Tone::Plain, format!("  {passed} of {total} tests pass")),
        _ => line,
    };
    if gate.reason.is_empty() { line } else { line.and(Tone::Muted, format!("  {}", gate.reason)) }
}

/// Returns the mark of an outcome, and its tone.
pub fn outcome_mark(outcome: GateOutcome) -> (&'static str, Tone) {
    match outcome {
        GateOutcome::Passed => ("✔", Tone::Good),
        GateOutcome::Partial => ("◐", Tone::Waiting),
        GateOutcome::Failed | GateOutcome::TimedOut | GateOutcome::CannotRun => ("✘", Tone::Bad),
        GateOutcome::NotRun => ("⊘", Tone::Muted),
    }
}

/// Says what became of the test cases of the base; nothing where there are none.
pub fn changes(tests: TestChanges) -> String {
    let TestChanges { fixed, kept, broken, failing, missing, added } = tests;
    let counts = [
        (fixed, "fixed"),
        (kept, "kept"),
        (broken, "broken"),
        (failing, "still failing"),
        (missing, "missing"),
        (added, "added"),
    ];
    let parts: Vec<_> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    if parts.is_empty() { String::new() } else { format!("tests of the base: {}", parts.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::super::text::plain_text;
    use super::*;

    fn status(state: BaselineState) -> BaselineStatus {
        let gate = |name: &str, outcome, passed, reason: &str| BaselineGateStatus {
            gate: name.to_owned(),
            outcome,
            passed,
            total: passed.map(|_| 30),
            reason: reason.to_owned(),
        };
        BaselineStatus {
            state,
            message: Some("one more word".to_owned()),
            gates: vec![
                gate("build", GateOutcome::CannotRun, None, "there is no program make"),
                gate("tests", GateOutcome::Partial, Some(28), ""),
            ],
            warnings: vec!["every test passes already at the base".to_owned()],
        }
    }

    /// W3: what the evidence is worth is to be seen before and beside the scores.
    #[test]
    fn each_gate_at_the_base_is_shown_with_what_it_cannot_tell() {
        let text = plain_text(&baseline(&status(BaselineState::Judged), None));
        for words in
            ["At the base", "✘ build  there is no program make", "◐ tests  28 of 30 tests pass", "! every test"]
        {
            assert!(text.contains(words), "{text}");
        }
        let failed = plain_text(&baseline(&status(BaselineState::Failed), None));
        assert!(failed.contains("could not be run") && failed.contains("one more word"), "{failed}");
    }

    #[test]
    fn what_became_of_the_tests_is_said_in_words_and_nothing_is_said_of_none() {
        let some = TestChanges { fixed: 2, kept: 27, broken: 1, failing: 3, missing: 4, added: 5 };
        assert_eq!(changes(some), "tests of the base: 2 fixed, 27 kept, 1 broken, 3 still failing, 4 missing, 5 added");
        assert_eq!(changes(TestChanges { kept: 30, ..TestChanges::default() }), "tests of the base: 30 kept");
        assert_eq!(changes(TestChanges::default()), "");
    }
}
