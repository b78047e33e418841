//! TestCounts tests in what a program prints: TAP, cargo test, pytest.

use super::test_counts::TestCounts;

/// TestCounts the tests; nothing when no line of a known form is there.
pub(super) fn count(output: &str) -> Option<TestCounts> {
    cargo(output).or_else(|| tap(output)).or_else(|| pytest(output))
}

/// `test result: ok. 5 passed; 1 failed; 0 ignored; ...`, once for each test program.
fn cargo(output: &str) -> Option<TestCounts> {
    let mut counts: Option<TestCounts> = None;
    for line in output.lines().filter_map(|line| line.trim().strip_prefix("test result: ")) {
        let words: Vec<&str> = line.split([' ', ';', '.']).filter(|word| !word.is_empty()).collect();
        let before = |name: &str| {
            let place = words.iter().position(|word| *word == name)?;
            words.get(place.checked_sub(1)?)?.parse::<u32>().ok()
        };
        let (Some(passed), Some(failed)) = (before("passed"), before("failed")) else { continue };
        let counts = counts.get_or_insert(TestCounts { passed: 0, total: 0 });
        counts.add(passed, failed);
    }
    counts
}

/// `ok 1 - name`, `not ok 2`, and the plan `1..N`: tests of the plan that never came have failed.
fn tap(output: &str) -> Option<TestCounts> {
    let plan = output.lines().find_map(|line| line.strip_prefix("1..")?.split(' ').next()?.parse::<u32>().ok())?;
    let mut counts = TestCounts { passed: 0, total: 0 };
    for line in output.lines() {
        let (passed, rest) = match line.strip_prefix("not ok") {
            Some(rest) => (0, rest),
            None => match line.strip_prefix("ok") {
                Some(rest) => (1, rest),
                None => continue,
            },
        };
        if !rest.is_empty() && !rest.starts_with(' ') {
            continue;
        }
        let directive = rest.split_once('#').map(|(_, directive)| directive.trim().to_lowercase()).unwrap_or_default();
        if directive.starts_with("skip") || directive.starts_with("todo") {
            continue;
        }
        counts.add(passed, 1 - passed);
    }
    let left_out = plan.saturating_sub(counts.total.saturating_add(skipped(output)));
    counts.add(0, left_out);
    Some(counts)
}

fn skipped(output: &str) -> u32 {
    let is_skipped = |line: &&str| {
        (line.starts_with("ok") || line.starts_with("not ok"))
            && line.split_once('#').is_some_and(|(_, directive)| {
                let directive = directive.trim().to_lowercase();
                directive.starts_with("skip") || directive.starts_with("todo")
            })
    };
    u32::try_from(output.lines().filter(is_skipped).count()).unwrap_or(u32::MAX)
}

/// `== 3 failed, 10 passed, 1 skipped in 0.5s ==`, or the same without the bars.
fn pytest(output: &str) -> Option<TestCounts> {
    let summary = output.lines().rev().map(|line| line.trim().trim_matches('=').trim()).find(|line| {
        line.contains(" in ") && (line.contains(" passed") || line.contains(" failed") || line.contains(" error"))
    })?;
    let mut counts = TestCounts { passed: 0, total: 0 };
    for part in summary.split(" in ").next()?.split(", ") {
        let (number, word) = part.split_once(' ')?;
        let number: u32 = number.parse().ok()?;
        match word {
            // A test that was expected to fail and passes is what a fix may bring; where that is forbidden, it is among
            // the failed ones.
            "passed" | "xfailed" | "xpassed" => counts.add(number, 0),
            "failed" | "error" | "errors" => counts.add(0, number),
            _ => {}
        }
    }
    Some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_in_every_form() {
        for (output, expected) in [
            (
                "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s",
                Some((5, 5)),
            ),
            ("test result: ok. 2 passed; 0 failed;\ntest result: FAILED. 3 passed; 2 failed; 0 ignored;", Some((5, 7))),
            ("1..3\nok 1 - a\nnot ok 2 - b\nok 3", Some((2, 3))),
            ("1..4\nok 1\nok 2 # SKIP no network\nok 3", Some((2, 3))),
            ("ok 1\nok 2\n1..2", Some((2, 2))),
            ("===== 3 failed, 10 passed, 1 skipped, 2 warnings in 0.52s =====", Some((10, 13))),
            ("10 passed in 0.5s", Some((10, 10))),
            ("9 passed, 1 xfailed, 2 xpassed in 0.5s", Some((12, 12))),
            ("==== 1 error in 0.1s ====", Some((0, 1))),
            // Numbers that no program counts must not turn over into small ones.
            ("test result: ok. 4294967295 passed; 4294967295 failed;", Some((0, u32::MAX))),
            ("everything is fine", None),
            ("okay 1..2", None),
        ] {
            let found = count(output).map(|counts| (counts.passed, counts.total));
            assert_eq!(found, expected, "{output}");
        }
    }
}
