//! The phase in which a person agrees. This version refuses orders that ask for it.

use super::step::Step;
use crate::order::assessment::Assessment;

/// Decides in the phase.
pub(super) const fn decide(_: &Assessment<'_>) -> Step {
    Step::Next
}
