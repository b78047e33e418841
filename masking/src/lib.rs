//! Masks secrets in text that is printed, stored or sent (S5): known values, and keys of well-known formats.
//!
//! - [`Filter`]: the secrets to look for; masks a complete text.
//! - [`StreamMasker`]: masks a text that arrives in parts.
//! - [`Findings`]: the masked secrets by pattern, for the audit log.
//! - `patterns`: formats of keys. `forms`: encodings of a value.
//!
//! **Architecture invariant:** pure: no I/O, no clock. The output does not depend on how a text is divided.

mod findings;
mod forms;
mod patterns;
mod scan;
mod stream;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

pub use findings::{Finding, Findings, MASK};
pub use patterns::{PATTERN_IDS, SECRET_VALUE};
pub use stream::StreamMasker;

use findings::MaskedText;
use patterns::{Continuation, PATTERNS};
use scan::Rules;

/// Shortest value, in bytes, that is worth masking; shorter ones are common in ordinary text.
pub const SHORTEST_VALUE: usize = 4;

/// The secrets to mask. Clones share them.
#[derive(Clone, Default)]
pub struct Filter(Option<Arc<Rules>>);

impl Filter {
    /// Returns a filter that masks keys of well-known formats.
    pub fn by_pattern() -> Self {
        Self(Some(Arc::new(Rules::new(PATTERNS, BTreeSet::new()))))
    }

    /// Returns a filter that also masks these values: whole, by line, and encoded for JSON, base64 and URLs.
    ///
    /// - **Shape:** values and lines of fewer than `shortest` bytes are ignored, because they occur in ordinary text.
    #[must_use]
    pub fn with_values<'a>(&self, values: impl IntoIterator<Item = &'a str>, shortest: usize) -> Self {
        let (patterns, mut forms) = match self.0.as_deref() {
            Some(rules) => (rules.patterns(), rules.values().map(str::to_owned).collect()),
            None => (&[][..], BTreeSet::new()),
        };
        for value in values {
            forms::add(value, shortest, &mut forms);
        }
        Self(Some(Arc::new(Rules::new(patterns, forms))))
    }

    /// Returns the masked text and the findings; borrows the text when nothing is masked.
    pub fn mask<'a>(&self, text: &'a str) -> (Cow<'a, str>, Findings) {
        let mut findings = Findings::default();
        let Some(rules) = self.0.as_deref().filter(|rules| rules.may_match(text)) else {
            return (Cow::Borrowed(text), findings);
        };
        let scanned = rules.scan(text, 0, Continuation::None);
        if scanned.spans.is_empty() {
            return (Cow::Borrowed(text), findings);
        }
        let mut written = MaskedText::after("");
        written.text(text, 0..text.len(), &scanned.spans);
        (Cow::Owned(written.finish(&mut findings)), findings)
    }

    /// Returns the masked text.
    pub fn masked(&self, text: &str) -> String {
        self.mask(text).0.into_owned()
    }

    /// Returns a masker for a text that arrives in parts.
    pub fn stream(&self) -> StreamMasker {
        StreamMasker::new(self.0.clone())
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forms = self.0.as_deref().map_or(0, |rules| rules.values().count());
        formatter.debug_struct("Filter").field("forms", &forms).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
