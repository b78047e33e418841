//! The audit log (S6): one line for each decision, in the table `audit` and as JSON on the log target `audit`.
//!
//! - `entry`: a line.
//! - `log`: the queue of lines. Adding one never waits, and nothing fails because of it.
//! - `writer`: the task that writes them. Equal lines within a minute are written once at once, and once more with their
//!   number when the minute is over: a client that repeats a refused request fills neither disk nor log.

pub(crate) mod entry;
pub(crate) mod log;
pub(crate) mod writer;

pub use entry::{AuditEntry, AuditStage, TARGET};
