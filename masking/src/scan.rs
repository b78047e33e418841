//! Where secrets are in a text, and from where on it is not known yet.

use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};

use crate::SECRET_VALUE;
use crate::patterns::{Ahead, Pattern, Verdict};

/// What is looked for.
pub(crate) struct Rules {
    patterns: &'static [Pattern],
    /// Beginnings of the patterns, then the values. `None` where there is nothing, or too much, to look for.
    needles: Option<AhoCorasick>,
    /// Sorted.
    values: Vec<String>,
    /// What any of them begins with, sorted.
    first: Vec<u8>,
    /// The length of the longest.
    longest: usize,
}

/// A secret in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) id: &'static str,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Scanned {
    /// In order, none touching another.
    pub(crate) spans: Vec<Span>,
    /// From where on a secret may have begun that is not there as a whole.
    pub(crate) open: Option<usize>,
}

impl Rules {
    pub(crate) fn new(patterns: &'static [Pattern], values: BTreeSet<String>) -> Self {
        let values: Vec<_> = values.into_iter().collect();
        let all: Vec<&str> =
            patterns.iter().map(|pattern| pattern.beginning).chain(values.iter().map(String::as_str)).collect();
        let first: BTreeSet<u8> = all.iter().filter_map(|needle| needle.bytes().next()).collect();
        let longest = all.iter().map(|needle| needle.len()).max().unwrap_or_default();
        let needles = AhoCorasickBuilder::new().match_kind(MatchKind::Standard).build(&all).ok();
        let needles = needles.filter(|_| !all.is_empty());
        Self { patterns, needles, first: first.into_iter().collect(), longest, values }
    }

    pub(crate) fn patterns(&self) -> &'static [Pattern] {
        self.patterns
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(String::as_str)
    }

    /// Returns whether anything in a text could be a secret. Most texts end here.
    pub(crate) fn may_concern(&self, text: &str) -> bool {
        self.needles.as_ref().is_some_and(|needles| needles.is_match(text))
    }

    /// Looks for secrets from a place on. What is before it only says whether a word begins there.
    pub(crate) fn scan(&self, text: &str, from: usize, ahead: Ahead) -> Scanned {
        let bytes = text.as_bytes();
        let mut open = if ahead == Ahead::More { self.begun(bytes, from) } else { None };
        let mut found: Vec<(Span, usize)> = Vec::new();
        // A pattern does not begin again within what it found: a long run is read once.
        let mut read = vec![from; self.patterns.len()];
        for needle in self.needles.iter().flat_map(|needles| needles.find_overlapping_iter(text)) {
            let (start, end, index) = (needle.start(), needle.end(), needle.pattern().as_usize());
            let Some(pattern) = self.patterns.get(index) else {
                if start >= from {
                    found.push((Span { start, end, id: SECRET_VALUE }, end - start));
                }
                continue;
            };
            if start < read[index] || !pattern.may_begin(bytes, start) {
                continue;
            }
            match pattern.look(bytes, end, ahead) {
                Verdict::Secret(end) => {
                    read[index] = end;
                    found.push((Span { start, end, id: pattern.id }, pattern.beginning.len()));
                }
                Verdict::Open => open = Some(open.map_or(start, |open| open.min(start))),
                Verdict::Nothing => {}
            }
        }
        found.sort_unstable_by_key(|(span, certain)| (span.start, std::cmp::Reverse(*certain)));
        Scanned { spans: joined(found.into_iter().map(|(span, _)| span)), open }
    }

    /// Returns the first place from which on the rest of a text is the beginning of something that is looked for.
    fn begun(&self, text: &[u8], from: usize) -> Option<usize> {
        let earliest = text.len().saturating_sub(self.longest.saturating_sub(1)).max(from);
        (earliest..text.len()).find(|at| {
            let rest = &text[*at..];
            let begins = |pattern: &&Pattern| pattern.beginning.as_bytes().starts_with(rest);
            self.first.binary_search(&rest[0]).is_ok()
                && (self.patterns.iter().filter(begins).any(|pattern| pattern.may_begin(text, *at))
                    || self.begins_a_value(rest))
        })
    }

    fn begins_a_value(&self, rest: &[u8]) -> bool {
        let place = self.values.partition_point(|value| value.as_bytes() <= rest);
        self.values.get(place).is_some_and(|value| value.as_bytes().starts_with(rest))
    }
}

/// Puts spans together that overlap. The first gives the name.
fn joined(spans: impl Iterator<Item = Span>) -> Vec<Span> {
    let mut all: Vec<Span> = Vec::new();
    for span in spans {
        match all.last_mut() {
            Some(last) if span.start < last.end => last.end = last.end.max(span.end),
            _ => all.push(span),
        }
    }
    all
}
