//! What runs tests of JavaScript: Jest, Vitest and `node --test`. A summary, and a marked line for each test.

use manyworlds_api::baseline_document::CaseOutcome;

use super::cases::Cases;
use super::counted::{Contradiction, Counted};
use super::summaries::Summaries;
use super::test_counts::TestCounts;

/// The marks before the name of a test.
const MARKS: [(char, CaseOutcome); 9] = [
    ('✓', CaseOutcome::Passed),
    ('✔', CaseOutcome::Passed),
    ('√', CaseOutcome::Passed),
    ('✕', CaseOutcome::Failed),
    ('✖', CaseOutcome::Failed),
    ('×', CaseOutcome::Failed),
    ('○', CaseOutcome::Skipped),
    ('↓', CaseOutcome::Skipped),
    ('﹣', CaseOutcome::Skipped),
];

/// Reads what these programs print.
#[derive(Debug, Default)]
pub(super) struct JavaScript {
    jest: Program,
    vitest: Program,
    node: Program,
    /// The numbers of `node --test`, which come on a line each.
    passed: Option<u32>,
    /// The file that Jest has named.
    file: String,
    /// The suites of `node --test` that the next line may be in, with their indentation.
    suites: Vec<(usize, String)>,
    /// Whether the tests that failed are told again.
    repeats: bool,
    cases: Cases,
}

/// One of the programs.
#[derive(Debug, Default)]
struct Program {
    runs: usize,
    summaries: Summaries,
}

impl JavaScript {
    /// Takes the next line.
    pub(super) fn line(&mut self, line: &str) {
        let text = line.trim();
        let indentation = line.len() - line.trim_start().len();
        if let Some(counts) = jest(text) {
            self.jest.summaries.add(counts);
        } else if text.starts_with("Ran all test suites") {
            self.jest.runs += 1;
        } else if let Some(counts) = vitest(text) {
            self.vitest.summaries.add(counts);
        } else if text.starts_with("RUN  v") {
            self.vitest.runs += 1;
        } else if let Some(rest) = text.strip_prefix("ℹ ") {
            self.node(rest);
        } else if let Some(file) = text.strip_prefix("PASS ").or_else(|| text.strip_prefix("FAIL ")) {
            file.split(' ').next().unwrap_or_default().clone_into(&mut self.file);
        } else if let Some(suite) = text.strip_prefix("▶ ") {
            self.leave(indentation);
            self.suites.push((indentation, without_time(suite).to_owned()));
        } else if text == "✖ failing tests:" {
            self.repeats = true;
        } else if let Some((name, outcome)) = marked(text).filter(|_| !self.repeats) {
            self.case(indentation, name, outcome);
        }
    }

    fn case(&mut self, indentation: usize, name: &str, outcome: CaseOutcome) {
        // The end of a suite has a mark as well.
        if self.leave(indentation).is_some_and(|suite| suite == name) {
            return;
        }
        let suites = self.suites.iter().map(|(_, suite)| suite.as_str());
        let parts: Vec<&str> =
            std::iter::once(self.file.as_str()).chain(suites).filter(|part| !part.is_empty()).collect();
        self.cases.add(&parts.into_iter().chain([name]).collect::<Vec<_>>().join(" > "), outcome);
    }

    /// Leaves the suites that a line with this indentation is not in, and returns the outermost of them.
    fn leave(&mut self, indentation: usize) -> Option<String> {
        let place = self.suites.iter().position(|(outer, _)| *outer >= indentation)?;
        self.suites.drain(place..).next().map(|(_, suite)| suite)
    }

    /// `ℹ pass 3`, then `ℹ fail 1`.
    fn node(&mut self, text: &str) {
        match text.split_once(' ').and_then(|(word, number)| Some((word, number.parse::<u32>().ok()?))) {
            Some(("pass", number)) => self.passed = Some(number),
            Some(("fail", failed)) => {
                if let Some(passed) = self.passed.take() {
                    self.node.summaries.add(TestCounts::of(passed, failed));
                }
            }
            _ => {}
        }
    }

    /// Returns the tests; nothing where there is no summary.
    ///
    /// # Errors
    ///
    /// [`Contradiction`] where a program has summaries that differ and no runs for them.
    pub(super) fn finish(self) -> Result<Option<Counted>, Contradiction> {
        let mut sum: Option<TestCounts> = None;
        for (name, program) in [("Jest", self.jest), ("Vitest", self.vitest), ("node --test", self.node)] {
            if let Some(counts) = program.summaries.settled(name, program.runs)? {
                sum.get_or_insert_default().add(counts.passed, counts.failed());
            }
        }
        Ok(sum.map(|counts| Counted { counts, cases: self.cases }))
    }
}

/// `Tests:       1 failed, 2 skipped, 3 passed, 6 total`.
fn jest(text: &str) -> Option<TestCounts> {
    let (parts, total) = text.strip_prefix("Tests: ")?.trim_start().rsplit_once(' ')?;
    (total == "total").then(|| summed(parts.split(", ")))
}

/// `Tests  1 failed | 3 passed (4)`.
fn vitest(text: &str) -> Option<TestCounts> {
    let (parts, total) = text.strip_prefix("Tests  ")?.trim_start().rsplit_once(" (")?;
    total.strip_suffix(')')?.parse::<u32>().ok()?;
    Some(summed(parts.split(" | ")))
}

fn summed<'a>(parts: impl Iterator<Item = &'a str>) -> TestCounts {
    let mut counts = TestCounts::default();
    for (number, word) in parts.filter_map(|part| part.split_once(' ')) {
        match (number.parse::<u32>(), word) {
            (Ok(number), "passed") => counts.add(number, 0),
            (Ok(number), "failed") => counts.add(0, number),
            _ => {}
        }
    }
    counts
}

/// `✓ adds (2 ms)`, `✔ adds (0.5ms)`, `✓ tests/a.test.ts > adds 2ms`. A file of Vitest has the number of its tests behind it.
fn marked(text: &str) -> Option<(&str, CaseOutcome)> {
    let (_, outcome) = MARKS.iter().find(|(mark, _)| text.starts_with(*mark))?;
    let name = without_time(text.split_once(' ')?.1.trim().trim_end_matches(" # SKIP"));
    let name = name.strip_prefix("skipped ").filter(|_| *outcome == CaseOutcome::Skipped).unwrap_or(name);
    let is_file = name.ends_with(" test)") || name.ends_with(" tests)") || name.contains(" tests | ");
    (!is_file).then_some((name, *outcome))
}

/// Returns a name without the time that its test took.
fn without_time(name: &str) -> &str {
    let Some((before, time)) =
        name.strip_suffix(')').map_or_else(|| name.rsplit_once(' '), |name| name.rsplit_once(" ("))
    else {
        return name;
    };
    let number = time.strip_suffix("ms").or_else(|| time.strip_suffix('s')).unwrap_or_default().trim_end();
    if number.parse::<f64>().is_ok() { before.trim_end() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str) -> Option<(u32, u32, Vec<String>)> {
        let mut reader = JavaScript::default();
        output.lines().for_each(|line| reader.line(line));
        let Counted { counts, cases } = reader.finish().unwrap()?;
        assert!(cases.are_all_of(counts), "{output}: {counts:?} {cases:?}");
        let names = cases.sorted().into_iter().map(|case| format!("{} {:?}", case.name, case.outcome)).collect();
        Some((counts.passed, counts.total, names))
    }

    #[test]
    fn tests_are_counted_and_named() {
        for (output, passed, total, names) in [
            (
                "PASS tests/a.test.js (5 s)\n  sums\n    ✓ adds (2 ms)\n    ✕ takes\n    ○ skipped later\n\n\
                 Tests:       1 failed, 1 skipped, 1 passed, 3 total\nTime: 1 s",
                1,
                2,
                vec![
                    "tests/a.test.js > adds Passed",
                    "tests/a.test.js > later Skipped",
                    "tests/a.test.js > takes Failed",
                ],
            ),
            (
                " RUN  v1.6.0 /checkout\n ✓ a.test.ts > sums > adds 2ms\n × a.test.ts > sums > takes\n ✓ b.test.ts (2 tests) 5ms\n\
                 \x20     Tests  1 failed | 1 passed (2)",
                1,
                2,
                vec!["a.test.ts > sums > adds Passed", "a.test.ts > sums > takes Failed"],
            ),
            (
                "▶ sums\n  ✔ adds (0.5ms)\n  ✖ takes (1.2ms)\n✖ sums (3ms)\n✔ alone (0.1ms)\nℹ tests 3\nℹ suites 1\nℹ pass 2\nℹ fail 1\n\n\
                 ✖ failing tests:\n\ntest at a.test.js:1:1\n✖ takes (1.2ms)",
                2,
                3,
                vec!["alone Passed", "sums > adds Passed", "sums > takes Failed"],
            ),
        ] {
            let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
            assert_eq!(read(output), Some((passed, total, names)));
        }
        assert_eq!(read("✓ built in 3s\nTests: 5, Assertions: 7"), None);
    }

    #[test]
    fn summaries_that_differ_are_no_count() {
        let mut reader = JavaScript::default();
        let output = "Tests:       1 failed, 1 passed, 2 total\nTests:       2 passed, 2 total";
        output.lines().for_each(|line| reader.line(line));
        assert!(reader.finish().is_err());
    }

    #[test]
    fn only_a_time_is_taken_from_a_name() {
        for (name, plain) in [
            ("adds (2 ms)", "adds"),
            ("adds (1.5s)", "adds"),
            ("adds 12ms", "adds"),
            ("adds (twice)", "adds (twice)"),
            ("adds 5", "adds 5"),
            ("adds", "adds"),
        ] {
            assert_eq!(without_time(name), plain);
        }
    }
}
