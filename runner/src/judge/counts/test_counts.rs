//! Numbers of tests.

/// Tests that were counted. Skipped ones count neither way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::judge) struct TestCounts {
    /// Tests that passed.
    pub(in crate::judge) passed: u32,
    /// Tests that passed or failed.
    pub(in crate::judge) total: u32,
}

impl TestCounts {
    /// Counts tests that passed and tests that failed.
    pub(super) fn of(passed: u32, failed: u32) -> Self {
        let mut counts = Self::default();
        counts.add(passed, failed);
        counts
    }

    /// Adds tests; numbers beyond all measure never make a failure disappear.
    pub(super) fn add(&mut self, passed: u32, failed: u32) {
        let failed = self.failed().saturating_add(failed);
        self.passed = self.passed.saturating_add(passed).min(u32::MAX - failed);
        self.total = self.passed + failed;
    }

    /// Returns the number of tests that failed.
    pub(in crate::judge) const fn failed(self) -> u32 {
        self.total - self.passed
    }
}
