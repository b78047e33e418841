//! The search for secrets in a text.

use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};

use crate::patterns::{Continuation, Match, Pattern, SECRET_VALUE};

/// The patterns and values to search for.
pub(crate) struct Rules {
    patterns: &'static [Pattern],
    /// Searches for the prefixes of the patterns, then the values. `None` when there is nothing, or too much, to search for.
    needles: Option<AhoCorasick>,
    /// The values, sorted.
    values: Vec<String>,
    /// First bytes of all needles, sorted.
    first: Vec<u8>,
    /// Length of the longest needle.
    longest: usize,
}

/// A secret in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) id: &'static str,
}

/// The result of a search.
#[derive(Debug)]
pub(crate) struct ScanResult {
    /// The secrets in order, without overlaps.
    pub(crate) spans: Vec<Span>,
    /// First byte of a possible secret whose end has not arrived.
    pub(crate) undecided_from: Option<usize>,
}

impl Rules {
    pub(crate) fn new(patterns: &'static [Pattern], values: BTreeSet<String>) -> Self {
        let values: Vec<_> = values.into_iter().collect();
        let all: Vec<&str> =
            patterns.iter().map(|pattern| pattern.prefix).chain(values.iter().map(String::as_str)).collect();
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

    /// Returns whether the text may hold a secret. Most texts do not, so this is the fast path.
    pub(crate) fn may_match(&self, text: &str) -> bool {
        self.needles.as_ref().is_some_and(|needles| needles.is_match(text))
    }

    /// Finds the secrets from byte `from` on. The text before it only tells whether a word begins there.
    pub(crate) fn scan(&self, text: &str, from: usize, continuation: Continuation) -> ScanResult {
        let bytes = text.as_bytes();
        let mut undecided = if continuation == Continuation::Possible { self.partial_match(bytes, from) } else { None };
        let mut found: Vec<(Span, usize)> = Vec::new();
        // A pattern does not match again inside its own match, so that a long run is read once.
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
            match pattern.match_rest(bytes, end, continuation) {
                Match::Secret(end) => {
                    read[index] = end;
                    found.push((Span { start, end, id: pattern.id }, pattern.prefix.len()));
                }
                Match::Undecided => undecided = Some(undecided.map_or(start, |first| first.min(start))),
                Match::None => {}
            }
        }
        found.sort_unstable_by_key(|(span, certain)| (span.start, std::cmp::Reverse(*certain)));
        ScanResult { spans: joined(found.into_iter().map(|(span, _)| span)), undecided_from: undecided }
    }

    /// Returns the first byte from which the rest of the text is the beginning of a needle.
    fn partial_match(&self, text: &[u8], from: usize) -> Option<usize> {
        let earliest = text.len().saturating_sub(self.longest.saturating_sub(1)).max(from);
        (earliest..text.len()).find(|at| {
            let rest = &text[*at..];
            let begins = |pattern: &&Pattern| pattern.prefix.as_bytes().starts_with(rest);
            self.first.binary_search(&rest[0]).is_ok()
                && (self.patterns.iter().filter(begins).any(|pattern| pattern.may_begin(text, *at))
                    || self.begins_a_value(rest))
        })
    }

    fn begins_a_value(&self, rest: &[u8]) -> bool {
        let position = self.values.partition_point(|value| value.as_bytes() <= rest);
        self.values.get(position).is_some_and(|value| value.as_bytes().starts_with(rest))
    }
}

/// Joins overlapping spans. The first one gives the id.
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
