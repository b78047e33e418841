//! Runs a program that is not trusted: with a time limit, with its output bounded, and with nothing left of it after.

mod descendants;
mod output;
mod signals;

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use manyworlds_masking::Filter;
use nix::sys::prctl;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::files::{Usage, usage};
use crate::layout::Layout;
use output::Output;
pub(crate) use signals::Signals;

/// How long a program has between being told to end and being killed.
const GRACE: Duration = Duration::from_secs(5);
/// How long a stage may take to end after it was told to: its program's grace and its own report, within the ten seconds
/// that the kubelet gives a pod.
const ENDING: Duration = Duration::from_secs(8);
/// How often a program is looked at.
const INTERVAL: Duration = Duration::from_millis(10);
/// How often what it takes of the machine is measured, at most.
const MEASURE_INTERVAL: Duration = Duration::from_millis(500);
/// How many times longer than a measurement the wait for the next one is: of a large tree it takes a while, and the
/// processor is the program's.
const MEASURE_SHARE: u32 = 20;
/// How many processes a program may have at once: many more than builds and tests start, and few enough for a node.
///
/// A limit of the kernel counts all processes of a user on the node, those of other Worlds too, so it is no use here.
const MOST_PROCESSES: usize = 2048;
const SIGKILL: i32 = Signal::SIGKILL as i32;
const SIGXFSZ: i32 = Signal::SIGXFSZ as i32;
/// What a shell adds to the number of the signal that ended the program which it ran.
const SHELL_SIGNAL: i32 = 128;

/// What a program may use.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// How long it may run.
    pub(crate) time: Duration,
    /// How many bytes of its output are kept.
    pub(crate) output_bytes: usize,
    /// How much it may write, where that is bounded.
    pub(crate) disk: Option<DiskLimit>,
    /// What must not be seen in its output.
    pub(crate) secrets: Filter,
}

/// How much a program may write.
#[derive(Clone, Debug)]
pub(crate) struct DiskLimit {
    /// The folders whose size is measured.
    pub(crate) folders: Vec<PathBuf>,
    /// The most bytes in all of them together.
    pub(crate) bytes: u64,
    /// The most bytes in one file, where the kernel was told so (`RLIMIT_FSIZE`).
    pub(crate) file_bytes: Option<u64>,
}

impl DiskLimit {
    fn usage(&self) -> Usage {
        self.folders.iter().map(|folder| usage(folder)).sum()
    }
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Its exit code; absent when a signal ended it.
    pub(crate) exit_code: Option<i32>,
    /// The signal that ended it.
    pub(crate) signal: Option<i32>,
    /// The limit that it reached, or that the pod was told to end.
    pub(crate) stopped: Option<Stopped>,
    /// How long it ran.
    pub(crate) elapsed: Duration,
    /// What it printed, as far as it was kept.
    pub(crate) output: String,
    /// How many bytes it printed altogether.
    pub(crate) printed: usize,
    /// How many processes it left behind.
    pub(crate) left_behind: usize,
    /// How often it told this program to end.
    pub(crate) forged_signals: u32,
}

impl Outcome {
    /// Says how it ended: its exit code, or the signal.
    pub(crate) fn ending(&self) -> String {
        let killed = self.stopped.is_none() && ended_by(SIGKILL, self.exit_code, self.signal);
        let how = match (self.exit_code, self.signal) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(number)) => {
                Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |signal| signal.to_string())
            }
            (None, None) => "a signal".to_owned(),
        };
        if killed {
            format!(
                "{how}, as of a program that uses too much memory: raise worlds.sizing.perWorld.memory if it needs more"
            )
        } else {
            how
        }
    }
}

/// Returns whether a signal ended a program, or the program that its shell ran.
fn ended_by(signal: i32, exit_code: Option<i32>, found: Option<i32>) -> bool {
    found == Some(signal) || exit_code == Some(SHELL_SIGNAL + signal)
}

/// Why a program was ended, or counts as ended: it reached a limit by itself before anybody looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// Its time was over.
    Time,
    /// It filled the disk.
    Disk,
    /// It wrote a file that is too large.
    FileSize,
    /// It started too many processes.
    Processes,
    /// The pod was told to end.
    Told,
}

/// Runs programs, and sees to it that none outlives its turn.
#[derive(Debug)]
pub(crate) struct Supervisor {
    signals: Signals,
}

impl Supervisor {
    /// Takes over the signals of this process, and the orphans of its descendants.
    ///
    /// - **Guarantees:** from now on nobody but the kernel can read this process's memory or files under `/proc`.
    pub(crate) fn start(layout: &Layout) -> std::io::Result<Self> {
        prctl::set_dumpable(false)?;
        prctl::set_child_subreaper(true)?;
        Ok(Self { signals: Signals::take_over(layout, ENDING)? })
    }

    /// Runs a program to its end, whatever it does.
    pub(crate) fn run(&self, mut command: Command, limits: &Limits) -> std::io::Result<Outcome> {
        use std::os::unix::process::CommandExt;
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = spawn_with_default_signals(&mut command)?;
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        let output = Output::collect(&mut child, limits.output_bytes, &limits.secrets);
        let (status, stopped) = self.watch(&mut child, pid, limits, started)?;
        let elapsed = started.elapsed();
        let left_behind = descendants::end_all(|| self.signals.receive());
        let (text, printed) = output.finish();
        let forged_signals = self.signals.forged();
        let (exit_code, signal) = (status.code(), status.signal());
        let usage = limits.disk.as_ref().map(|disk| (disk, disk.usage()));
        let stopped = stopped.or_else(|| limit_reached(exit_code, signal, left_behind, usage));
        Ok(Outcome { exit_code, signal, stopped, elapsed, output: text, printed, left_behind, forged_signals })
    }

    fn watch(
        &self,
        child: &mut Child,
        pid: Pid,
        limits: &Limits,
        started: Instant,
    ) -> std::io::Result<(ExitStatus, Option<Stopped>)> {
        let mut stopped = None;
        let mut kill_at = None;
        let mut measure_at = started + MEASURE_INTERVAL;
        loop {
            if descendants::has_ended(pid) {
                self.signals.receive();
                return Ok((child.wait()?, stopped));
            }
            descendants::reap_orphans(pid, || self.signals.receive());
            let now = Instant::now();
            if stopped.is_none() {
                stopped = if self.signals.told_to_end() {
                    Some(Stopped::Told)
                } else if now.duration_since(started) >= limits.time {
                    Some(Stopped::Time)
                } else if now >= measure_at {
                    let found = takes_too_much(limits);
                    measure_at = Instant::now() + MEASURE_INTERVAL.max(now.elapsed() * MEASURE_SHARE);
                    found
                } else {
                    None
                };
                kill_at = stopped.map(|why| end(pid, why, now));
            }
            if kill_at.is_some_and(|time| now >= time) {
                descendants::kill_all();
                kill_at = Some(now + GRACE);
            }
            std::thread::sleep(INTERVAL);
        }
    }
}

/// Tells a program to end, and returns when it is to be killed.
fn end(pid: Pid, why: Stopped, now: Instant) -> Instant {
    match why {
        // A process that is gone already needs no signal.
        Stopped::Time | Stopped::Told => {
            let _ = killpg(pid, Signal::SIGTERM);
            now + GRACE
        }
        // Every second of grace is one in which it takes more.
        Stopped::Disk | Stopped::FileSize | Stopped::Processes => {
            descendants::kill_all();
            now
        }
    }
}

/// Starts a program. Blocked signals are inherited, so they are let through while it is made.
fn spawn_with_default_signals(command: &mut Command) -> std::io::Result<Child> {
    signals::mask().thread_unblock()?;
    let child = command.spawn();
    signals::mask().thread_block()?;
    child
}

fn takes_too_much(limits: &Limits) -> Option<Stopped> {
    if descendants::all().len() > MOST_PROCESSES {
        return Some(Stopped::Processes);
    }
    let disk = limits.disk.as_ref()?;
    (disk.usage().bytes > disk.bytes).then_some(Stopped::Disk)
}

/// Returns the limit that a program reached which has ended by itself.
///
/// A program can reach a limit and end between two looks, and the faster the machine is, the more often it does. So what
/// is left of it tells, not who looked first.
fn limit_reached(
    exit_code: Option<i32>,
    signal: Option<i32>,
    left_behind: usize,
    usage: Option<(&DiskLimit, Usage)>,
) -> Option<Stopped> {
    if left_behind > MOST_PROCESSES {
        return Some(Stopped::Processes);
    }
    let (disk, usage) = usage?;
    if usage.bytes > disk.bytes {
        return Some(Stopped::Disk);
    }
    let most = disk.file_bytes?;
    // The kernel lets a file grow up to the limit. A program that ignores the signal gets an error then.
    let is_full = exit_code != Some(0) && usage.largest_file == most;
    (is_full || ended_by(SIGXFSZ, exit_code, signal)).then_some(Stopped::FileSize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_that_a_program_reached_is_known_from_what_it_left() {
        let disk = DiskLimit { folders: Vec::new(), bytes: 1000, file_bytes: Some(100) };
        let reached = |exit_code, signal, left_behind, bytes, largest_file| {
            limit_reached(exit_code, signal, left_behind, Some((&disk, Usage { bytes, largest_file })))
        };
        for (exit_code, signal) in [(Some(0), None), (Some(1), None), (None, Some(SIGXFSZ))] {
            assert_eq!(reached(exit_code, signal, 0, 1001, 100), Some(Stopped::Disk));
            assert_eq!(reached(exit_code, signal, MOST_PROCESSES + 1, 1001, 100), Some(Stopped::Processes));
        }
        assert_eq!(reached(None, Some(SIGXFSZ), 0, 1000, 10), Some(Stopped::FileSize), "by the signal");
        assert_eq!(reached(Some(128 + SIGXFSZ), None, 0, 1000, 10), Some(Stopped::FileSize), "by its shell's word");
        assert_eq!(reached(Some(1), None, 0, 1000, 100), Some(Stopped::FileSize), "by the file, the signal ignored");
        assert_eq!(reached(Some(0), None, 0, 1000, 100), None, "it wrote no more than it may");
        assert_eq!(reached(Some(1), None, MOST_PROCESSES, 1000, 101), None, "a larger file was there before");
        assert_eq!(limit_reached(None, Some(SIGXFSZ), 0, None), None, "somebody else's limit");
    }
}
