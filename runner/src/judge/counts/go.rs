//! `go test -v` and `go test -json`. Without them it names the tests alone that fail, and so counts none.

use std::collections::{BTreeMap, HashMap};

use manyworlds_api::baseline_document::CaseOutcome;
use serde::Deserialize;

use super::cases::Cases;
use super::counted::Counted;

/// What `go test` says at the end of a test.
const ENDS: [(&str, CaseOutcome); 3] =
    [("--- PASS: ", CaseOutcome::Passed), ("--- FAIL: ", CaseOutcome::Failed), ("--- SKIP: ", CaseOutcome::Skipped)];

/// Reads what `go test` prints.
#[derive(Debug, Default)]
pub(super) struct Go {
    /// The package whose tests come as plain lines; its name comes after them.
    plain: Package,
    /// The packages whose tests come as JSON.
    packages: BTreeMap<String, Package>,
    cases: Cases,
}

/// The tests of a package that has not come to its end.
#[derive(Debug, Default)]
struct Package {
    /// The tests with their outcome, where it is known.
    tests: Vec<(String, Option<CaseOutcome>)>,
    /// The places of those that run.
    running: HashMap<String, usize>,
}

impl Package {
    fn begin(&mut self, test: &str) {
        self.running.insert(test.to_owned(), self.tests.len());
        self.tests.push((test.to_owned(), None));
    }

    fn end(&mut self, test: &str, outcome: CaseOutcome) {
        if let Some((_, known)) = self.running.remove(test).and_then(|place| self.tests.get_mut(place)) {
            *known = Some(outcome);
        }
    }

    /// Returns the tests. Those that have not ended have the outcome of the package.
    fn cases(self, outcome: CaseOutcome) -> Cases {
        let mut cases = Cases::default();
        for (name, known) in self.tests {
            cases.add(&name, known.unwrap_or(outcome));
        }
        cases
    }
}

/// A line of `go test -json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    action: String,
    #[serde(default)]
    package: String,
    test: Option<String>,
}

impl Go {
    /// Takes the next line.
    pub(super) fn line(&mut self, line: &str) {
        if line.starts_with('{') {
            if let Ok(event) = serde_json::from_str::<Event>(line) {
                self.event(event);
            }
        } else if let Some(test) = line.trim_start().strip_prefix("=== RUN ") {
            self.plain.begin(test.trim());
        } else if let Some((test, outcome)) = ended(line) {
            self.plain.end(test, outcome);
        } else if let Some((package, outcome, how)) = end_of_package(line) {
            let tests = std::mem::take(&mut self.plain);
            self.cases.add_part(package, tests.cases(outcome));
            if outcome == CaseOutcome::Failed && how.starts_with('[') {
                self.cases.add_not_loaded(package);
            }
        }
    }

    fn event(&mut self, event: Event) {
        let Event { action, package, test } = event;
        let outcome = match action.as_str() {
            "pass" => Some(CaseOutcome::Passed),
            "fail" => Some(CaseOutcome::Failed),
            "skip" => Some(CaseOutcome::Skipped),
            _ => None,
        };
        match (test, outcome) {
            (Some(test), Some(outcome)) => self.packages.entry(package).or_default().end(&test, outcome),
            (Some(test), None) if action == "run" => self.packages.entry(package).or_default().begin(&test),
            (None, Some(outcome)) => {
                let tests = self.packages.remove(&package).unwrap_or_default();
                if tests.tests.is_empty() && outcome == CaseOutcome::Failed {
                    self.cases.add_not_loaded(&package);
                }
                self.cases.add_part(&package, tests.cases(outcome));
            }
            _ => {}
        }
    }

    /// Returns the tests; nothing where none is named.
    pub(super) fn finish(self) -> Option<Counted> {
        let Self { plain, packages, mut cases } = self;
        for (package, tests) in packages.into_iter().chain([(String::new(), plain)]) {
            cases.add_part(&package, tests.cases(CaseOutcome::Failed));
        }
        (!cases.is_empty()).then(|| cases.into())
    }
}

/// `    --- PASS: TestX/sub (0.00s)`, also behind what the test has printed without the end of a line.
fn ended(line: &str) -> Option<(&str, CaseOutcome)> {
    ENDS.iter().find_map(|(word, outcome)| {
        let (_, rest) = line.split_once(*word)?;
        Some((rest.split(" (").next()?.trim(), *outcome))
    })
}

/// `ok      example.com/sum 0.003s`, `FAIL    example.com/sum [build failed]`.
fn end_of_package(line: &str) -> Option<(&str, CaseOutcome, &str)> {
    let (outcome, rest) = match line.strip_prefix("ok  ") {
        Some(rest) => (CaseOutcome::Passed, rest),
        None => (CaseOutcome::Failed, line.strip_prefix("FAIL  ")?),
    };
    let (package, how) = rest.trim().split_once(' ')?;
    let how = how.trim();
    let is_time = how.starts_with(|character: char| character.is_ascii_digit());
    (is_time || how.starts_with('[') || how.starts_with("(cached)")).then_some((package, outcome, how))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str) -> Option<Vec<String>> {
        let mut go = Go::default();
        output.lines().for_each(|line| go.line(line));
        let Counted { counts, cases } = go.finish()?;
        assert!(cases.are_all_of(counts));
        Some(cases.sorted().into_iter().map(|case| format!("{} {:?}", case.name, case.outcome)).collect())
    }

    #[test]
    fn tests_are_named_with_their_package() {
        let output = "=== RUN   TestA\n=== RUN   TestA/one\n--- PASS: TestA (0.00s)\n    --- PASS: TestA/one (0.00s)\nPASS\n\
                      ok      example.com/a    0.003s\n=== RUN   TestA\nprinted--- FAIL: TestA (0.00s)\n\
                      === RUN   TestB\npanic: no\nFAIL    example.com/b    0.003s\nFAIL    example.com/c [build failed]\nFAIL";
        let names = [
            "example.com/a::TestA Passed",
            "example.com/a::TestA/one Passed",
            "example.com/b::TestA Failed",
            "example.com/b::TestB Failed",
            "example.com/c could not be loaded Failed",
        ];
        assert_eq!(read(output), Some(names.map(str::to_owned).to_vec()));
    }

    #[test]
    fn json_is_read_whatever_the_packages_mix() {
        let event = |action: &str, package: &str, test: &str| {
            let test = if test.is_empty() { String::new() } else { format!(r#","Test":"{test}""#) };
            format!(r#"{{"Action":"{action}","Package":"{package}"{test}}}"#)
        };
        let output = [
            event("run", "a", "TestA"),
            event("run", "b", "TestA"),
            r#"{"Action":"output","Package":"a","Test":"TestA","Output":"--- PASS: TestA"}"#.to_owned(),
            event("skip", "a", "TestA"),
            event("pass", "a", ""),
            event("fail", "c", ""),
            event("fail", "b", "TestA"),
            event("fail", "b", ""),
        ];
        let names = ["a::TestA Skipped", "b::TestA Failed", "c could not be loaded Failed"];
        assert_eq!(read(&output.join("\n")), Some(names.map(str::to_owned).to_vec()));
    }

    #[test]
    fn what_names_no_test_that_passes_counts_none() {
        assert_eq!(read("ok      example.com/a    0.003s"), None);
        assert_eq!(read("--- FAIL: TestA (0.00s)\nFAIL    example.com/a    0.003s"), None);
    }
}
