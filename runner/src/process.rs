//! Runs a program that is not trusted: with a time limit, with its output bounded, and with nothing left of it after.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, getpid};

use crate::text::{LONGEST_LINE, clean};

/// How long a program has between being told to end and being killed.
const GRACE: Duration = Duration::from_secs(5);
/// How often it is looked at.
const INTERVAL: Duration = Duration::from_millis(10);
/// How often the disk that it fills is measured.
const DISK_INTERVAL: Duration = Duration::from_secs(1);

/// What a program may use.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// How long it may run.
    pub(crate) time: Duration,
    /// How many bytes of its output are kept.
    pub(crate) output_bytes: usize,
    /// Folders whose size is watched, and the most bytes in them together.
    pub(crate) disk: Option<(Vec<PathBuf>, u64)>,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Its exit code; absent when a signal ended it.
    pub(crate) exit_code: Option<i32>,
    /// Why it was ended before it ended by itself.
    pub(crate) stopped: Option<Stopped>,
    /// How long it ran.
    pub(crate) elapsed: Duration,
    /// What it printed, as far as it was kept.
    pub(crate) output: String,
    /// How many bytes it printed altogether.
    pub(crate) printed: usize,
    /// How many processes it left behind.
    pub(crate) left_behind: usize,
}

/// Why a program was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// Its time was over.
    Time,
    /// It filled the disk.
    Disk,
    /// The pod was told to end.
    Told,
}

/// Where output goes as it comes.
pub(crate) type Sink = Box<dyn FnMut(&str) + Send>;

/// Notices that the pod is told to end, also between programs.
#[derive(Debug)]
pub(crate) struct Supervisor {
    signals: SignalFd,
}

impl Supervisor {
    /// Takes over the signals of this process, and the orphans of its descendants.
    ///
    /// - **Guarantees:** from now on nobody but the kernel can read this process's memory or files under `/proc`.
    pub(crate) fn start() -> std::io::Result<Self> {
        prctl::set_dumpable(false)?;
        prctl::set_child_subreaper(true)?;
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGTERM);
        mask.add(Signal::SIGINT);
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { signals })
    }

    fn told_to_end(&self) -> bool {
        matches!(self.signals.read_signal(), Ok(Some(_)))
    }

    /// Runs a program to its end, whatever it does.
    pub(crate) fn run(&self, mut command: Command, limits: &Limits, sink: Sink) -> std::io::Result<Outcome> {
        use std::os::unix::process::CommandExt;
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = spawn_with_default_signals(&mut command)?;
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        let output = collect(&mut child, limits.output_bytes, sink);
        let (status, stopped) = self.watch(&mut child, pid, limits, started)?;
        let elapsed = started.elapsed();
        let left_behind = end_descendants();
        let (text, printed) = output.finish();
        Ok(Outcome { exit_code: status.code(), stopped, elapsed, output: text, printed, left_behind })
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
        let mut measure_at = started + DISK_INTERVAL;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok((status, stopped));
            }
            reap_orphans(pid);
            let now = Instant::now();
            if stopped.is_none() {
                stopped = if self.told_to_end() {
                    Some(Stopped::Told)
                } else if now.duration_since(started) >= limits.time {
                    Some(Stopped::Time)
                } else if now >= measure_at && fills_disk(limits) {
                    Some(Stopped::Disk)
                } else {
                    None
                };
                if now >= measure_at {
                    measure_at = now + DISK_INTERVAL;
                }
                if stopped.is_some() {
                    // A process that is gone already needs no signal.
                    let _ = killpg(pid, Signal::SIGTERM);
                    kill_at = Some(now + GRACE);
                }
            }
            if kill_at.is_some_and(|time| now >= time) {
                let _ = killpg(pid, Signal::SIGKILL);
                kill_at = Some(now + GRACE);
            }
            std::thread::sleep(INTERVAL);
        }
    }
}

/// Starts a program. Blocked signals are inherited, so they are let through while it is made.
fn spawn_with_default_signals(command: &mut Command) -> std::io::Result<Child> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGTERM);
    mask.add(Signal::SIGINT);
    mask.thread_unblock()?;
    let child = command.spawn();
    mask.thread_block()?;
    child
}

/// Takes leave of processes that ended and that nobody else waits for; the program itself is left to its own wait.
fn reap_orphans(program: Pid) {
    loop {
        let peek = waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT);
        match peek {
            Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _)) if pid != program => {
                let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
            }
            _ => return,
        }
    }
}

/// Ends everything that a program has left behind. Returns how many processes there were.
fn end_descendants() -> usize {
    let deadline = Instant::now() + GRACE;
    let mut ended = std::collections::HashSet::new();
    loop {
        while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status != WaitStatus::StillAlive) {}
        let children = children();
        if children.is_empty() || Instant::now() > deadline {
            return ended.len();
        }
        if getpid() == Pid::from_raw(1) {
            // In a namespace of our own this reaches everything but ourselves, at once.
            let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
        }
        for child in children {
            let _ = kill(child, Signal::SIGKILL);
            ended.insert(child);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Returns the children of this process, those included that it has inherited.
fn children() -> Vec<Pid> {
    let own = std::process::id();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| parent(*pid) == Some(own))
        .map(Pid::from_raw)
        .collect()
}

fn parent(pid: i32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may itself contain some.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn fills_disk(limits: &Limits) -> bool {
    limits
        .disk
        .as_ref()
        .is_some_and(|(folders, most)| folders.iter().map(|folder| size_of(folder)).sum::<u64>() > *most)
}

/// Returns how many bytes of disk the files of a folder take.
fn size_of(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut total = 0;
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if let Ok(metadata) = entry.metadata() {
                total += metadata.blocks() * 512;
                if metadata.is_dir() {
                    left.push(entry.path());
                }
            }
        }
    }
    total
}

struct Collected {
    kept: Arc<Mutex<String>>,
    done: Receiver<usize>,
    readers: usize,
}

impl Collected {
    fn finish(self) -> (String, usize) {
        let mut printed = 0;
        for _ in 0..self.readers {
            // Everything that could hold the pipe open has been ended, so this does not wait for long.
            printed += self.done.recv_timeout(GRACE).unwrap_or(0);
        }
        let kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        (kept, printed)
    }
}

/// Reads what a program prints, line by line, and passes on as much as may be kept.
fn collect(child: &mut Child, most: usize, sink: Sink) -> Collected {
    let kept = Arc::new(Mutex::new(String::new()));
    let sink = Arc::new(Mutex::new(sink));
    let (sender, done) = channel();
    let streams: Vec<Box<dyn Read + Send>> = [
        child.stdout.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
        child.stderr.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
    ]
    .into_iter()
    .flatten()
    .collect();
    let readers = streams.len();
    for stream in streams {
        let (kept, sink, sender) = (kept.clone(), sink.clone(), sender.clone());
        std::thread::spawn(move || read_lines(stream, most, &kept, &sink, &sender));
    }
    Collected { kept, done, readers }
}

fn read_lines(
    stream: Box<dyn Read + Send>,
    most: usize,
    kept: &Mutex<String>,
    sink: &Mutex<Sink>,
    done: &Sender<usize>,
) {
    let mut reader = BufReader::new(stream);
    let mut printed = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = u64::try_from(LONGEST_LINE).unwrap_or(u64::MAX);
        match reader.by_ref().take(limit).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(count) => printed += count,
        }
        let text = clean(String::from_utf8_lossy(&line).trim_end_matches('\n'));
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() + text.len() < most {
            kept.push_str(&text);
            kept.push('\n');
            drop(kept);
            (sink.lock().unwrap_or_else(PoisonError::into_inner))(&text);
        }
    }
    let _ = done.send(printed);
}

/// Returns a sink that prints each line and writes it to a file too.
pub(crate) fn to_log(mut file: File) -> Sink {
    Box::new(move |line| {
        crate::text::say(line);
        // A log that cannot be written must not end the work it is about.
        let _ = writeln!(file, "{line}");
    })
}
