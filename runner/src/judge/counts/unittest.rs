//! Python's `unittest`: a summary, and the tests by name with `-v`.

use manyworlds_api::baseline_document::CaseOutcome;

use super::cases::Cases;
use super::counted::{Contradiction, Counted};
use super::summaries::Summaries;
use super::test_counts::TestCounts;

/// The class whose tests stand for modules that could not be loaded.
const NOT_LOADED: &str = "unittest.loader._FailedTest";

/// Reads what `unittest` prints.
#[derive(Debug, Default)]
pub(super) struct Unittest {
    /// The number of tests of a run whose verdict is still to come.
    ran: Option<u32>,
    summaries: Summaries,
    /// The test that runs.
    begun: Option<Named>,
    cases: Cases,
}

#[derive(Debug)]
enum Named {
    Test(String),
    Module(String),
}

impl Unittest {
    /// Takes the next line.
    pub(super) fn line(&mut self, line: &str) {
        let line = line.trim();
        if let Some(ran) = ran(line) {
            self.ran = Some(ran);
        } else if let Some(counts) = self.ran.and_then(|ran| verdict(line, ran)) {
            self.summaries.add(counts);
            self.ran = None;
        } else if let Some(said) = self.said(line)
            && let Some(outcome) = outcome(said)
        {
            match self.begun.take() {
                Some(Named::Test(name)) => self.cases.add(&name, outcome),
                Some(Named::Module(name)) => self.cases.add_not_loaded(&name),
                None => {}
            }
        }
    }

    /// Returns what is said of the test that runs. A name comes with it, or on a line before it.
    fn said<'a>(&mut self, line: &'a str) -> Option<&'a str> {
        let (before, said) = line.split_once(" ... ").map_or((line, None), |(before, said)| (before, Some(said)));
        if let Some(name) = name(before) {
            self.begun = Some(name);
            return said;
        }
        said.or(Some(line)).filter(|_| self.begun.is_some())
    }

    /// Returns the tests; nothing where there is no summary.
    ///
    /// # Errors
    ///
    /// [`Contradiction`] where there are summaries that differ.
    pub(super) fn finish(self) -> Result<Option<Counted>, Contradiction> {
        let counts = self.summaries.settled("unittest", 0)?;
        Ok(counts.map(|counts| Counted { counts, cases: self.cases }))
    }
}

/// `Ran 5 tests in 0.001s`.
fn ran(line: &str) -> Option<u32> {
    let (number, rest) = line.strip_prefix("Ran ")?.split_once(' ')?;
    (rest.starts_with("test in ") || rest.starts_with("tests in ")).then(|| number.parse().ok())?
}

/// `OK (skipped=1)`, `FAILED (failures=1, errors=2)`, `NO TESTS RAN`.
fn verdict(line: &str, ran: u32) -> Option<TestCounts> {
    let (word, rest) = line.split_once(" (").map_or((line, ""), |(word, rest)| (word, rest.trim_end_matches(')')));
    if !matches!(word, "OK" | "FAILED" | "NO TESTS RAN") {
        return None;
    }
    let number = |name: &str| {
        let part = rest.split(", ").filter_map(|part| part.split_once('=')).find(|(part, _)| *part == name);
        part.and_then(|(_, number)| number.parse::<u32>().ok()).unwrap_or(0)
    };
    let failed = ["failures", "errors", "unexpected successes"].map(number).into_iter().fold(0, u32::saturating_add);
    let passed = ran.saturating_sub(failed).saturating_sub(number("skipped"));
    Some(TestCounts::of(passed, failed))
}

/// `test_x (module.Class)`, and `test_x (module.Class.test_x)` of newer ones.
fn name(line: &str) -> Option<Named> {
    let (test, rest) = line.split_once(" (")?;
    let class = rest.strip_suffix(')')?;
    if test.contains(' ') || class.is_empty() || class.contains(' ') {
        return None;
    }
    let class = class.strip_suffix(test).and_then(|class| class.strip_suffix('.')).unwrap_or(class);
    Some(match class {
        NOT_LOADED => Named::Module(test.to_owned()),
        class => Named::Test(format!("{class}.{test}")),
    })
}

fn outcome(said: &str) -> Option<CaseOutcome> {
    match said {
        "ok" | "expected failure" => Some(CaseOutcome::Passed),
        "FAIL" | "ERROR" | "unexpected success" => Some(CaseOutcome::Failed),
        said => said.starts_with("skipped ").then_some(CaseOutcome::Skipped),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str) -> Option<(u32, u32, bool, Vec<String>)> {
        let mut unittest = Unittest::default();
        output.lines().for_each(|line| unittest.line(line));
        let Counted { counts, cases } = unittest.finish().unwrap()?;
        let names = cases.sorted().into_iter().map(|case| format!("{} {:?}", case.name, case.outcome)).collect();
        Some((counts.passed, counts.total, cases.are_all_of(counts), names))
    }

    #[test]
    fn tests_are_counted_and_named() {
        let output = "test_a (m.Class) ... ok\ntest_b (m.Class.test_b)\nWhat it is for. ... FAIL\n\
                      test_c (m.Class.test_c) ... skipped 'why'\ntest_d (m.Class.test_d) ... printed\nok\n\
                      tests.test_e (unittest.loader._FailedTest.tests.test_e) ... ERROR\n\n\
                      Ran 5 tests in 0.001s\n\nFAILED (failures=1, errors=1, skipped=1)";
        let names = [
            "m.Class.test_a Passed",
            "m.Class.test_b Failed",
            "m.Class.test_c Skipped",
            "m.Class.test_d Passed",
            "tests.test_e could not be loaded Failed",
        ];
        assert_eq!(read(output), Some((2, 4, true, names.map(str::to_owned).to_vec())));
    }

    #[test]
    fn a_summary_alone_is_a_number_without_names() {
        assert_eq!(read("..s\nRan 3 tests in 0.1s\n\nOK (skipped=1)"), Some((2, 2, false, Vec::new())));
        assert_eq!(read("Ran 0 tests in 0.0s\n\nNO TESTS RAN"), Some((0, 0, true, Vec::new())));
        assert_eq!(read("Ran 3 tests in 0.1s"), None, "the verdict is missing");
        assert_eq!(read("OK"), None);
    }

    #[test]
    fn summaries_that_differ_are_no_count() {
        let mut unittest = Unittest::default();
        "Ran 3 tests in 0.1s\nFAILED (failures=1)\nRan 3 tests in 0.1s\nOK"
            .lines()
            .for_each(|line| unittest.line(line));
        assert!(unittest.finish().is_err());
    }
}
