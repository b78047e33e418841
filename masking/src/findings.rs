//! What was masked, as the audit log has it.

use std::ops::Range;

use crate::MASK;
use crate::scan::Span;

/// How many characters of what stands around a secret are told on each side.
const CONTEXT: usize = 12;

/// What was masked by one pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Name of the pattern.
    pub pattern_id: &'static str,
    /// How often.
    pub count: u64,
    /// A few characters around the first one, themselves masked.
    pub masked_snippet: String,
}

/// What was masked: at most one entry for each pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Returns whether nothing was masked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns what was masked.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    /// Adds what was masked elsewhere.
    pub fn add(&mut self, other: Self) {
        for Finding { pattern_id, count, masked_snippet } in other.0 {
            self.note(pattern_id, count, || masked_snippet);
        }
    }

    fn note(&mut self, pattern_id: &'static str, count: u64, snippet: impl FnOnce() -> String) {
        match self.0.iter_mut().find(|finding| finding.pattern_id == pattern_id) {
            Some(finding) => finding.count += count,
            None => self.0.push(Finding { pattern_id, count, masked_snippet: snippet() }),
        }
    }
}

/// A masked text as it is written.
pub(crate) struct Written {
    text: String,
    /// How much of it was written before.
    before: usize,
    /// Where masks are.
    masks: Vec<(usize, &'static str)>,
}

impl Written {
    /// Begins a text that goes on behind another.
    pub(crate) fn after(before: &str) -> Self {
        Self { text: before.to_owned(), before: before.len(), masks: Vec::new() }
    }

    /// Writes a part of a text. Spans that begin outside of it are no part of it.
    pub(crate) fn text(&mut self, text: &str, part: Range<usize>, spans: &[Span]) {
        let mut at = part.start;
        for span in spans.iter().filter(|span| part.contains(&span.start)) {
            self.text.push_str(&text[at..span.start]);
            self.masks.push((self.text.len(), span.id));
            self.text.push_str(MASK);
            at = span.end;
        }
        self.text.push_str(text.get(at..part.end).unwrap_or_default());
    }

    /// Returns what was written, and notes what was masked.
    pub(crate) fn finish(mut self, findings: &mut Findings) -> String {
        for (at, id) in &self.masks {
            findings.note(id, 1, || snippet(&self.text, *at));
        }
        self.text.split_off(self.before)
    }
}

/// Returns what stands around a mask, on one line.
fn snippet(text: &str, at: usize) -> String {
    let before: Vec<char> = text[..at].chars().rev().take(CONTEXT).collect();
    let around = before.into_iter().rev().chain(text[at..].chars().take(MASK.len() + CONTEXT));
    around.map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// Returns the end of a text that what comes behind it is told with.
pub(crate) fn context(text: &str) -> &str {
    let start = text.char_indices().rev().take(CONTEXT).last().map_or(text.len(), |(at, _)| at);
    &text[start..]
}
