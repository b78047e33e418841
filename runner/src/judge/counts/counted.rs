//! What the tests of a gate came to.

use super::cases::Cases;
use super::test_counts::TestCounts;

/// Tests that were counted, and those of them that have a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::judge) struct Counted {
    /// Their numbers.
    pub(in crate::judge) counts: TestCounts,
    /// Those that have a name.
    pub(in crate::judge) cases: Cases,
}

impl Counted {
    /// Adds the tests of another test program.
    pub(super) fn add(&mut self, other: Self) {
        let Self { counts, cases } = other;
        self.counts.add(counts.passed, counts.failed());
        self.cases.add_part("", cases);
    }
}

impl From<Cases> for Counted {
    fn from(cases: Cases) -> Self {
        Self { counts: cases.counts(), cases }
    }
}

/// The error for an output that says two things of the same tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contradiction(pub(super) String);

/// What the tests of a gate came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::judge) enum Reading {
    /// Tests were counted.
    Counted(Counted),
    /// No test was counted, and why.
    Nothing(String),
    /// What was said cannot all be true, and why.
    Contradictory(String),
}
