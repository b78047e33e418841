//! A text that comes in parts.

use std::sync::Arc;

use crate::findings::{Findings, Written, context};
use crate::patterns::Ahead;
use crate::scan::Rules;

/// How many characters that have passed are kept: they say whether a word begins behind them.
const KEPT: usize = 3;

/// Masks a text that comes in parts.
///
/// - **Guarantees:** all that it returns is what [`crate::Filter::mask`] would make of the whole text. It holds back what may be the beginning of a secret, and nothing else.
pub struct Carry {
    rules: Option<Arc<Rules>>,
    /// What has passed a moment ago, and what is held back.
    text: String,
    passed: usize,
    /// The end of what was returned.
    returned: String,
    findings: Findings,
}

impl Carry {
    pub(crate) fn new(rules: Option<Arc<Rules>>) -> Self {
        Self { rules, text: String::new(), passed: 0, returned: String::new(), findings: Findings::default() }
    }

    /// Takes the next part, and returns what may pass.
    pub fn feed(&mut self, part: &str) -> String {
        self.text.push_str(part);
        self.release(Ahead::More)
    }

    /// Returns what was held back: nothing more comes. What is fed after is another text.
    pub fn finish(&mut self) -> String {
        let rest = self.release(Ahead::Nothing);
        self.text.clear();
        self.returned.clear();
        self.passed = 0;
        rest
    }

    /// Returns whether something is held back.
    pub fn holds(&self) -> bool {
        self.passed < self.text.len()
    }

    /// Returns what was masked since this was last asked.
    pub fn take_findings(&mut self) -> Findings {
        std::mem::take(&mut self.findings)
    }

    fn release(&mut self, ahead: Ahead) -> String {
        let Some(rules) = &self.rules else { return self.text.split_off(0) };
        let scanned = rules.scan(&self.text, self.passed, ahead);
        let open = scanned.open.unwrap_or(self.text.len());
        // A secret that another one may have begun in goes with it.
        let within = scanned.spans.iter().find(|span| span.start < open && open < span.end);
        let end = within.map_or(open, |span| span.start);
        let mut written = Written::after(&self.returned);
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
