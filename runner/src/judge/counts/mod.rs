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
}
