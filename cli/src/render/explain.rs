//! The explanation of an order: why it waits, why the winner won, why the others lost.

use jiff::Timestamp;
use manyworlds_api::WorldStatus;
use manyworlds_api::result::GateOutcome;
use manyworlds_api::world::{Attempt, ScorePart};

use super::baseline::{baseline, changes, outcome_mark};
use super::comparison::{is_required, why_lost, why_won};
use super::summary::{message, order_line};
use super::text::{Line, Tone, paragraph};
use super::time::{date, length, seconds_between};
use super::world_row::{WorldRow, world_rows};
use crate::order_view::OrderView;

/// Explains an order and each of its Worlds.
pub fn explain(view: &OrderView, now: Timestamp, width: Option<usize>) -> Vec<Line> {
    let mut lines = vec![order_line(view, now)];
    lines.extend(paragraph("", &message(view), width));
    if let Some(won) = why_won(view) {
        lines.extend(paragraph("", &won, width));
    }
    if let Some(base) = &view.status().base_commit {
        lines.push(Line::of(Tone::Muted, format!("All Worlds started from {base}.")));
    }
    if let Some(status) = &view.status().baseline {
        lines.extend(baseline(status, width));
    }
    for row in ordered(view, now) {
        lines.push(Line::default());
        lines.extend(world(view, &row, width));
    }
    lines
}

/// Returns the Worlds by rank; unranked ones come last.
fn ordered(view: &OrderView, now: Timestamp) -> Vec<WorldRow> {
    let mut rows = world_rows(view, now);
    rows.sort_by_key(|row| view.ranked(&row.name).map_or(usize::MAX, |(place, _)| place));
    rows
}

fn world(view: &OrderView, row: &WorldRow, width: Option<usize>) -> Vec<Line> {
    let mark = if row.is_winner { "★ " } else { "" };
    let score = row.score.map_or_else(String::new, |score| format!("  {score} of 100"));
    let eligibility = match (row.is_winner, row.eligible) {
        (true, _) => ", the winner",
        (false, Some(true)) => ", eligible",
        (false, Some(false)) => ", not eligible",
        (false, None) => "",
    };
    let mut lines = vec![
        Line::of(Tone::Good, mark)
            .and(Tone::Strong, &row.name)
            .and(Tone::Muted, format!("  {}", row.state.word()))
            .and(row.tone(), format!("{score}{eligibility}")),
    ];
    lines.extend(paragraph("  ", &row.reason, width));
    for reason in why_lost(view, &row.name) {
        lines.extend(paragraph("  ", &reason, width));
    }
    if let Some(status) = view.world_status(&row.name) {
        lines.extend(details(view, status, width));
    }
    lines
}

fn details(view: &OrderView, status: &WorldStatus, width: Option<usize>) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(score) = &status.score {
        for gate in &score.parts {
            lines.push(part(view, gate));
            lines.extend(gate.tests.map(changes).filter(|said| !said.is_empty()).map(|said| of_gate(&said)));
        }
    }
    for reason in &status.reasons {
        lines.extend(paragraph("  ! ", reason, width));
    }
    if let Some(diff) = &status.diff {
        let text = format!("  +{} -{} lines in {}", diff.insertions, diff.deletions, files(diff.files));
        lines.push(Line::of(Tone::Muted, text));
    }
    // A message that the World or the next attempt repeats is printed once.
    let world_message = status.message.as_deref().unwrap_or_default();
    for (place, ended) in status.attempts.iter().enumerate() {
        lines.push(attempt(ended));
        let next = status.attempts.get(place + 1).map(|next| next.message.as_str());
        if next.map_or(!world_message.contains(&ended.message), |next| next != ended.message) {
            lines.extend(paragraph("    ", &ended.message, width));
        }
    }
    lines
}

fn files(count: i32) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

/// Returns a line on the gate of the line above it.
fn of_gate(said: &str) -> Line {
    Line::of(Tone::Muted, format!("      {said}"))
}

fn part(view: &OrderView, part: &ScorePart) -> Line {
    let (mark, tone) = outcome_mark(part.outcome);
    let points = format!("{:>3} of {:<3} ", part.points, part.out_of);
    let line = Line::plain("  ").and(tone, mark).and(Tone::Plain, format!(" {points}")).and(Tone::Strong, &part.gate);
    let line = if part.outcome != GateOutcome::Passed && is_required(view, &part.gate) {
        line.and(Tone::Bad, " (required)")
    } else {
        line
    };
    if part.reason.is_empty() { line } else { line.and(Tone::Muted, format!("  {}", part.reason)) }
}

fn attempt(attempt: &Attempt) -> Line {
    let time = match (&attempt.start_time, &attempt.finish_time) {
        (Some(start), Some(end)) => format!(", {} from {}", length(seconds_between(start.0, end.0)), date(start.0)),
        _ => String::new(),
    };
    let class = attempt.class.map_or_else(String::new, |class| format!(" ({})", class.as_str()));
    let node = attempt.node.as_ref().map_or_else(String::new, |node| format!(" on {node}"));
    let head = format!("  attempt {}: {}{class}{node}{time}", attempt.number, attempt.reason);
    Line::of(Tone::Muted, head)
}

#[cfg(test)]
mod tests {
    use super::super::{fixtures, text::plain_text};
    use super::*;

    #[test]
    fn the_winner_comes_first_and_every_world_is_explained() {
        let text = plain_text(&explain(&fixtures::finished(), fixtures::now(), None));
        let place = |name: &str| text.find(name).unwrap_or_else(|| panic!("{name} is missing: {text}"));
        assert!(place("★ alpha") < place("\nbeta"), "{text}");
        assert!(text.contains("96 of 100, the winner"), "{text}");
        for words in ["alpha won with 96 points, beta has 82.", "alpha is ahead", "are fewer than the 70 asked for"] {
            place(words);
        }
        for world in ["alpha", "beta", "gamma", "delta", "epsilon"] {
            place(world);
        }
    }

    #[test]
    fn what_is_said_of_the_world_is_not_said_again_of_its_last_attempt() {
        let text = plain_text(&explain(&fixtures::finished(), fixtures::now(), None));
        assert_eq!(text.matches("the worker ran out of time and changed nothing").count(), 1, "{text}");
        assert_eq!(text.matches("the node was low on memory").count(), 1, "{text}");
    }

    #[test]
    fn the_base_comes_before_the_worlds_and_its_tests_are_followed_in_each() {
        let text = plain_text(&explain(&fixtures::finished(), fixtures::now(), None));
        let place = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words} is missing: {text}"));
        assert!(place("At the base, without any change:") < place("★ alpha"), "{text}");
        assert!(place("24 of 30 tests pass") < place("tests of the base: 4 fixed, 24 kept, 2 still failing"), "{text}");
        assert_eq!(text.matches("tests of the base").count(), 1, "nothing is said where they are not known");
    }

    #[test]
    fn an_order_that_nobody_has_seen_says_so() {
        let text = plain_text(&explain(&fixtures::submitted(), fixtures::now(), None));
        assert!(text.contains("The operator has not taken notice"), "{text}");
    }

    #[test]
    fn an_order_that_waits_says_why() {
        let text = plain_text(&explain(&fixtures::waiting(), fixtures::now(), None));
        assert!(text.contains("place 3 in the queue"), "{text}");
    }
}
