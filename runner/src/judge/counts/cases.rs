//! Test cases by name, as they are told.

use manyworlds_api::baseline_document::{CaseOutcome, LONGEST_NAME, MOST_CASES, TestCase};
use manyworlds_api::conditions::shortened;

use super::test_counts::TestCounts;
use crate::text::one_line;

/// The end of the name of a case that stands for a whole file or module: it could not be loaded, so its own cases are unknown.
const NOT_LOADED: &str = " could not be loaded";
/// The bytes of a name that are left for the number of a second case of that name.
const NUMBER_BYTES: usize = 12;
/// The fewest hexadecimal digits of an address in memory. Shorter numbers are parameters that somebody chose.
const ADDRESS_DIGITS: usize = 8;

/// The cases that a test program names, in the sequence in which it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::judge) struct Cases {
    named: Vec<TestCase>,
    /// The number of cases that have no name here.
    unnamed: usize,
    counts: TestCounts,
}

impl Cases {
    /// Adds a case.
    pub(in crate::judge) fn add(&mut self, name: &str, outcome: CaseOutcome) {
        match outcome {
            CaseOutcome::Passed => self.counts.add(1, 0),
            CaseOutcome::Failed => self.counts.add(0, 1),
            CaseOutcome::Skipped => {}
        }
        let name = stable(name);
        if name.is_empty() || self.named.len() >= MOST_CASES {
            self.unnamed = self.unnamed.saturating_add(1);
        } else {
            self.named.push(TestCase { name, outcome });
        }
    }

    /// Adds a file or module that could not be loaded.
    pub(in crate::judge) fn add_not_loaded(&mut self, place: &str) {
        self.add(&format!("{place}{NOT_LOADED}"), CaseOutcome::Failed);
    }

    /// Adds the cases of a part, with the name of that part before theirs.
    pub(super) fn add_part(&mut self, part: &str, cases: Self) {
        let Self { named, unnamed, counts } = cases;
        let before = self.counts;
        for TestCase { name, outcome } in named {
            let name = if part.is_empty() { name } else { format!("{part}::{name}") };
            self.add(&name, outcome);
        }
        self.unnamed = self.unnamed.saturating_add(unnamed);
        self.counts = before;
        self.counts.add(counts.passed, counts.failed());
    }

    /// Returns whether there is none, with a name or without.
    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty() && self.unnamed == 0
    }

    /// Returns the numbers of those that were run.
    pub(in crate::judge) const fn counts(&self) -> TestCounts {
        self.counts
    }

    /// Returns whether every test that was counted has a name here.
    pub(in crate::judge) fn are_all_of(&self, counts: TestCounts) -> bool {
        self.unnamed == 0 && self.counts == counts
    }

    /// Returns the cases, sorted by name, each name once.
    ///
    /// - **Guarantees:** of several cases of one name the first is one that failed, if any did, so that none hides behind another.
    pub(in crate::judge) fn sorted(&self) -> Vec<TestCase> {
        let mut cases = self.named.clone();
        cases.sort_by(|one, other| (&one.name, rank(one.outcome)).cmp(&(&other.name, rank(other.outcome))));
        let (mut last, mut number) = (String::new(), 0_usize);
        for case in &mut cases {
            if case.name == last {
                number += 1;
                case.name = format!("{last} #{number}");
            } else {
                last.clone_from(&case.name);
                number = 1;
            }
        }
        cases.sort();
        cases
    }
}

const fn rank(outcome: CaseOutcome) -> u8 {
    match outcome {
        CaseOutcome::Failed => 0,
        CaseOutcome::Skipped => 1,
        CaseOutcome::Passed => 2,
    }
}

/// Returns the file or module that a case stands for, where it stands for one that could not be loaded.
pub(in crate::judge) fn not_loaded(case: &str) -> Option<&str> {
    case.strip_suffix(NOT_LOADED)
}

/// Returns whether a case lies in a file or module.
pub(in crate::judge) fn is_in(case: &str, place: &str) -> bool {
    let rest = case.strip_prefix(place);
    not_loaded(case).is_none()
        && rest.is_some_and(|rest| ["::", ".", "/"].iter().any(|border| rest.starts_with(border)))
}

/// Returns a name that is the same each time: on one line, within its bound, without addresses in memory.
fn stable(name: &str) -> String {
    shortened(without_addresses(one_line(name).trim()).as_str(), LONGEST_NAME - NUMBER_BYTES)
}

fn without_addresses(name: &str) -> String {
    let mut left = name;
    let mut kept = String::with_capacity(name.len());
    while let Some(place) = left.find("0x") {
        let (before, address) = left.split_at(place + 2);
        let digits = address.bytes().take_while(u8::is_ascii_hexdigit).count();
        kept.push_str(before);
        let cut = if digits >= ADDRESS_DIGITS { digits } else { 0 };
        if cut > 0 {
            kept.push_str("...");
        }
        left = &address[cut..];
    }
    kept + left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_each_time() {
        for (name, stable_name) in [
            ("tests/a.py::t[<object at 0x7f12ab34cd50>]", "tests/a.py::t[<object at 0x...>]"),
            ("t[0x7f12ab34cd50-0x10]", "t[0x...-0x10]"),
            ("t[0x]", "t[0x]"),
            ("  a\n\u{1b}[31mb ", "a b"),
        ] {
            assert_eq!(stable(name), stable_name);
        }
        assert!(stable(&"x".repeat(10_000)).len() <= LONGEST_NAME - NUMBER_BYTES);
    }

    /// W14: a success that is printed beside a failure of the same name does not take its place.
    #[test]
    fn cases_of_one_name_are_told_apart_and_a_failure_is_the_first() {
        let mut cases = Cases::default();
        for (name, outcome) in [
            ("b", CaseOutcome::Passed),
            ("a", CaseOutcome::Passed),
            ("b", CaseOutcome::Failed),
            ("", CaseOutcome::Passed),
        ] {
            cases.add(name, outcome);
        }
        let found: Vec<_> = cases.sorted().into_iter().map(|case| (case.name, case.outcome)).collect();
        let expected = [("a", CaseOutcome::Passed), ("b", CaseOutcome::Failed), ("b #2", CaseOutcome::Passed)];
        assert_eq!(found, expected.map(|(name, outcome)| (name.to_owned(), outcome)));
        assert_eq!(cases.counts(), TestCounts { passed: 3, total: 4 });
        assert!(!cases.are_all_of(cases.counts()), "one has no name");
    }

    #[test]
    fn parts_keep_their_cases_apart_and_numbers_stay() {
        let mut part = Cases::default();
        part.add("a", CaseOutcome::Passed);
        part.add_not_loaded("b");
        let mut all = Cases::default();
        all.add_part("one", part.clone());
        all.add_part("", part);
        let names: Vec<_> = all.sorted().into_iter().map(|case| case.name).collect();
        assert_eq!(names, ["a", "b could not be loaded", "one::a", "one::b could not be loaded"]);
        assert!(all.are_all_of(TestCounts { passed: 2, total: 4 }));
    }

    #[test]
    fn what_stands_for_a_file_is_known_with_what_lies_in_it() {
        assert_eq!(not_loaded("tests/a.py could not be loaded"), Some("tests/a.py"));
        assert_eq!(not_loaded("tests/a.py::x"), None);
        for (case, place, inside) in [
            ("tests/a.py::x", "tests/a.py", true),
            ("tests.a.Class::x", "tests.a", true),
            ("tests/ab.py::x", "tests/a", false),
            ("tests.a.b could not be loaded", "tests.a", false),
        ] {
            assert_eq!(is_in(case, place), inside, "{case}");
        }
    }

    #[test]
    fn more_cases_than_are_kept_are_still_counted() {
        let mut cases = Cases::default();
        for number in 0..MOST_CASES + 2 {
            cases.add(&number.to_string(), CaseOutcome::Failed);
        }
        assert_eq!(cases.sorted().len(), MOST_CASES);
        assert_eq!(usize::try_from(cases.counts().failed()).unwrap(), MOST_CASES + 2);
    }
}
