//! Keeps secrets out of everything that is printed, stored or sent (S5): by their value, and by how keys usually look.
//!
//! - [`Filter`]: what is looked for; masks a text that is there as a whole.
//! - [`Carry`]: masks a text that comes in parts, wherever it is divided.
//! - [`Findings`]: what was masked, by the name of its pattern, for the audit log.
//! - `patterns`: how keys look. `forms`: how else a value can be written.
//!
//! **Architecture invariant:** pure: no I/O, no clock. Dividing a text changes nothing of what comes out.

mod carry;
mod findings;
mod forms;
mod patterns;
mod scan;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

pub use carry::Carry;
pub use findings::{Finding, Findings};
pub use patterns::PATTERN_IDS;

use findings::Written;
use patterns::{Ahead, PATTERNS};
use scan::Rules;

/// What stands where a secret was.
pub const MASK: &str = "***";
/// Values that are shorter are part of ordinary text too often.
pub const SHORTEST: usize = 4;
/// The pattern of what is known by its value.
pub const SECRET_VALUE: &str = "secret-value";

/// What must not pass. Clones share it.
#[derive(Clone, Default)]
pub struct Filter(Option<Arc<Rules>>);

impl Filter {
    /// Returns a filter that knows no value and masks what looks like a key.
    pub fn by_pattern() -> Self {
        Self(Some(Arc::new(Rules::new(PATTERNS, BTreeSet::new()))))
    }

    /// Returns a filter that masks these values too: whole, each of their lines, and as they look in JSON, base64 and addresses.
    ///
    /// - **Shape:** values and lines of fewer than `shortest` bytes are passed over: they would blacken ordinary text.
    #[must_use]
    pub fn knowing<'a>(&self, values: impl IntoIterator<Item = &'a str>, shortest: usize) -> Self {
        let (patterns, mut known) = match self.0.as_deref() {
            Some(rules) => (rules.patterns(), rules.values().map(str::to_owned).collect()),
            None => (&[][..], BTreeSet::new()),
        };
        for value in values {
            forms::add(value, shortest, &mut known);
        }
        Self(Some(Arc::new(Rules::new(patterns, known))))
    }

    /// Masks a text.
    pub fn mask<'a>(&self, text: &'a str) -> (Cow<'a, str>, Findings) {
        let mut findings = Findings::default();
        let Some(rules) = self.0.as_deref().filter(|rules| rules.may_concern(text)) else {
            return (Cow::Borrowed(text), findings);
        };
        let scanned = rules.scan(text, 0, Ahead::Nothing);
        if scanned.spans.is_empty() {
            return (Cow::Borrowed(text), findings);
        }
        let mut written = Written::after("");
        written.text(text, 0..text.len(), &scanned.spans);
        (Cow::Owned(written.finish(&mut findings)), findings)
    }

    /// Returns a masked text.
    pub fn masked(&self, text: &str) -> String {
        self.mask(text).0.into_owned()
    }

    /// Returns what masks a text that comes in parts.
    pub fn carry(&self) -> Carry {
        Carry::new(self.0.clone())
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
