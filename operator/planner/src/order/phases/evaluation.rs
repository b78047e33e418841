//! The phase in which each change is judged. Each is judged as a part of its World's attempt, so the phase is over with the
//! Worlds.

use super::step::Step;
use crate::order::assessment::Assessment;

/// Decides in the phase.
pub(super) const fn decide(_: &Assessment<'_>) -> Step {
    Step::Next
}
