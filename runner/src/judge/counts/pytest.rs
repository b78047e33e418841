//! pytest: a summary, and the tests by name with `-v` or `-rA`.

use manyworlds_api::baseline_document::CaseOutcome;

use super::cases::Cases;
use super::counted::{Contradiction, Counted};
use super::summaries::Summaries;
use super::test_counts::TestCounts;

/// What pytest says of a test. One that was expected to fail and passes is what a fix may bring; where that is forbidden, it is
/// among the failed ones.
const WORDS: [(&str, CaseOutcome); 6] = [
    ("PASSED", CaseOutcome::Passed),
    ("FAILED", CaseOutcome::Failed),
    ("ERROR", CaseOutcome::Failed),
    ("SKIPPED", CaseOutcome::Skipped),
    ("XFAIL", CaseOutcome::Passed),
    ("XPASS", CaseOutcome::Passed),
];

/// Reads what pytest prints.
#[derive(Debug, Default)]
pub(super) struct Pytest {
    runs: usize,
    summaries: Summaries,
    /// Whether the list of tests at the end of a run has begun.
    lists: bool,
    /// The tests as they came.
    came: Cases,
    /// The tests in the list at the end.
    listed: Cases,
    not_loaded: Vec<String>,
}

impl Pytest {
    /// Takes the next line.
    pub(super) fn line(&mut self, line: &str) {
        let line = line.trim();
        let title = line.trim_matches('=').trim();
        if line.starts_with('=') && title == "test session starts" {
            self.runs += 1;
        } else if line.starts_with('=') && title == "short test summary info" {
            self.lists = true;
        } else if let Some(counts) = summary(title) {
            self.summaries.add(counts);
            self.lists = false;
        } else if self.lists {
            self.list(line);
        } else if let Some((name, outcome)) = case(line) {
            self.came.add(name, outcome);
        }
    }

    fn list(&mut self, line: &str) {
        let Some((name, outcome)) = listed(line) else { return };
        if name.contains("::") {
            self.listed.add(name, outcome);
        } else if outcome == CaseOutcome::Failed && !name.contains(' ') {
            self.not_loaded.push(name.to_owned());
        }
    }

    /// Returns the tests; nothing where there is no summary.
    ///
    /// # Errors
    ///
    /// [`Contradiction`] where there are summaries that differ and no runs for them.
    pub(super) fn finish(self) -> Result<Option<Counted>, Contradiction> {
        let Self { runs, summaries, came, listed, not_loaded, .. } = self;
        let Some(counts) = summaries.settled("pytest", runs)? else { return Ok(None) };
        let [came, listed] = [came, listed].map(|mut cases| {
            for place in &not_loaded {
                cases.add_not_loaded(place);
            }
            cases
        });
        let cases = if listed.are_all_of(counts) { listed } else { came };
        Ok(Some(Counted { counts, cases }))
    }
}

/// `3 failed, 10 passed, 1 skipped in 0.5s`, `no tests ran in 0.01s`.
fn summary(title: &str) -> Option<TestCounts> {
    let (counted, time) = title.split_once(" in ")?;
    if !time.starts_with(|character: char| character.is_ascii_digit()) {
        return None;
    }
    let mut counts = TestCounts::default();
    if counted == "no tests ran" {
        return Some(counts);
    }
    let mut is_known = false;
    for part in counted.split(", ") {
        let (number, word) = part.split_once(' ')?;
        let number: u32 = number.parse().ok()?;
        is_known |= match word {
            "passed" | "xfailed" | "xpassed" => {
                counts.add(number, 0);
                true
            }
            "failed" | "error" | "errors" | "subtests failed" => {
                counts.add(0, number);
                true
            }
            "skipped" | "deselected" => true,
            _ => false,
        };
    }
    is_known.then_some(counts)
}

/// `FAILED tests/a.py::test_x - AssertionError`, `ERROR tests/a.py`.
fn listed(line: &str) -> Option<(&str, CaseOutcome)> {
    let (word, rest) = line.split_once(' ')?;
    Some((without_reason(rest), outcome(word)?))
}

fn without_reason(rest: &str) -> &str {
    match (rest.find('['), rest.find(" - ")) {
        // The parameters of a test may hold anything.
        (Some(bracket), Some(dash)) if bracket < dash => rest.find("] - ").map_or(rest, |place| &rest[..=place]),
        (_, Some(dash)) => &rest[..dash],
        (_, None) => rest,
    }
}

/// `tests/a.py::test_x PASSED [ 50%]`, `[gw0] [ 50%] PASSED tests/a.py::test_x`.
fn case(line: &str) -> Option<(&str, CaseOutcome)> {
    let (name, outcome) = match line.strip_prefix("[gw") {
        Some(rest) => {
            let (_, rest) = rest.split_once("] ")?;
            let rest = rest.strip_prefix('[').and_then(|rest| rest.split_once("] ")).map_or(rest, |(_, rest)| rest);
            let (word, name) = rest.split_once(' ')?;
            (name, outcome(word)?)
        }
        None => {
            WORDS.iter().find_map(|(word, outcome)| Some((before_word(without_progress(line), word)?, *outcome)))?
        }
    };
    let (file, _) = name.split_once("::")?;
    (!file.contains(' ')).then_some((name, outcome))
}

/// `tests/a.py::test_x SKIPPED (why)`.
fn before_word<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    if let Some(name) = line.strip_suffix(word) {
        return name.strip_suffix(' ');
    }
    line.strip_suffix(')')?.split_once(&format!(" {word} (")).map(|(name, _)| name)
}

fn without_progress(line: &str) -> &str {
    let parts = line.strip_suffix(']').and_then(|line| line.rsplit_once(" ["));
    let is_progress = |text: &str| text.chars().all(|character| matches!(character, '0'..='9' | ' ' | '%' | '/'));
    parts.filter(|(_, progress)| is_progress(progress)).map_or(line, |(before, _)| before.trim_end())
}

fn outcome(word: &str) -> Option<CaseOutcome> {
    WORDS.iter().find(|(name, _)| *name == word).map(|(_, outcome)| *outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str) -> Result<Option<Counted>, Contradiction> {
        let mut pytest = Pytest::default();
        output.lines().for_each(|line| pytest.line(line));
        pytest.finish()
    }

    fn names(output: &str) -> Vec<String> {
        let Counted { counts, cases } = read(output).unwrap().unwrap();
        assert!(cases.are_all_of(counts), "{output}: {counts:?} {cases:?}");
        cases.sorted().into_iter().map(|case| format!("{} {:?}", case.name, case.outcome)).collect()
    }

    #[test]
    fn summaries_are_read_in_every_form() {
        for (output, expected) in [
            ("===== 3 failed, 10 passed, 1 skipped, 2 warnings in 0.52s =====", Some((10, 13))),
            ("10 passed in 61.20s (0:01:01)", Some((10, 10))),
            ("9 passed, 1 xfailed, 2 xpassed in 0.5s", Some((12, 12))),
            ("==== 1 error in 0.1s ====", Some((0, 1))),
            ("no tests ran in 0.01s", Some((0, 0))),
            ("2 deselected in 0.01s", Some((0, 0))),
            ("12 files in 3 folders", None),
            ("5 passed in review", None),
            ("test result: ok. 1 passed; 0 failed; finished in 0.1s", None),
            ("everything is fine", None),
        ] {
            let counts = read(output).unwrap().map(|counted| (counted.counts.passed, counted.counts.total));
            assert_eq!(counts, expected, "{output}");
        }
    }

    /// W14: a summary that a test prints does not take the place of the true one.
    #[test]
    fn summaries_of_one_run_that_differ_are_no_count() {
        let start = "===== test session starts =====\n";
        assert!(read("1 failed, 3 passed in 1s\n4 passed in 1s").is_err());
        assert!(read(&format!("{start}4 passed in 1s\n1 failed, 3 passed in 1s")).is_err());
        let twice = read(&format!("{start}4 passed in 1s\n{start}1 failed, 3 passed in 1s")).unwrap().unwrap();
        assert_eq!(twice.counts, TestCounts { passed: 7, total: 8 });
    }

    #[test]
    fn tests_are_named_as_they_come_or_in_the_list() {
        let came = "tests/a.py::test_x PASSED   [ 33%]\ntests/a.py::test_y[a b] FAILED [66%]\n\
                    tests/a.py::test_z SKIPPED (no network) [100%]\n1 failed, 1 passed, 1 skipped in 0.1s";
        let three = ["tests/a.py::test_x Passed", "tests/a.py::test_y[a b] Failed", "tests/a.py::test_z Skipped"];
        assert_eq!(names(came), three);
        let spread =
            "[gw0] [ 50%] PASSED tests/a.py::test_x\n[gw1] FAILED tests/a.py::test_y\n1 failed, 1 passed in 1s";
        assert_eq!(names(spread), ["tests/a.py::test_x Passed", "tests/a.py::test_y Failed"]);
        let list = "..F.\n=== short test summary info ===\nPASSED tests/a.py::test_x\nXFAIL tests/a.py::test_w - later\n\
                    FAILED tests/a.py::test_y[a - b] - assert 1 == 2\nSKIPPED [1] tests/a.py:3: no network\n\
                    === 1 failed, 1 passed, 1 skipped, 1 xfailed in 0.1s ===";
        let four = ["tests/a.py::test_w Passed", "tests/a.py::test_x Passed", "tests/a.py::test_y[a - b] Failed"];
        assert_eq!(names(list), four);
        let unnamed = read("..\n2 passed in 0.1s").unwrap().unwrap();
        assert!(!unnamed.cases.are_all_of(unnamed.counts));
    }

    #[test]
    fn a_file_that_cannot_be_loaded_stands_for_its_tests() {
        let output = "=== short test summary info ===\nERROR tests/a.py - ImportError: no\n\
                      !!! Interrupted: 1 error during collection !!!\n=== 1 error in 0.1s ===";
        assert_eq!(names(output), ["tests/a.py could not be loaded Failed"]);
    }
}
