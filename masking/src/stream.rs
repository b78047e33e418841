//! Masking of a text that arrives in parts.

use std::sync::Arc;

use crate::findings::{Findings, MaskedText, context};
use crate::patterns::Continuation;
use crate::scan::Rules;

/// Number of returned characters that are kept, to tell whether a word begins after them.
const KEPT: usize = 3;

/// Masks a text that arrives in parts.
///
/// - **Guarantees:** the returned parts together equal [`crate::Filter::mask`] of the whole text. Only a possible beginning of a secret
///   is held back.
pub struct StreamMasker {
    rules: Option<Arc<Rules>>,
    /// The last returned characters, then the text that is held back.
    text: String,
    /// Bytes of `text` that were returned.
    passed: usize,
    /// The end of the masked text that was returned, for snippets.
    returned: String,
    findings: Findings,
}

impl StreamMasker {
    pub(crate) fn new(rules: Option<Arc<Rules>>) -> Self {
        Self { rules, text: String::new(), passed: 0, returned: String::new(), findings: Findings::default() }
    }

    /// Adds the next part and returns the text that is certain.
    pub fn feed(&mut self, part: &str) -> String {
        self.text.push_str(part);
        self.release(Continuation::Possible)
    }

    /// Ends the text and returns the rest of it. A later part begins a new text.
    pub fn finish(&mut self) -> String {
        let rest = self.release(Continuation::None);
        self.text.clear();
        self.returned.clear();
        self.passed = 0;
        rest
    }

    /// Returns whether text is held back.
    pub fn holds(&self) -> bool {
        self.passed < self.text.len()
    }

    /// Returns the findings since the last call.
    pub fn take_findings(&mut self) -> Findings {
        std::mem::take(&mut self.findings)
    }

    fn release(&mut self, continuation: Continuation) -> String {
        let Some(rules) = &self.rules else { return self.text.split_off(0) };
        let scanned = rules.scan(&self.text, self.passed, continuation);
        let undecided = scanned.undecided_from.unwrap_or(self.text.len());
        // A secret that overlaps a possible one waits for it.
        let within = scanned.spans.iter().find(|span| span.start < undecided && undecided < span.end);
        let end = within.map_or(undecided, |span| span.start);
        let mut written = MaskedText::after(&self.returned);
        written.text(&self.text, self.passed..end, &scanned.spans);
        let returned = written.finish(&mut self.findings);
        self.returned.push_str(&returned);
        self.returned.drain(..self.returned.len() - context(&self.returned).len());
        let kept = self.text[..end].char_indices().rev().take(KEPT).last().map_or(end, |(at, _)| at);
        self.text.drain(..kept);
        self.passed = end - kept;
        returned
    }
}
