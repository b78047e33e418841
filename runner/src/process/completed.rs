//! The result of a program that has ended.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::bounds::{Stop, ended_by};

const SIGKILL: i32 = Signal::SIGKILL as i32;

/// The result of a program that has ended.
#[derive(Debug)]
pub(crate) struct Completed<O> {
    /// Its exit code; absent when a signal ended it.
    pub(crate) exit_code: Option<i32>,
    /// The signal that ended it.
    pub(crate) signal: Option<i32>,
    /// The limit that it reached, or that the pod was told to end.
    pub(crate) stopped: Option<Stop>,
    /// The time that it ran.
    pub(crate) elapsed: Duration,
    /// The part of its output that was kept.
    pub(crate) output: O,
    /// The bytes that it printed altogether.
    pub(crate) printed: u64,
    /// The number of processes that it left behind.
    pub(crate) left_behind: usize,
    /// The number of times that it told this program to end.
    pub(crate) forged_signals: u32,
}

impl<O> Completed<O> {
    /// Returns whether it ended by itself, and well.
    pub(crate) fn succeeded(&self) -> bool {
        self.exit_code == Some(0) && self.stopped.is_none()
    }

    /// Returns its exit code or signal in words, and what it may have lacked.
    pub(crate) fn ending(&self) -> String {
        let how = match (self.exit_code, self.signal) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(number)) => {
                Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |signal| signal.to_string())
            }
            (None, None) => "a signal".to_owned(),
        };
        let killed = self.stopped.is_none() && ended_by(SIGKILL, self.exit_code, self.signal);
        if killed {
            format!(
                "{how}, as of a program that uses too much memory: raise worlds.sizing.perWorld.memory if it needs more"
            )
        } else {
            how
        }
    }
}
