//! Holds the tests of a gate against those of the base, by name. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use manyworlds_api::baseline_document::{BaselineGate, CaseOutcome, TestCase};
use manyworlds_api::result::TestChanges;

use super::counts::{Cases, Counted, TestCounts, is_in, not_loaded};

/// The tests of a gate, held against those of the base.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    /// Those that earn points, of those that can.
    pub(super) counts: TestCounts,
    /// What became of the base's test cases, where they are known by name.
    pub(super) changes: Option<TestChanges>,
    /// The number of the base's tests that were not run.
    pub(super) missing: u32,
    /// The names of these, where they are known.
    pub(super) missing_names: Vec<String>,
}

/// Holds tests against those of the base.
///
/// - **Guarantees:** a test that the base does not have earns nothing, and one of the base's that was not run counts as failed.
pub(super) fn compare(now: &Counted, base: Option<&BaselineGate>) -> Comparison {
    match base {
        Some(base) if !base.cases.is_empty() => by_name(now, base),
        Some(base) => by_number(now.counts, base.result.total.unwrap_or(0)),
        None => by_number(now.counts, 0),
    }
}

fn by_number(now: TestCounts, base: u32) -> Comparison {
    let missing = base.saturating_sub(now.total);
    let counts = TestCounts { passed: now.passed, total: now.total.max(base) };
    Comparison { counts, missing, ..Comparison::default() }
}

fn by_name(now: &Counted, base: &BaselineGate) -> Comparison {
    let tests = Tests::of(&now.cases);
    let mut changes = TestChanges::default();
    let mut missing_names = Vec::new();
    // The base's own, and those that a file of the base's brings now that it can be loaded.
    let (mut known, mut brought) = (BTreeSet::new(), BTreeSet::new());
    let required: Vec<&TestCase> = base.cases.iter().filter(|case| case.outcome != CaseOutcome::Skipped).collect();
    // Where nothing of the base could be loaded, nobody knows which tests it has.
    let is_open = !required.is_empty() && required.iter().all(|case| not_loaded(&case.name).is_some());
    for case in required {
        let inside = not_loaded(&case.name).map(|place| tests.inside(place)).unwrap_or_default();
        if !inside.is_empty() {
            brought.extend(inside);
            continue;
        }
        known.insert(case.name.as_str());
        match (case.outcome, tests.passes(&case.name)) {
            (CaseOutcome::Passed, Some(true)) => changes.kept += 1,
            (CaseOutcome::Passed, Some(false)) => changes.broken += 1,
            (_, Some(true)) => changes.fixed += 1,
            (_, Some(false)) => changes.failing += 1,
            (_, None) => missing_names.push(case.name.clone()),
        }
    }
    let mut new_failures = 0_u32;
    for (name, passes) in tests.0.iter().filter(|(name, _)| !known.contains(name.as_str())) {
        match (is_open || brought.contains(name.as_str()), *passes) {
            (true, true) => changes.fixed += 1,
            (true, false) => changes.failing += 1,
            (false, passes) => {
                changes.added += 1;
                new_failures += u32::from(!passes);
            }
        }
    }
    changes.missing = u32::try_from(missing_names.len()).unwrap_or(u32::MAX);
    // A failure without a name is one all the same.
    let unnamed = now.counts.failed().saturating_sub(now.cases.counts().failed());
    let passed = changes.fixed.saturating_add(changes.kept);
    let others = [changes.broken, changes.failing, changes.missing, new_failures, unnamed];
    let total = others.into_iter().fold(passed, u32::saturating_add);
    let counts = TestCounts { passed, total };
    Comparison { counts, changes: Some(changes), missing: changes.missing, missing_names }
}

/// The tests that were run, and whether they passed.
struct Tests(BTreeMap<String, bool>);

impl Tests {
    fn of(cases: &Cases) -> Self {
        let run = cases.sorted().into_iter().filter(|case| case.outcome != CaseOutcome::Skipped);
        Self(run.map(|case| (case.name, case.outcome == CaseOutcome::Passed)).collect())
    }

    fn passes(&self, name: &str) -> Option<bool> {
        self.0.get(name).copied()
    }

    fn inside(&self, place: &str) -> Vec<&str> {
        // Those whose names begin so follow each other.
        let from = self.0.range::<str, _>((Bound::Included(place), Bound::Unbounded));
        let begin = from.map(|(name, _)| name.as_str()).take_while(|name| name.starts_with(place));
        begin.filter(|name| is_in(name, place)).collect()
    }
}

#[cfg(test)]
mod tests {
    use manyworlds_api::result::{GateOutcome, GateResult};

    use super::*;

    const PASSED: CaseOutcome = CaseOutcome::Passed;
    const FAILED: CaseOutcome = CaseOutcome::Failed;
    const SKIPPED: CaseOutcome = CaseOutcome::Skipped;

    fn base(cases: &[(&str, CaseOutcome)], total: u32) -> BaselineGate {
        let result = GateResult {
            name: "test".to_owned(),
            outcome: GateOutcome::Partial,
            points: 0,
            passed: Some(0),
            total: Some(total),
            tests: None,
            milliseconds: 0,
            reason: String::new(),
        };
        let mut cases: Vec<TestCase> =
            cases.iter().map(|(name, outcome)| TestCase { name: (*name).to_owned(), outcome: *outcome }).collect();
        cases.sort();
        BaselineGate { result, cases }
    }

    fn now(named: &[(&str, CaseOutcome)]) -> Counted {
        let mut cases = Cases::default();
        for (name, outcome) in named {
            cases.add(name, *outcome);
        }
        Counted { counts: cases.counts(), cases }
    }

    fn numbers(changes: TestChanges) -> [u32; 6] {
        let TestChanges { fixed, kept, broken, failing, missing, added } = changes;
        [fixed, kept, broken, failing, missing, added]
    }

    /// W3: other tests with the right count earn nothing.
    #[test]
    fn tests_earn_by_the_names_that_the_base_has() {
        let before = base(&[("a", PASSED), ("b", FAILED), ("s", SKIPPED)], 2);
        for (what, found, passed, total, changes) in [
            ("a fix", vec![("a", PASSED), ("b", PASSED), ("s", SKIPPED)], 2, 2, [1, 1, 0, 0, 0, 0]),
            ("no fix", vec![("a", PASSED), ("b", FAILED)], 1, 2, [0, 1, 0, 1, 0, 0]),
            ("a break", vec![("a", FAILED), ("b", PASSED)], 1, 2, [1, 0, 1, 0, 0, 0]),
            ("removed", vec![("a", PASSED)], 1, 2, [0, 1, 0, 0, 1, 0]),
            ("newly skipped", vec![("a", PASSED), ("b", SKIPPED)], 1, 2, [0, 1, 0, 0, 1, 0]),
            ("renamed", vec![("a", PASSED), ("c", PASSED)], 1, 2, [0, 1, 0, 0, 1, 1]),
            ("others", vec![("c", PASSED), ("d", PASSED)], 0, 2, [0, 0, 0, 0, 2, 2]),
            ("a new one", vec![("a", PASSED), ("b", PASSED), ("c", PASSED)], 2, 2, [1, 1, 0, 0, 0, 1]),
            ("a new failure", vec![("a", PASSED), ("b", PASSED), ("c", FAILED)], 2, 3, [1, 1, 0, 0, 0, 1]),
            ("no longer skipped", vec![("a", PASSED), ("b", PASSED), ("s", FAILED)], 2, 3, [1, 1, 0, 0, 0, 1]),
        ] {
            let found = compare(&now(&found), Some(&before));
            assert_eq!((found.counts.passed, found.counts.total), (passed, total), "{what}");
            assert_eq!(numbers(found.changes.unwrap()), changes, "{what}");
        }
        let Comparison { missing, missing_names, .. } = compare(&now(&[("a", PASSED)]), Some(&before));
        assert_eq!((missing, missing_names), (1, vec!["b".to_owned()]));
    }

    #[test]
    fn a_failure_without_a_name_is_one_all_the_same() {
        let mut found = now(&[("a", PASSED)]);
        found.counts.total += 2;
        let counts = compare(&found, Some(&base(&[("a", PASSED)], 1))).counts;
        assert_eq!((counts.passed, counts.total), (1, 3));
    }

    #[test]
    fn without_names_the_numbers_decide() {
        let three = Counted { counts: TestCounts { passed: 3, total: 3 }, ..Counted::default() };
        for (before, passed, total, missing) in [
            (None, 3, 3, 0),
            (Some(base(&[], 3)), 3, 3, 0),
            (Some(base(&[], 5)), 3, 5, 2),
            (Some(base(&[], 1)), 3, 3, 0),
        ] {
            let found = compare(&three, before.as_ref());
            assert_eq!((found.counts.passed, found.counts.total, found.missing), (passed, total, missing));
            assert_eq!(found.changes, None);
        }
    }

    #[test]
    fn a_file_that_could_not_be_loaded_stands_for_the_tests_that_it_brings() {
        let mut cases = Cases::default();
        cases.add_not_loaded("tests/a.py");
        let place = cases.sorted().remove(0).name;
        let (x, y, other) = ("tests/a.py::x", "tests/a.py::y", "tests/b.py::z");
        let some = base(&[(place.as_str(), FAILED), (other, PASSED)], 2);
        let alone = base(&[(place.as_str(), FAILED)], 1);
        for (what, before, found, passed, total, changes) in [
            ("loaded", &some, vec![(x, PASSED), (y, FAILED), (other, PASSED)], 2, 3, [1, 1, 0, 1, 0, 0]),
            ("still not", &some, vec![(place.as_str(), FAILED), (other, PASSED)], 1, 2, [0, 1, 0, 1, 0, 0]),
            ("removed", &some, vec![(other, PASSED)], 1, 2, [0, 1, 0, 0, 1, 0]),
            ("nothing else was known", &alone, vec![(x, PASSED), (other, PASSED)], 2, 2, [2, 0, 0, 0, 0, 0]),
            ("it alone was removed", &alone, vec![(other, PASSED)], 1, 2, [1, 0, 0, 0, 1, 0]),
        ] {
            let found = compare(&now(&found), Some(before));
            assert_eq!((found.counts.passed, found.counts.total), (passed, total), "{what}");
            assert_eq!(numbers(found.changes.unwrap()), changes, "{what}");
        }
    }
}
