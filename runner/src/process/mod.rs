//! Runs every program that the runner starts: within bounds, and with nothing left of it after.
//!
//! - `program`: a program with its bounds, and the loop that runs it.
//! - `bounds`: the bounds of a program, and the limit that it reached: pure, except for measuring the disk.
//! - `completed`: the result of a program that has ended.
//! - `capture`: reads its output. `log` keeps it as lines for people.
//! - `supervisor`: runs programs that are not trusted, and ends whatever they leave behind.
//! - `descendants`, `signals`: the processes that the supervisor looks after, and the signals that it gets.

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
pub(crate) use log::{Listener, Log};
pub(crate) use program::Program;
pub(crate) use signals::Signals;
pub(crate) use supervisor::Supervisor;
