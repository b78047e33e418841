//! The phase in which voters rank the eligible Worlds. This version has no voters and refuses orders that name some.

use super::step::Step;
use crate::order::assessment::Assessment;

/// Decides in the phase.
pub(super) const fn decide(_: &Assessment<'_>) -> Step {
    Step::Next
}
