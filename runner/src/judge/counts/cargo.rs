//! `cargo test`: a line for each test, and a summary for each test program.

use manyworlds_api::baseline_document::CaseOutcome;

use super::cases::Cases;
use super::counted::Counted;
use super::test_counts::TestCounts;

/// The digits behind the name of a test program, which depend on how it was built.
const HASH_DIGITS: usize = 16;

/// Reads what `cargo test` prints.
///
/// The head of a test program comes by standard error and its tests by standard output, so a head may come a little late.
#[derive(Debug, Default)]
pub(super) struct Cargo {
    /// The head of the next test program.
    next: Option<String>,
    /// The head of the one that runs.
    program: String,
    /// Whether that head is its own, and not that of the one before.
    has_own_head: bool,
    runs: bool,
    pending: Cases,
    cases: Cases,
    counts: Option<TestCounts>,
}

impl Cargo {
    /// Takes the next line.
    pub(super) fn line(&mut self, line: &str) {
        let line = line.trim();
        if let Some(head) = head(line) {
            self.begin(head);
        } else if is_start(line) {
            self.end();
            self.runs = true;
            self.has_own_head = self.next.is_some();
            if let Some(next) = self.next.take() {
                self.program = next;
            }
        } else if let Some(result) = line.strip_prefix("test result: ") {
            self.result(result);
        } else if let Some((name, outcome)) = line.strip_prefix("test ").and_then(case) {
            self.pending.add(&name, outcome);
        }
    }

    fn begin(&mut self, head: String) {
        if self.runs && !self.has_own_head {
            self.program = head;
            self.has_own_head = true;
        } else {
            self.next = Some(head);
        }
    }

    fn result(&mut self, result: &str) {
        let words: Vec<&str> = result.split([' ', ';', '.']).filter(|word| !word.is_empty()).collect();
        let before = |name: &str| {
            let place = words.iter().position(|word| *word == name)?;
            words.get(place.checked_sub(1)?)?.parse::<u32>().ok()
        };
        let (Some(passed), Some(failed)) = (before("passed"), before("failed")) else { return };
        self.counts.get_or_insert_default().add(passed, failed);
        self.end();
        self.runs = false;
    }

    fn end(&mut self) {
        self.cases.add_part(&self.program, std::mem::take(&mut self.pending));
    }

    /// Returns the tests; nothing where no test program has come to its end.
    pub(super) fn finish(mut self) -> Option<Counted> {
        self.end();
        Some(Counted { counts: self.counts?, cases: self.cases })
    }
}

/// `running 5 tests`.
fn is_start(line: &str) -> bool {
    let count = line.strip_prefix("running ").and_then(|rest| rest.split_once(' '));
    count.is_some_and(|(number, word)| number.parse::<u32>().is_ok() && matches!(word, "test" | "tests"))
}

/// `Running unittests src/lib.rs (target/debug/deps/name-0123456789abcdef)`, `Doc-tests name`.
fn head(line: &str) -> Option<String> {
    if line.starts_with("Doc-tests ") {
        return Some(line.to_owned());
    }
    let rest = line.strip_prefix("Running ")?;
    let (source, file) = rest.strip_suffix(')').and_then(|rest| rest.split_once(" (")).unwrap_or(("", rest));
    let (name, hash) = file.rsplit('/').next()?.rsplit_once('-')?;
    let is_hash = hash.len() == HASH_DIGITS && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| if source.is_empty() { name.to_owned() } else { format!("{source} ({name})") })
}

/// `module::name ... ok`, and `src/lib.rs - name (line 12) ... ok` of an example, whose line moves with every change above it.
fn case(line: &str) -> Option<(String, CaseOutcome)> {
    let (name, said) = line.split_once(" ... ")?;
    let outcome = match said.split([' ', ',']).next()? {
        "ok" => CaseOutcome::Passed,
        "FAILED" => CaseOutcome::Failed,
        "ignored" => CaseOutcome::Skipped,
        _ => return None,
    };
    Some((without_line(name), outcome))
}

fn without_line(name: &str) -> String {
    let parts = name.split_once(" (line ").and_then(|(before, rest)| Some((before, rest.split_once(')')?)));
    match parts {
        Some((before, (number, after))) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{before}{after}")
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str) -> Option<(u32, u32, Vec<String>)> {
        let mut cargo = Cargo::default();
        output.lines().for_each(|line| cargo.line(line));
        let Counted { counts, cases } = cargo.finish()?;
        let cases = cases.sorted().into_iter().map(|case| format!("{} {:?}", case.name, case.outcome)).collect();
        Some((counts.passed, counts.total, cases))
    }

    const HASH: &str = "0123456789abcdef";

    #[test]
    fn two_test_programs_with_the_same_tests_are_told_apart() {
        let output = format!(
            "     Running unittests src/lib.rs (target/debug/deps/sum-{HASH})\n\nrunning 3 tests\ntest tests::adds ... ok\n\
             test tests::slow ... ignored, takes long\ntest tests::takes ... FAILED\n\ntest result: FAILED. 1 passed; 1 failed; 1 ignored;\n\
             \x20    Running tests/api.rs (target/debug/deps/api-{HASH})\nrunning 1 test\ntest tests::adds ... ok\n\
             test result: ok. 1 passed; 0 failed; 0 ignored;\n   Doc-tests sum\nrunning 1 test\n\
             test src/lib.rs - add (line 12) ... ok\ntest result: ok. 1 passed; 0 failed;"
        );
        let cases = [
            "Doc-tests sum::src/lib.rs - add Passed",
            "tests/api.rs (api)::tests::adds Passed",
            "unittests src/lib.rs (sum)::tests::adds Passed",
            "unittests src/lib.rs (sum)::tests::slow Skipped",
            "unittests src/lib.rs (sum)::tests::takes Failed",
        ];
        assert_eq!(read(&output), Some((3, 4, cases.map(str::to_owned).to_vec())));
    }

    #[test]
    fn a_head_that_comes_late_is_still_that_of_its_program() {
        let output = format!(
            "running 1 test\nRunning tests/a.rs (target/debug/deps/a-{HASH})\ntest t ... ok\n\
             Running tests/b.rs (target/debug/deps/b-{HASH})\ntest result: ok. 1 passed; 0 failed;\n\
             running 1 test\ntest t ... ok\ntest result: ok. 1 passed; 0 failed;"
        );
        let cases = ["tests/a.rs (a)::t Passed", "tests/b.rs (b)::t Passed"].map(str::to_owned).to_vec();
        assert_eq!(read(&output), Some((2, 2, cases)));
    }

    #[test]
    fn results_add_up_and_numbers_beyond_measure_hide_no_failure() {
        for (output, expected) in [
            ("test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; finished in 0.1s", Some((5, 5))),
            ("test result: ok. 2 passed; 0 failed;\ntest result: FAILED. 3 passed; 2 failed; 0 ignored;", Some((5, 7))),
            ("test result: ok. 4294967295 passed; 4294967295 failed;", Some((0, u32::MAX))),
            ("test t ... ok", None),
            ("error: could not compile", None),
        ] {
            assert_eq!(read(output).map(|(passed, total, _)| (passed, total)), expected, "{output}");
        }
    }
}
