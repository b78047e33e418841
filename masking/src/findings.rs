//! Findings: a record of masked secrets for the audit log, without the secrets.

use std::ops::Range;

use crate::scan::Span;

/// Replacement of a secret.
pub const MASK: &str = "***";
/// Characters of context on each side of a mask in a snippet.
const CONTEXT: usize = 12;

/// The secrets that one pattern masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Name of the pattern.
    pub pattern_id: &'static str,
    /// Number of masked secrets.
    pub count: u64,
    /// A few masked characters around the first one.
    pub masked_snippet: String,
}

/// The masked secrets: at most one entry for each pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Returns whether nothing was masked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the entries.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    /// Adds the findings of another text.
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

/// A masked text that is being built.
pub(crate) struct MaskedText {
    text: String,
    /// Bytes of `text` that came before.
    before: usize,
    /// Position of each mask and the pattern behind it.
    masks: Vec<(usize, &'static str)>,
}

impl MaskedText {
    /// Returns an empty text that continues another one.
    pub(crate) fn after(before: &str) -> Self {
        Self { text: before.to_owned(), before: before.len(), masks: Vec::new() }
    }

    /// Appends a part of a text with its spans masked. Spans that begin outside of the part are ignored.
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

    /// Returns the appended text and adds its masks to the findings.
    pub(crate) fn finish(mut self, findings: &mut Findings) -> String {
        for (at, id) in &self.masks {
            findings.note(id, 1, || snippet(&self.text, *at));
        }
        self.text.split_off(self.before)
    }
}

/// Returns the text around a mask, on one line.
fn snippet(text: &str, at: usize) -> String {
    let before: Vec<char> = text[..at].chars().rev().take(CONTEXT).collect();
    let around = before.into_iter().rev().chain(text[at..].chars().take(MASK.len() + CONTEXT));
    around.map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// Returns the end of a text, as context for a mask that follows it.
pub(crate) fn context(text: &str) -> &str {
    let start = text.char_indices().rev().take(CONTEXT).last().map_or(text.len(), |(at, _)| at);
    &text[start..]
}
