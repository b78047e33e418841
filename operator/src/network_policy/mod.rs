//! The Worlds' network policies: known to be in place before a pod starts, and put back when somebody changes or removes one.

pub(crate) mod policies;
mod standing;
pub(crate) mod watching;
