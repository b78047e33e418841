//! What has changed since the last look, as one line each: for logs and pipes, where nothing can be redrawn.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::summary::{message, summary_tone, summary_word};
use super::text::{Line, Tone};
use super::time::{clock, length};
use super::world_row::{WorldRow, world_rows};
use crate::picture::Picture;

/// What was last said about one order.
#[derive(Clone, Debug, Default)]
pub struct Said {
    order: String,
    worlds: BTreeMap<String, String>,
    answer: Answer,
}

/// Whether the API server answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// It does.
    #[default]
    Comes,
    /// It does not.
    IsMissing,
}

impl Said {
    /// Returns what is to be said of the API server: that it has stopped to answer, and that it answers again.
    pub fn answer(&mut self, answer: Answer, now: Timestamp) -> Option<Line> {
        if std::mem::replace(&mut self.answer, answer) == answer {
            return None;
        }
        let (tone, text) = match answer {
            Answer::Comes => (Tone::Good, "the API server answers again"),
            Answer::IsMissing => {
                (Tone::Bad, "the API server does not answer; the order goes on, and it is asked again")
            }
        };
        Some(prefix(now, "").and(tone, text))
    }
}

/// Returns what is new, and remembers that it was said.
pub fn changes(said: &mut Said, picture: &Picture, now: Timestamp) -> Vec<Line> {
    let mut lines = Vec::new();
    for row in world_rows(picture, now) {
        // A World that waits for its turn is what everybody expects; saying it fifty times helps nobody.
        let sentence = sentence(&row);
        let before = said.worlds.insert(row.name.clone(), sentence.clone());
        let is_first_and_idle = before.is_none() && row.attempt == 0;
        if before.as_deref() != Some(sentence.as_str()) && !is_first_and_idle {
            let prefix = prefix(now, &format!("{}/{}", picture.name(), row.name));
            let length = row.seconds.filter(|_| row.shown.is_over());
            let time = length.map_or_else(String::new, |seconds| format!(" ({})", length_text(seconds)));
            lines.push(prefix.and(row.tone(), &sentence).and(Tone::Muted, time));
        }
    }
    let word = summary_word(&picture.order);
    let text = match message(picture) {
        message if message.is_empty() => word.to_owned(),
        message => format!("{word}: {message}"),
    };
    if said.order != text {
        said.order.clone_from(&text);
        let line = prefix(now, &picture.name()).and(summary_tone(picture), text);
        // The order's end comes last; everything else that it says explains what follows.
        let place = if picture.is_finished() { lines.len() } else { 0 };
        lines.insert(place, line);
    }
    lines
}

fn length_text(seconds: i64) -> String {
    length(seconds)
}

fn prefix(now: Timestamp, name: &str) -> Line {
    Line::of(Tone::Muted, clock(now)).and(Tone::Plain, format!("  {name:<24} "))
}

fn sentence(row: &WorldRow) -> String {
    let mut parts = vec![row.shown.word().to_owned()];
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
    use super::super::sample;
    use super::super::text::plain_text;
    use super::*;

    #[test]
    fn an_api_server_that_is_away_is_said_once_and_so_is_that_it_is_back() {
        let mut said = Said::default();
        let mut hear = |answer| said.answer(answer, sample::now()).map(|line| plain_text(&[line]));
        assert_eq!(hear(Answer::Comes), None);
        assert!(hear(Answer::IsMissing).unwrap().contains("does not answer"));
        assert_eq!(hear(Answer::IsMissing), None);
        assert!(hear(Answer::Comes).unwrap().contains("answers again"));
        assert_eq!(hear(Answer::Comes), None);
    }

    #[test]
    fn only_what_is_new_is_said() {
        let mut said = Said::default();
        let first = plain_text(&changes(&mut said, &sample::waiting(), sample::now()));
        let expected = "\
12:02:00Z  fix-270                  AwaitingCapacity: No node has a free slot; place 3 in the queue.
";
        assert_eq!(first, expected);
        assert!(changes(&mut said, &sample::waiting(), sample::now()).is_empty());
        let second = plain_text(&changes(&mut said, &sample::running(), sample::now()));
        let expected = "\
12:02:00Z  fix-270                  Running: 4 Worlds at work or waiting.
12:02:00Z  fix-270/alpha            Scored 96, eligible: 96 of 100 points (1m02s)
12:02:00Z  fix-270/beta             Evaluating: gate tests runs
12:02:00Z  fix-270/gamma            Working, attempt 2
12:02:00Z  fix-270/delta            Starting: ImagePullBackOff: no such image
";
        assert_eq!(second, expected);
        let last = plain_text(&changes(&mut said, &sample::finished(), sample::now()));
        assert!(last.ends_with("fix-270                  Succeeded: alpha won with 96 points.\n"), "{last}");
        assert!(!last.contains("fix-270/alpha"), "{last}");
    }
}
