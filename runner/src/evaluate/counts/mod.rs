//! How many tests passed, from what test programs write.

mod junit;
mod lines;

use std::path::Path;

use crate::files;

/// The most bytes of a report that are read.
const REPORT_BYTES: u64 = 16 * 1024 * 1024;

/// Tests that were counted. Skipped ones count neither way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Tests that passed.
    pub(super) passed: u32,
    /// Tests that passed or failed.
    pub(super) total: u32,
}

impl Counts {
    /// Adds tests; numbers beyond all measure never make a failure disappear.
    fn add(&mut self, passed: u32, failed: u32) {
        let failed = (self.total - self.passed).saturating_add(failed);
        self.passed = self.passed.saturating_add(passed).min(u32::MAX - failed);
        self.total = self.passed + failed;
    }
}

/// Counts the tests of a gate: from its JUnit XML where it names one, else from its output.
///
/// A report that was asked for and is missing or broken counts as no test at all, so it never gives full points.
pub(super) fn count(report: Option<&Path>, checkout: &Path, output: &str) -> Option<Counts> {
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
        assert_eq!(missing, Some(Counts { passed: 0, total: 0 }));
    }
}
