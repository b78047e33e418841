//! The report of our own worker that it made a conversation smaller (S4), for the audit log.

use http::HeaderMap;
use jiff::Timestamp;
use manyworlds_ledger::Caller;
use manyworlds_ledger::audit::{AuditEntry, AuditStage};
use serde_json::json;

/// The header of the report, such as `before=300000; after=200000; summary=false; strategy=shorten_old_results`.
const HEADER: &str = "x-manyworlds-context-reduced";
/// The largest size that is believed, in bytes: more than any request can have.
const MOST: u32 = 1024 * 1024 * 1024;
/// The ways of making a conversation smaller.
const STRATEGIES: [&str; 2] = ["shorten_old_results", "summarize_old_turns"];

/// A conversation that was made smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Compaction {
    before: u32,
    after: u32,
    summary: &'static str,
    strategy: &'static str,
}

impl Compaction {
    /// Reads a report: numbers within bounds and closed words, or nothing.
    fn read(text: &str) -> Option<Self> {
        let field = |wanted: &str| {
            let mut found = text.split(';').filter_map(|pair| pair.trim().split_once('='));
            found.find_map(|(name, value)| (name == wanted).then_some(value))
        };
        let word = |name: &str, known: &[&'static str]| {
            let said = field(name)?;
            known.iter().copied().find(|word| *word == said)
        };
        let compaction = Self {
            before: field("before")?.parse().ok()?,
            after: field("after")?.parse().ok()?,
            summary: word("summary", &["true", "false"])?,
            strategy: word("strategy", &STRATEGIES)?,
        };
        (compaction.before <= MOST && compaction.after <= compaction.before).then_some(compaction)
    }
}

/// Returns the audit entry of the report in a request's headers.
pub(crate) fn audit_entry(headers: &HeaderMap, caller: &Caller) -> Option<AuditEntry> {
    let Compaction { before, after, summary, strategy } = Compaction::read(headers.get(HEADER)?.to_str().ok()?)?;
    let further = [("strategy", strategy), ("summary_applied", summary), ("toldBy", "World")];
    let entry = AuditEntry::new(AuditStage::Context, "Reduced", Timestamp::now()).with_caller(caller, &further);
    let ratio = u64::from(after) * 100 / u64::from(before.max(1));
    let counts = json!({"retain_ratio": format!("{}.{:02}", ratio / 100, ratio % 100)}).to_string();
    Some(AuditEntry { counts, size_before: Some(before.into()), size_after: Some(after.into()), ..entry })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_within_bounds_and_closed_words_are_believed() {
        let told = "before=300000; after=120000; summary=true; strategy=summarize_old_turns";
        let read = Compaction { before: 300_000, after: 120_000, summary: "true", strategy: "summarize_old_turns" };
        assert_eq!(Compaction::read(told), Some(read));
        for (part, other) in [
            ("after=120000", "after=300001"),
            ("after=120000", "after=-1"),
            ("before=300000", "before=4000000000"),
            ("before=300000", "before=99999999999"),
            ("summary=true", "summary=<b>"),
            ("strategy=summarize_old_turns", "strategy=sk-canary"),
            ("; summary=true", ""),
        ] {
            assert_eq!(Compaction::read(&told.replace(part, other)), None, "{other}");
        }
    }
}
