//! The summaries of one test program: what they come to where there are several.

use super::counted::Contradiction;
use super::test_counts::TestCounts;

/// The summaries that one kind of test program has printed.
#[derive(Debug, Default)]
pub(super) struct Summaries {
    sum: TestCounts,
    first: Option<TestCounts>,
    count: usize,
    differ: bool,
}

impl Summaries {
    /// Adds a summary.
    pub(super) fn add(&mut self, counts: TestCounts) {
        let first = *self.first.get_or_insert(counts);
        self.differ |= first != counts;
        self.count += 1;
        self.sum.add(counts.passed, counts.failed());
    }

    /// Returns the tests of all runs; nothing where there is no summary.
    ///
    /// - **Shape:** `runs` is how often the program says that it has begun; many say nothing of it.
    ///
    /// # Errors
    ///
    /// [`Contradiction`] where there are more summaries than runs: no one knows which of them is true.
    pub(super) fn settled(&self, program: &str, runs: usize) -> Result<Option<TestCounts>, Contradiction> {
        let Some(first) = self.first else { return Ok(None) };
        if self.count <= runs.max(1) {
            return Ok(Some(self.sum));
        }
        if self.differ || runs > 1 {
            let why = format!(
                "it has {} summaries of {program} that differ; give each run a gate, or have them write JUnit XML for its report",
                self.count
            );
            return Err(Contradiction(why));
        }
        Ok(Some(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_add_up_as_often_as_the_program_has_run() {
        let settled = |summaries: &[(u32, u32)], runs| {
            let mut all = Summaries::default();
            for (passed, total) in summaries {
                all.add(TestCounts { passed: *passed, total: *total });
            }
            all.settled("pytest", runs).map(|counts| counts.map(|counts| (counts.passed, counts.total))).ok()
        };
        assert_eq!(settled(&[], 0), Some(None));
        assert_eq!(settled(&[(1, 2)], 0), Some(Some((1, 2))));
        assert_eq!(settled(&[(1, 2), (3, 3)], 2), Some(Some((4, 5))));
        assert_eq!(settled(&[(3, 3), (3, 3)], 1), Some(Some((3, 3))), "the same is said twice");
        assert_eq!(settled(&[(3, 3), (1, 3)], 1), None);
        assert_eq!(settled(&[(3, 3), (1, 3)], 0), None);
    }
}
