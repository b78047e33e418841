//! Counts tests from the output and the reports of test programs.

mod junit;
mod lines;
mod test_counts;

use std::path::Path;

use crate::files;
pub(super) use test_counts::TestCounts;

/// The most bytes of a report that are read.
const REPORT_BYTES: u64 = 16 * 1024 * 1024;

/// TestCounts the tests of a gate: from its JUnit XML where it names one, else from its output.
///
/// A report that was asked for and is missing or broken counts as no test at all, so it never gives full points.
pub(super) fn count(report: Option<&Path>, checkout: &Path, output: &str) -> Option<TestCounts> {
    match report {
        Some(path) => Some(read(path, checkout).and_then(|text| junit::count(&text)).unwrap_or_default()),
        None => lines::count(output),
    }
}

fn read(path: &Path, checkout: &Path) -> Option<String> {
    let bytes = is_inside(path, checkout).then(|| files::read_ordinary(path, REPORT_BYTES)).flatten()?;
    String::from_utf8(bytes).ok()
}

/// Returns whether a file lies in the checkout, wherever the folders on the way may lead.
pub(super) fn is_inside(path: &Path, checkout: &Path) -> bool {
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    folder.zip(checkout.canonicalize().ok()).is_some_and(|(folder, checkout)| folder.starts_with(checkout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_is_missing_counts_as_no_test() {
        let missing = count(Some(Path::new("/nonexistent/report.xml")), Path::new("/nonexistent"), "10 passed");
        assert_eq!(missing, Some(TestCounts { passed: 0, total: 0 }));
    }

    /// `make fuzz` runs these for longer.
    mod fuzzed {
        use manyworlds_test_support::fuzz::fuzz;

        use super::*;

        #[test]
        fn no_output_and_no_report_has_more_passed_tests_than_tests() {
            let seeds: [&[u8]; 6] = [
                b"test result: ok. 5 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out",
                b"1..4\nok 1 - a\nnot ok 2 # TODO b\nok 3 # SKIP c\nok 4",
                b"==== 3 failed, 10 passed, 1 skipped, 1 xfailed, 2 errors in 0.52s ====",
                br#"<?xml version="1.0"?><testsuites tests="9"><testsuite name="a"><testcase name="b"/></testsuite></testsuites>"#,
                b"<testsuite><testcase><failure/></testcase><testcase><skipped/></testcase></testsuite>",
                b"<a:testsuite xmlns:a='b'><a:testcase><error>&lt;</error><![CDATA[c]]></a:testcase></a:testsuite>",
            ];
            fuzz(&seeds, |input| {
                let text = String::from_utf8_lossy(input);
                let (printed, reported) = (lines::count(&text), junit::count(&text));
                for counts in [printed, reported].into_iter().flatten() {
                    assert!(counts.passed <= counts.total, "{counts:?}");
                }
                let cases = text.matches("testcase").count();
                assert!(reported.is_none_or(|counts| counts.total as usize <= cases), "each case counts once");
            });
        }
    }
}
