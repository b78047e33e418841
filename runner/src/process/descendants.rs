//! Finds and ends the descendants of this process.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, getpid};

/// The longest time that ending everything takes.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns whether a program has ended, and leaves it to be waited for.
pub(super) fn has_ended(program: Pid) -> bool {
    peek(Id::Pid(program)).is_some()
}

/// Reaps processes that ended and that nobody else waits for; the program itself is left to its own wait.
///
/// - **Shape:** `before` is called before each one is gone for good.
pub(super) fn reap_orphans(program: Pid, before: impl Fn()) {
    while let Some(ended) = peek(Id::All).filter(|ended| *ended != program) {
        before();
        let _ = waitpid(ended, Some(WaitPidFlag::WNOHANG));
    }
}

/// Returns a process that has ended and that is to be waited for.
fn peek(which: Id) -> Option<Pid> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    match waitid(which, flags) {
        Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _)) => Some(pid),
        _ => None,
    }
}

/// Ends everything that a program has left behind. Returns how many processes there were.
///
/// - **Shape:** `before` is called before any of them is gone for good.
pub(super) fn end_all(before: impl Fn()) -> usize {
    let deadline = Instant::now() + END_TIMEOUT;
    let mut ended = HashSet::new();
    loop {
        before();
        while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status != WaitStatus::StillAlive) {}
        let left = kill_all();
        if left.is_empty() || Instant::now() > deadline {
            return ended.len();
        }
        ended.extend(left);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Kills every process that comes from this one, and returns them; they are still to be waited for.
pub(super) fn kill_all() -> Vec<Pid> {
    let found = all();
    if !found.is_empty() && getpid() == Pid::from_raw(1) {
        // In a namespace of our own this reaches everything but ourselves, at once.
        let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
    }
    for process in &found {
        let _ = kill(*process, Signal::SIGKILL);
    }
    found
}

/// Returns every process that comes from this one, those included that it has inherited.
pub(super) fn all() -> Vec<Pid> {
    let own = std::process::id();
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(parent) = parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut left = vec![own];
    while let Some(process) = left.pop() {
        for child in children.remove(&process).unwrap_or_default() {
            found.push(Pid::from_raw(i32::try_from(child).unwrap_or(i32::MAX)));
            left.push(child);
        }
    }
    found
}

/// Returns whether a process comes from this one.
pub(super) fn descends_from_us(process: u32) -> bool {
    let own = std::process::id();
    std::iter::successors(Some(process), |process| parent(*process)).skip(1).any(|ancestor| ancestor == own)
}

fn parent(process: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name stands in brackets and may itself contain some.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok().filter(|parent| *parent != 0)
}
