//! One line for each change of an order: for logs and pipes, where nothing can be redrawn.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::summary::{message, summary_tone, summary_word};
use super::text::{Line, Tone};
use super::time::{clock, length};
use super::world_row::{WorldRow, world_rows};
use crate::order_view::OrderView;

/// The lines that were last printed about one order.
#[derive(Clone, Debug, Default)]
pub struct ChangeLog {
    order: String,
    worlds: BTreeMap<String, String>,
    reachability: Reachability,
}

/// Whether the API server answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reachability {
    /// It answers.
    #[default]
    Reachable,
    /// It does not answer.
    Unreachable,
}

impl ChangeLog {
    /// Returns a line when the API server stops answering, and one when it answers again.
    pub fn reachability(&mut self, reachability: Reachability, now: Timestamp) -> Option<Line> {
        if std::mem::replace(&mut self.reachability, reachability) == reachability {
            return None;
        }
        let (tone, text) = match reachability {
            Reachability::Reachable => (Tone::Good, "the API server answers again"),
            Reachability::Unreachable => {
                (Tone::Bad, "the API server does not answer; the order goes on, and it is asked again")
            }
        };
        Some(prefix(now, "").and(tone, text))
    }

    /// Returns a line for each change since the last call.
    pub fn changes(&mut self, view: &OrderView, now: Timestamp) -> Vec<Line> {
        let mut lines = Vec::new();
        for row in world_rows(view, now) {
            // A World that waits for its turn is expected, so its first line is left out.
            let sentence = sentence(&row);
            let before = self.worlds.insert(row.name.clone(), sentence.clone());
            let is_first_and_idle = before.is_none() && row.attempt == 0;
            if before.as_deref() != Some(sentence.as_str()) && !is_first_and_idle {
                let prefix = prefix(now, &format!("{}/{}", view.name(), row.name));
                let seconds = row.seconds.filter(|_| row.state.is_over());
                let time = seconds.map_or_else(String::new, |seconds| format!(" ({})", length(seconds)));
                lines.push(prefix.and(row.tone(), &sentence).and(Tone::Muted, time));
            }
        }
        let word = summary_word(&view.order);
        let text = match message(view) {
            message if message.is_empty() => word.to_owned(),
            message => format!("{word}: {message}"),
        };
        if self.order != text {
            self.order.clone_from(&text);
            let line = prefix(now, &view.name()).and(summary_tone(view), text);
            // The order's end comes last. Any other line of the order explains the lines that follow it.
            let place = if view.is_finished() { lines.len() } else { 0 };
            lines.insert(place, line);
        }
        lines
    }
}

fn prefix(now: Timestamp, name: &str) -> Line {
    Line::of(Tone::Muted, clock(now)).and(Tone::Plain, format!("  {name:<24} "))
}

fn sentence(row: &WorldRow) -> String {
    let mut parts = vec![row.state.word().to_owned()];
    if let Some(score) = row.score {
        parts[0] = format!("{} {score}", parts[0]);
    }
    match row.eligible {
        Some(true) => parts.push("eligible".to_owned()),
        Some(false) => parts.push("not eligible".to_owned()),
        None => {}
    }
    if row.attempt > 1 {
        parts.push(format!("attempt {}", row.attempt));
    }
    let state = parts.join(", ");
    if row.reason.is_empty() { state } else { format!("{state}: {}", row.reason) }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::super::text::plain_text;
    use super::*;

    #[test]
    fn an_api_server_that_is_away_is_said_once_and_so_is_that_it_is_back() {
        let mut log = ChangeLog::default();
        let mut report = |reachability| log.reachability(reachability, fixtures::now()).map(|line| plain_text(&[line]));
        assert_eq!(report(Reachability::Reachable), None);
        assert!(report(Reachability::Unreachable).unwrap().contains("does not answer"));
        assert_eq!(report(Reachability::Unreachable), None);
        assert!(report(Reachability::Reachable).unwrap().contains("answers again"));
        assert_eq!(report(Reachability::Reachable), None);
    }

    #[test]
    fn only_what_is_new_is_said() {
        let mut log = ChangeLog::default();
        let first = plain_text(&log.changes(&fixtures::waiting(), fixtures::now()));
        let expected = "\
12:02:00Z  fix-270                  AwaitingCapacity: No node has a free slot; place 3 in the queue.
";
        assert_eq!(first, expected);
        assert!(log.changes(&fixtures::waiting(), fixtures::now()).is_empty());
        let second = plain_text(&log.changes(&fixtures::running(), fixtures::now()));
        let expected = "\
12:02:00Z  fix-270                  Running: 4 Worlds at work or waiting.
12:02:00Z  fix-270/alpha            Scored 96, eligible: 96 of 100 points (1m02s)
12:02:00Z  fix-270/beta             Evaluating: gate tests runs
12:02:00Z  fix-270/gamma            Working, attempt 2
12:02:00Z  fix-270/delta            Starting: ImagePullBackOff: no such image
";
        assert_eq!(second, expected);
        let last = plain_text(&log.changes(&fixtures::finished(), fixtures::now()));
        assert!(last.ends_with("fix-270                  Succeeded: alpha won with 96 points.\n"), "{last}");
        assert!(!last.contains("fix-270/alpha"), "{last}");
    }
}
