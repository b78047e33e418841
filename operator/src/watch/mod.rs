//! Watches: each keeps what the operator knows of one kind up to date. They know no kind; an observer does.

pub(crate) mod deleted;
pub(crate) mod guarded;
pub(crate) mod observer;
pub(crate) mod records;
mod replacement;
mod reporter;
pub(crate) mod trimmed;
pub(crate) mod watches;
