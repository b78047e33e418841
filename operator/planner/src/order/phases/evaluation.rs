//! The phase in which each change is judged. Today a World's own pod does that, so the phase is over with the Worlds.

use super::step::Step;
use crate::order::assessment::Assessment;

/// Decides in the phase.
pub(super) const fn decide(_: &Assessment<'_>) -> Step {
    Step::Next
}
