//! Reads the tests in what a gate prints, line by line as it comes, so that no output is too long for it.

use super::cargo::Cargo;
use super::counted::{Contradiction, Counted, Reading};
use super::go::Go;
use super::javascript::JavaScript;
use super::pytest::Pytest;
use super::tap::Tap;
use super::unittest::Unittest;
use crate::process::Listener;

/// Reads the tests in what a gate prints. What different tools count adds up: a gate may well run more than one.
#[derive(Debug, Default)]
pub(in crate::judge) struct OutputReader {
    cargo: Cargo,
    tap: Tap,
    pytest: Pytest,
    unittest: Unittest,
    go: Go,
    javascript: JavaScript,
}

impl Listener for OutputReader {
    fn line(&mut self, line: &str) {
        self.cargo.line(line);
        self.tap.line(line);
        self.pytest.line(line);
        self.unittest.line(line);
        self.go.line(line);
        self.javascript.line(line);
    }
}

impl OutputReader {
    /// Returns the tests, when all has been read.
    pub(in crate::judge) fn finish(self) -> Reading {
        match self.counted() {
            Ok(Some(counted)) => Reading::Counted(counted),
            Ok(None) => Reading::Nothing("its output has no count in a form that is known".to_owned()),
            Err(Contradiction(why)) => Reading::Contradictory(why),
        }
    }

    fn counted(self) -> Result<Option<Counted>, Contradiction> {
        let found = [
            self.cargo.finish(),
            self.tap.finish()?,
            self.pytest.finish()?,
            self.unittest.finish()?,
            self.go.finish(),
            self.javascript.finish()?,
        ];
        let mut sum: Option<Counted> = None;
        for counted in found.into_iter().flatten() {
            sum.get_or_insert_default().add(counted);
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_counts::TestCounts;
    use super::*;

    fn read(output: &str) -> Reading {
        let mut reader = OutputReader::default();
        output.lines().for_each(|line| reader.line(line));
        reader.finish()
    }

    fn counts(output: &str) -> Option<(u32, u32)> {
        match read(output) {
            Reading::Counted(Counted { counts: TestCounts { passed, total }, .. }) => Some((passed, total)),
            Reading::Nothing(_) | Reading::Contradictory(_) => None,
        }
    }

    #[test]
    fn counts_are_read_in_every_form() {
        for (output, expected) in [
            (
                "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s",
                Some((5, 5)),
            ),
            ("1..3\nok 1 - a\nnot ok 2 - b\nok 3", Some((2, 3))),
            ("===== 3 failed, 10 passed, 1 skipped, 2 warnings in 0.52s =====", Some((10, 13))),
            ("Ran 3 tests in 0.1s\n\nFAILED (failures=1)", Some((2, 3))),
            ("=== RUN   TestA\n--- PASS: TestA (0.00s)\nok      example.com/a    0.003s", Some((1, 1))),
            ("Tests:       1 failed, 3 passed, 4 total", Some((3, 4))),
            ("everything is fine", None),
        ] {
            assert_eq!(counts(output), expected, "{output}");
        }
        assert!(matches!(read("everything is fine"), Reading::Nothing(_)));
    }

    /// W14: one tool does not say two things of the same tests; several tools add up.
    #[test]
    fn different_tools_add_up_and_one_that_contradicts_itself_counts_nothing() {
        assert_eq!(counts("3 passed in 1s\nTests:       1 failed, 3 passed, 4 total"), Some((6, 7)));
        let Reading::Contradictory(why) = read("1 failed, 2 passed in 1s\n3 passed in 1s") else {
            panic!("it was counted")
        };
        assert!(why.contains("summaries of pytest that differ"), "{why}");
    }
}
