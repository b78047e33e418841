//! Counts the tests of a gate by name: from what it prints, or from its reports.
//!
//! - `output`: what it prints, line by line. `cargo`, `tap`, `pytest`, `unittest`, `go`, `javascript`: the forms that are known.
//! - `reports`: its reports. `junit`: their form.
//! - `cases`, `test_counts`, `counted`: what was counted. `summaries`: what the summaries of one tool come to.

mod cargo;
mod cases;
mod counted;
mod go;
mod javascript;
mod junit;
mod output;
mod pytest;
mod reports;
mod summaries;
mod tap;
mod test_counts;
mod unittest;

pub(super) use cases::{Cases, is_in, not_loaded};
pub(super) use counted::{Counted, Reading};
pub(super) use output::OutputReader;
pub(super) use reports::{Reports, is_inside};
pub(super) use test_counts::TestCounts;

#[cfg(test)]
mod tests {
    /// `make fuzz` runs these for longer.
    mod fuzzed {
        use manyworlds_test_support::fuzz::fuzz;

        use super::super::*;
        use crate::process::Listener;

        #[test]
        fn no_output_and_no_report_has_more_passed_tests_than_tests() {
            let seeds: [&[u8]; 10] = [
                b"running 1 test\ntest a::b ... ok\ntest result: ok. 5 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out",
                b"1..4\nok 1 - a\nnot ok 2 # TODO b\nok 3 # SKIP c\nok 4",
                b"tests/a.py::b[1] PASSED\n==== 3 failed, 10 passed, 1 skipped, 1 xfailed, 2 errors in 0.52s ====",
                b"test_a (m.C) ... ok\nRan 3 tests in 0.1s\n\nFAILED (failures=1)",
                b"=== RUN   TestA\n--- PASS: TestA (0.00s)\nok      example.com/a    0.003s",
                br#"{"Action":"pass","Package":"a","Test":"TestB"}"#,
                b"PASS a.test.js\n  \xe2\x9c\x93 b (1 ms)\nTests:       1 failed, 3 passed, 4 total",
                br#"<?xml version="1.0"?><testsuites tests="9"><testsuite name="a"><testcase name="b"/></testsuite></testsuites>"#,
                b"<testsuite><testcase><failure/></testcase><testcase><skipped/></testcase></testsuite>",
                b"<a:testsuite xmlns:a='b'><a:testcase><error>&lt;</error><![CDATA[c]]></a:testcase></a:testsuite>",
            ];
            fuzz(&seeds, |input| {
                let text = String::from_utf8_lossy(input);
                let mut reader = OutputReader::default();
                text.lines().for_each(|line| reader.line(line));
                if let Reading::Counted(Counted { counts, cases }) = reader.finish() {
                    assert!(counts.passed <= counts.total, "{counts:?}");
                    assert!(cases.sorted().is_sorted());
                }
                let mut reported = Cases::default();
                if junit::read(&text, &mut reported).is_some() {
                    let (counts, written) = (reported.counts(), text.matches("testcase").count());
                    assert!(counts.passed <= counts.total && counts.total as usize <= written, "each case counts once");
                }
            });
        }
    }
}
