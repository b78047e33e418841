//! The answer of a phase.

use crate::order::decision::Decision;

/// The answer of a phase.
#[derive(Debug)]
pub(super) enum Step {
    /// The order stays in the phase.
    Stay(Decision),
    /// The phase is over, or the order does not have it.
    Next,
}
