//! Runs every program that the runner starts: within bounds, and with nothing left of it after.
//!
//! - `program`: a program with its bounds, and the loop that runs it.
//! - `bounds`: what it may use, and which limit it reached: pure, but for measuring the disk.
//! - `completed`: how it ended.
//! - `capture`: how its output is read. `log` keeps it as lines for people.
//! - `supervisor`: runs programs that are not trusted, and ends whatever they leave behind.
//! - `descendants`, `signals`: what the supervisor works with.

mod bounds;
mod capture;
mod completed;
mod descendants;
mod log;
mod program;
mod signals;
mod supervisor;

pub(crate) use bounds::{Bounds, DiskLimit, Stop};
pub(crate) use capture::{Capture, Stream};
pub(crate) use completed::Completed;
pub(crate) use log::Log;
pub(crate) use program::Program;
pub(crate) use signals::Signals;
pub(crate) use supervisor::Supervisor;
