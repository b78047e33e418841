//! Compacts a conversation to a limit (S4): the most important parts stay, the rest is shortened, then summed up.
//!
//! **Architecture invariant:** pure, and every call keeps its result: a conversation stays one that the API takes.

use super::protocol::{ModelMessage, ToolResult, Turn};

/// The number of latest turns that stay whole.
const RECENT: usize = 6;
/// The bytes of an older result that stay.
const KEPT: usize = 300;

/// A compaction, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Compaction {
    pub(super) before: usize,
    pub(super) after: usize,
    /// Whether a summary stands for turns that were left out.
    pub(super) summary_applied: bool,
    pub(super) strategy: &'static str,
}

impl Compaction {
    /// Returns what the gateway is told for its audit log.
    pub(super) fn header(&self) -> String {
        let Self { before, after, summary_applied, strategy } = self;
        format!("before={before}; after={after}; summary={summary_applied}; strategy={strategy}")
    }

    /// Returns the line of the log, in the words of S4.
    pub(super) fn log_line(&self) -> String {
        let Self { before, after, summary_applied, strategy } = self;
        let percent = if *before == 0 { 100 } else { after * 100 / before };
        format!(
            "context reduced: size_before={before} size_after={after} retain_ratio={}.{:02} summary_applied={summary_applied} strategy={strategy}",
            percent / 100,
            percent % 100
        )
    }
}

/// Returns the conversation within `most` bytes as far as possible, and how it was compacted.
///
/// - **Shape:** the first turn is the task, which always stays whole.
pub(super) fn compact(turns: &[Turn], most: usize) -> (Vec<Turn>, Option<Compaction>) {
    let before = size(turns);
    if before <= most {
        return (turns.to_vec(), None);
    }
    let shortened = shorten_old_results(turns);
    let after = size(&shortened);
    if after <= most {
        let strategy = "shorten_old_results";
        return (shortened, Some(Compaction { before, after, summary_applied: false, strategy }));
    }
    let summed = sum_up(&shortened, most);
    let after = size(&summed);
    (summed, Some(Compaction { before, after, summary_applied: true, strategy: "summarize_old_turns" }))
}

fn size(turns: &[Turn]) -> usize {
    turns.iter().map(size_of).sum()
}

fn size_of(turn: &Turn) -> usize {
    match turn {
        Turn::User(text) => text.len(),
        // Thinking is part of what is sent.
        Turn::Model(message) => message.raw.to_string().len(),
        Turn::ToolResults(results) => results.iter().map(|result| result.text.len()).sum(),
    }
}

fn shorten_old_results(turns: &[Turn]) -> Vec<Turn> {
    let recent = turns.len().saturating_sub(RECENT);
    let shortened = |index: usize, turn: &Turn| match turn {
        Turn::ToolResults(results) if index < recent => {
            Turn::ToolResults(results.iter().map(shortened_result).collect())
        }
        _ => turn.clone(),
    };
    turns.iter().enumerate().map(|(index, turn)| shortened(index, turn)).collect()
}

fn shortened_result(result: &ToolResult) -> ToolResult {
    if result.text.len() <= KEPT * 2 {
        return result.clone();
    }
    let head: String = result.text.chars().take(KEPT).collect();
    let left_out = result.text.len() - head.len();
    ToolResult {
        id: result.id.clone(),
        text: format!("{head}\n[{left_out} bytes were left out; ask again if you need them]"),
    }
}

/// Puts a summary in the place of turns between the task and the latest, so many that the rest fits.
fn sum_up(turns: &[Turn], most: usize) -> Vec<Turn> {
    let Some((task, rest)) = turns.split_first() else { return Vec::new() };
    let mut from = 0;
    loop {
        // A conversation goes on with the model's turn, so that no result is without its call.
        from = match (from + 1..rest.len()).find(|index| matches!(rest[*index], Turn::Model(_))) {
            Some(next) => next,
            None => break,
        };
        if size_of(task) + summary(&rest[..from]).len() + size(&rest[from..]) <= most {
            break;
        }
    }
    let task_with_summary = match task {
        Turn::User(text) => Turn::User(format!("{text}\n\n{}", summary(&rest[..from]))),
        other => other.clone(),
    };
    std::iter::once(task_with_summary).chain(rest[from..].iter().cloned()).collect()
}

/// Returns what was done in turns that are left out: which tools were used on what, and what the model said last.
fn summary(turns: &[Turn]) -> String {
    let mut lines = vec!["[Earlier steps were left out. What was done:]".to_owned()];
    for turn in turns {
        let Turn::Model(ModelMessage { text, calls, .. }) = turn else { continue };
        for call in calls {
            let on = ["path", "command", "pattern"].iter().find_map(|name| call.arguments[*name].as_str());
            let on: String = on.unwrap_or_default().chars().take(80).collect();
            lines.push(format!("- {} {on}", call.name));
        }
        if calls.is_empty() && !text.is_empty() {
            lines.push(format!("- said: {}", text.chars().take(120).collect::<String>()));
        }
    }
    lines.dedup();
    let surplus = lines.len().saturating_sub(60);
    lines.drain(1..=surplus);
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::super::protocol::{Completeness, ToolCall};
    use super::*;

    fn conversation(steps: usize, bytes: usize) -> Vec<Turn> {
        let mut turns = vec![Turn::User("the task".into())];
        for step in 0..steps {
            let call = ToolCall {
                id: format!("c{step}"),
                name: "read_file".into(),
                arguments: json!({"path": format!("file{step}")}),
                completeness: Completeness::Complete,
            };
            let text = format!("step {step}");
            let raw = json!({"content": text, "reasoning_content": format!("thought {step}")});
            turns.push(Turn::Model(ModelMessage { text, calls: vec![call], raw }));
            turns.push(Turn::ToolResults(vec![ToolResult { id: format!("c{step}"), text: "x".repeat(bytes) }]));
        }
        turns
    }

    fn ids(turns: &[Turn]) -> (BTreeSet<String>, BTreeSet<String>) {
        let (mut called, mut answered) = (BTreeSet::new(), BTreeSet::new());
        for turn in turns {
            match turn {
                Turn::Model(ModelMessage { calls, .. }) => called.extend(calls.iter().map(|call| call.id.clone())),
                Turn::ToolResults(results) => answered.extend(results.iter().map(|result| result.id.clone())),
                Turn::User(_) => {}
            }
        }
        (called, answered)
    }

    #[test]
    fn a_small_conversation_stays_as_it_is() {
        let turns = conversation(3, 100);
        assert_eq!(compact(&turns, 10_000), (turns, None));
    }

    #[test]
    fn old_results_are_shortened_first_and_the_latest_stay_whole() {
        let turns = conversation(10, 2_000);
        let (kept, compaction) = compact(&turns, 12_000);
        let compaction = compaction.unwrap();
        assert!(compaction.after <= 12_000 && !compaction.summary_applied);
        assert_eq!(kept.len(), turns.len());
        assert_eq!(kept.last(), turns.last());
        assert!(compaction.log_line().contains("strategy=shorten_old_results"), "{}", compaction.log_line());
    }

    #[test]
    fn then_a_summary_stands_for_old_turns_and_no_call_is_without_its_result() {
        for steps in [20, 100, 500] {
            let turns = conversation(steps, 2_000);
            let (kept, compaction) = compact(&turns, 12_000);
            assert!(compaction.unwrap().summary_applied);
            let (called, answered) = ids(&kept);
            assert_eq!(called, answered, "{steps} steps");
            assert!(size(&kept) <= 12_000, "{}", size(&kept));
            let Turn::User(task) = &kept[0] else { panic!("the task is first") };
            assert!(task.starts_with("the task") && task.contains("read_file file"));
            assert_eq!(kept.last(), turns.last());
        }
    }

    #[test]
    fn thinking_counts_and_no_turn_that_stays_is_altered() {
        let mut turns = conversation(10, 100);
        for turn in &mut turns {
            let Turn::Model(message) = turn else { continue };
            message.raw["reasoning_content"] = json!("x".repeat(2_000));
        }
        let (kept, compaction) = compact(&turns, 12_000);
        assert!(compaction.unwrap().before > 20_000 && size(&kept) <= 12_000, "{}", size(&kept));
        let (called, answered) = ids(&kept);
        assert_eq!(called, answered);
        assert!(kept.len() > 1 && kept[1..].iter().all(|turn| turns.contains(turn)), "whole turns, or none");
    }

    #[test]
    fn what_cannot_be_made_smaller_is_sent_as_it_is() {
        let turns = vec![Turn::User("x".repeat(1_000))];
        assert_eq!(compact(&turns, 10).0.len(), 1);
    }
}
