//! The bounds of a program, and the limit that it reached.

use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::files::{DiskUsage, disk_usage};

/// The most processes that a program may have at once: many more than builds and tests start, and few enough for a node.
///
/// A limit of the kernel counts all processes of a user on the node, those of other Worlds too, so it is no use here.
pub(super) const MOST_PROCESSES: usize = 2048;
const SIGXFSZ: i32 = Signal::SIGXFSZ as i32;
/// The number that a shell adds to the signal that ended its program, to make an exit code.
const SHELL_SIGNAL: i32 = 128;

/// The bounds of a program. Its standard input is always empty.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// The longest time that it may run.
    pub(crate) time: Duration,
    /// The most bytes that it may print, if there is a limit.
    pub(crate) output_bytes: Option<u64>,
    /// The limit of what it may write, if there is one.
    pub(crate) disk: Option<DiskLimit>,
}

impl Bounds {
    /// Bounds of time alone.
    pub(crate) fn of_time(time: Duration) -> Self {
        Self { time, output_bytes: None, disk: None }
    }
}

/// The most that a program may write.
#[derive(Clone, Debug)]
pub(crate) struct DiskLimit {
    /// The folders whose size is measured.
    pub(crate) folders: Vec<PathBuf>,
    /// The most bytes in all of them together.
    pub(crate) bytes: u64,
    /// The most bytes in one file, where the kernel was told so (`RLIMIT_FSIZE`).
    pub(crate) file_bytes: Option<u64>,
    /// The most files in all of them together, if there is a limit.
    pub(crate) files: Option<u64>,
}

impl DiskLimit {
    pub(super) fn usage(&self) -> DiskUsage {
        self.folders.iter().map(|folder| disk_usage(folder)).sum()
    }

    /// Returns the limit that so much use exceeds.
    pub(super) fn exceeded(&self, usage: DiskUsage) -> Option<Stop> {
        if usage.bytes > self.bytes {
            Some(Stop::DiskLimit)
        } else {
            self.files.filter(|most| usage.files > *most).map(|_| Stop::FileCountLimit)
        }
    }
}

/// The limit that a program reached, whether it was ended for it or ended by itself first; or the end of the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It ran too long.
    TimeLimit,
    /// It printed too much.
    OutputLimit,
    /// It filled the disk.
    DiskLimit,
    /// It wrote a file that is too large.
    FileSizeLimit,
    /// It made too many files.
    FileCountLimit,
    /// It had too many processes at once.
    ProcessLimit,
    /// The pod was told to end.
    Terminated,
}

/// Returns the limit that a program reached, if it has ended by itself.
///
/// A program can reach a limit and end between two looks, and the faster the machine is, the more often it does. So what
/// is left of it tells, not who looked first.
pub(super) fn limit_reached(
    exit_code: Option<i32>,
    signal: Option<i32>,
    left_behind: usize,
    usage: Option<(&DiskLimit, DiskUsage)>,
) -> Option<Stop> {
    if left_behind > MOST_PROCESSES {
        return Some(Stop::ProcessLimit);
    }
    let (disk, usage) = usage?;
    if let Some(exceeded) = disk.exceeded(usage) {
        return Some(exceeded);
    }
    let most = disk.file_bytes?;
    // The kernel lets a file grow up to the limit. A program that ignores the signal gets an error then.
    let is_full = exit_code != Some(0) && usage.largest_file == most;
    (is_full || ended_by(SIGXFSZ, exit_code, signal)).then_some(Stop::FileSizeLimit)
}

/// Returns whether a signal ended a program, or the program that its shell ran.
pub(super) fn ended_by(signal: i32, exit_code: Option<i32>, found: Option<i32>) -> bool {
    found == Some(signal) || exit_code == Some(SHELL_SIGNAL + signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_that_a_program_reached_is_known_from_what_it_left() {
        let disk = DiskLimit { folders: Vec::new(), bytes: 1000, file_bytes: Some(100), files: Some(10) };
        let reached = |exit_code, signal, left_behind, bytes, largest_file| {
            let usage = DiskUsage { bytes, largest_file, files: 10 };
            limit_reached(exit_code, signal, left_behind, Some((&disk, usage)))
        };
        for (exit_code, signal) in [(Some(0), None), (Some(1), None), (None, Some(SIGXFSZ))] {
            assert_eq!(reached(exit_code, signal, 0, 1001, 100), Some(Stop::DiskLimit));
            assert_eq!(reached(exit_code, signal, MOST_PROCESSES + 1, 1001, 100), Some(Stop::ProcessLimit));
        }
        assert_eq!(reached(None, Some(SIGXFSZ), 0, 1000, 10), Some(Stop::FileSizeLimit), "by the signal");
        assert_eq!(reached(Some(128 + SIGXFSZ), None, 0, 1000, 10), Some(Stop::FileSizeLimit), "by its shell's word");
        assert_eq!(reached(Some(1), None, 0, 1000, 100), Some(Stop::FileSizeLimit), "by the file, the signal ignored");
        assert_eq!(reached(Some(0), None, 0, 1000, 100), None, "it wrote no more than it may");
        assert_eq!(reached(Some(1), None, MOST_PROCESSES, 1000, 101), None, "a larger file was there before");
        assert_eq!(limit_reached(None, Some(SIGXFSZ), 0, None), None, "somebody else's limit");
        let many = DiskUsage { bytes: 1000, largest_file: 1, files: 11 };
        assert_eq!(limit_reached(Some(0), None, 0, Some((&disk, many))), Some(Stop::FileCountLimit));
    }
}
