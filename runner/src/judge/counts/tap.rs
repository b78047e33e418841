//! TAP: a plan, and a line for each test. Tests within tests are indented, and count by the one that they are in.

use manyworlds_api::baseline_document::CaseOutcome;

use super::cases::Cases;
use super::counted::{Contradiction, Counted};

/// Reads TAP.
#[derive(Debug, Default)]
pub(super) struct Tap {
    /// The number of tests in all plans.
    planned: Option<u32>,
    /// The number of tests that have come.
    come: u32,
    cases: Cases,
}

impl Tap {
    /// Takes the next line.
    pub(super) fn line(&mut self, line: &str) {
        let plan = line.strip_prefix("1..").and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
        // `prove -v` says so of a file whose tests have all come.
        if line == "ok" && self.planned == Some(self.come) {
            return;
        }
        if let Some(plan) = plan {
            self.planned = Some(self.planned.unwrap_or(0).saturating_add(plan));
        } else if let Some((name, outcome)) = test(line) {
            self.come = self.come.saturating_add(1);
            self.cases.add(name, outcome);
        }
    }

    /// Returns the tests; nothing where there is no plan. Tests of a plan that never came have failed.
    ///
    /// # Errors
    ///
    /// [`Contradiction`] where more tests came than were planned.
    pub(super) fn finish(self) -> Result<Option<Counted>, Contradiction> {
        let Self { planned, come, cases } = self;
        let Some(planned) = planned else { return Ok(None) };
        let Some(left_out) = planned.checked_sub(come) else {
            return Err(Contradiction(format!("its TAP plans {planned} tests and has {come}")));
        };
        let mut counted = Counted::from(cases);
        counted.counts.add(0, left_out);
        Ok(Some(counted))
    }
}

/// `ok 1 - name`, `not ok 2`, `ok 3 # SKIP why`.
fn test(line: &str) -> Option<(&str, CaseOutcome)> {
    let (outcome, rest) = match line.strip_prefix("not ok") {
        Some(rest) => (CaseOutcome::Failed, rest),
        None => (CaseOutcome::Passed, line.strip_prefix("ok")?),
    };
    // `go test` begins the line of a package so.
    if (!rest.is_empty() && !rest.starts_with(' ')) || rest.starts_with("   ") {
        return None;
    }
    let directive = rest.split_once('#').map(|(_, directive)| directive.trim().to_lowercase()).unwrap_or_default();
    let is_skipped = directive.starts_with("skip") || directive.starts_with("todo");
    let rest = rest.trim_start().trim_start_matches(|character: char| character.is_ascii_digit()).trim_start();
    let name = rest.strip_prefix("- ").unwrap_or(rest);
    let name = if name.starts_with('#') { "" } else { name.split(" # ").next().unwrap_or_default() };
    Some((name.trim(), if is_skipped { CaseOutcome::Skipped } else { outcome }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str) -> Result<Option<Counted>, Contradiction> {
        let mut tap = Tap::default();
        output.lines().for_each(|line| tap.line(line));
        tap.finish()
    }

    #[test]
    fn tests_are_held_against_their_plan() {
        for (output, expected) in [
            ("1..3\nok 1 - a\nnot ok 2 - b\nok 3", Some((2, 3))),
            ("1..4\nok 1\nok 2 # SKIP no network\nok 3", Some((2, 3))),
            ("1..2\nok 1 - a\nnot ok 2 - b # TODO later", Some((1, 1))),
            ("ok 1\nok 2\n1..2", Some((2, 2))),
            ("1..1\n    1..2\n    ok 1 - within\n    not ok 2 - within\nok 1 - a", Some((1, 1))),
            ("1..1\nok 1 - a\n1..2\nok 1 - b", Some((2, 3))),
            ("1..2\nok 1 - a\nok 2 - b\nok", Some((2, 2))),
            ("1..1\nok 1 - a\nok      example.com/sum    0.1s", Some((1, 1))),
            ("1..0 # SKIP all", Some((0, 0))),
            ("ok 1 - a", None),
            ("okay 1..2", None),
        ] {
            let counts = read(output).unwrap().map(|counted| (counted.counts.passed, counted.counts.total));
            assert_eq!(counts, expected, "{output}");
        }
        assert!(read("1..1\nok 1\nok 2").is_err(), "more came than were planned");
    }

    #[test]
    fn tests_have_the_names_that_are_told() {
        let counted =
            read("1..3\nok 1 - adds # time=3ms\nnot ok 2 takes away\nok 3 - slow # SKIP why").unwrap().unwrap();
        let cases: Vec<_> = counted.cases.sorted().into_iter().map(|case| (case.name, case.outcome)).collect();
        let expected =
            [("adds", CaseOutcome::Passed), ("slow", CaseOutcome::Skipped), ("takes away", CaseOutcome::Failed)];
        assert_eq!(cases, expected.map(|(name, outcome)| (name.to_owned(), outcome)));
        let unnamed = read("1..1\nok 1").unwrap().unwrap();
        assert!(!unnamed.cases.are_all_of(unnamed.counts));
    }
}
