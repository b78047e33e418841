//! Running commands in the worktree, with an end and a bounded output.

use std::io::{ErrorKind, PipeReader, Read, pipe};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use manyworlds_masking::Filter;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::text::clean;

/// How much of the output the model sees of each, the first and the last part. No more is kept.
const SHOWN_OF_EACH: usize = 6_000;
/// A command that prints more than so many MiB is ended.
const MOST_MEBIBYTES: u64 = 64;
/// What is read at once.
const PART: usize = 64 * 1024;
/// How many parts are read when the command has ended: no pipe holds more. Who has left its group may print for ever.
const PARTS_LEFT: usize = 16;
/// How often it is looked whether the command has ended, in milliseconds.
const LOOK_MILLISECONDS: u16 = 20;

/// How a command ended.
#[derive(Clone, Debug)]
pub(in crate::coder) struct Ran {
    pub(in crate::coder) exit_code: Option<i32>,
    pub(in crate::coder) output: String,
    end: End,
}

#[derive(Clone, Copy, Debug)]
enum End {
    ByItself,
    TookTooLong,
    PrintedTooMuch,
}

impl Ran {
    pub(in crate::coder) fn succeeded(&self) -> bool {
        self.exit_code == Some(0)
    }

    pub(in crate::coder) fn said(&self) -> String {
        let how = match (self.end, self.exit_code) {
            (End::TookTooLong, _) => "it took too long and was ended".to_owned(),
            (End::PrintedTooMuch, _) => format!("it printed more than {MOST_MEBIBYTES} MiB and was ended"),
            (End::ByItself, Some(code)) => format!("exit code {code}"),
            (End::ByItself, None) => "a signal ended it".to_owned(),
        };
        format!("[{how}]\n{}", self.output)
    }
}

pub(in crate::coder) fn run_shell(worktree: &Path, command: &str, time: Duration) -> Ran {
    run_program(worktree, &["sh".to_owned(), "-c".to_owned(), command.to_owned()], time)
}

pub(in crate::coder) fn run_program(worktree: &Path, command: &[String], time: Duration) -> Ran {
    let failed = |error: &std::io::Error| Ran {
        exit_code: None,
        output: format!("it could not be run: {error}"),
        end: End::ByItself,
    };
    match run(worktree, command, time) {
        Ok(ran) => ran,
        Err(error) => failed(&error),
    }
}

fn run(worktree: &Path, command: &[String], time: Duration) -> std::io::Result<Ran> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(std::io::Error::other("the command is empty"));
    };
    // Not a file: nobody would see how it fills the disk.
    let (reader, writer) = pipe()?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(worktree)
        .env_clear()
        .envs(kept_environment())
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .spawn()?;
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    let latest = Instant::now() + time;
    let mut printed = Printed::new(reader);
    let (status, end) = loop {
        if let Some(status) = child.try_wait()? {
            break (status, End::ByItself);
        }
        let end = if printed.length > MOST_MEBIBYTES << 20 {
            End::PrintedTooMuch
        } else if Instant::now() >= latest {
            End::TookTooLong
        } else {
            printed.wait();
            continue;
        };
        // A group that has gone by itself needs no signal.
        let _ = killpg(group, Signal::SIGKILL);
        break (child.wait()?, end);
    };
    // What it started and left behind ends with it.
    let _ = killpg(group, Signal::SIGKILL);
    (0..PARTS_LEFT).for_each(|_| printed.read());
    Ok(Ran { exit_code: status.code(), output: printed.shown(), end })
}

/// The model's commands see neither the gateway's token nor anything else of the worker's own.
fn kept_environment() -> impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)> {
    let hidden = ["KEY", "TOKEN", "SECRET", "PASSWORD"];
    std::env::vars_os().filter(move |(name, _)| {
        let name = name.to_string_lossy();
        !hidden.iter().any(|word| name.contains(word)) && !name.starts_with("MANYWORLDS_")
    })
}

/// What a command prints, of which the first and the last part are kept.
struct Printed {
    /// Nothing once nobody prints any more.
    reader: Option<PipeReader>,
    part: Vec<u8>,
    first: Vec<u8>,
    last: Vec<u8>,
    length: u64,
}

impl Printed {
    fn new(reader: PipeReader) -> Self {
        Self { reader: Some(reader), part: vec![0; PART], first: Vec::new(), last: Vec::new(), length: 0 }
    }

    /// Reads what comes within a moment.
    fn wait(&mut self) {
        let Some(reader) = &self.reader else {
            sleep(Duration::from_millis(LOOK_MILLISECONDS.into()));
            return;
        };
        let mut awaited = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
        // Where waiting is interrupted there is nothing yet.
        let _ = poll(&mut awaited, PollTimeout::from(LOOK_MILLISECONDS));
        self.read();
    }

    /// Reads what is there.
    fn read(&mut self) {
        let Some(reader) = &mut self.reader else { return };
        match reader.read(&mut self.part) {
            Ok(0) => self.reader = None,
            Ok(read) => self.keep(read),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.reader = None,
        }
    }

    fn keep(&mut self, read: usize) {
        self.length = self.length.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        let room = SHOWN_OF_EACH - self.first.len();
        let (first, rest) = self.part[..read].split_at(room.min(read));
        self.first.extend_from_slice(first);
        self.last.extend_from_slice(&rest[rest.len().saturating_sub(SHOWN_OF_EACH)..]);
        self.last.drain(..self.last.len().saturating_sub(SHOWN_OF_EACH));
    }

    fn shown(mut self) -> String {
        let kept = u64::try_from(self.first.len() + self.last.len()).unwrap_or(u64::MAX);
        let left_out = self.length.saturating_sub(kept);
        if left_out > 0 {
            self.first.extend_from_slice(format!("\n[{left_out} bytes were left out]\n").as_bytes());
        }
        self.first.append(&mut self.last);
        Filter::by_pattern().masked(&clean(&String::from_utf8_lossy(&self.first)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_says_how_it_ended_and_what_it_printed() {
        let folder = tempfile::tempdir().unwrap();
        let ran = run_shell(folder.path(), "echo one; echo two >&2; exit 3", Duration::from_secs(10));
        assert_eq!((ran.said().as_str(), ran.succeeded()), ("[exit code 3]\none\ntwo\n", false));
        let missing = run_program(folder.path(), &["no-such-program".to_owned()], Duration::from_secs(1));
        assert!(!missing.succeeded() && missing.said().contains("could not be run"));
    }

    #[test]
    fn what_takes_too_long_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let ran = run_shell(folder.path(), "sleep 60 & sleep 60", Duration::from_millis(300));
        assert!(ran.said().contains("took too long"), "{}", ran.said());
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_flood_is_cut_in_the_middle() {
        let folder = tempfile::tempdir().unwrap();
        let ran = run_shell(folder.path(), "echo first; seq 100000; echo last", Duration::from_secs(20));
        assert!(
            ran.output.starts_with("first")
                && ran.output.ends_with("last\n")
                && ran.output.len() < 2 * SHOWN_OF_EACH + 100
        );
    }

    #[test]
    fn what_prints_too_much_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let ran = run_shell(folder.path(), "yes & yes", Duration::from_mins(1));
        assert!(ran.said().starts_with("[it printed more than 64 MiB and was ended]\ny\ny\n"), "{}", ran.said());
        assert!(!ran.succeeded() && ran.output.len() < 2 * SHOWN_OF_EACH + 100);
        assert!(begun.elapsed() < Duration::from_secs(50));
    }

    #[test]
    fn what_closes_its_output_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let ran = run_shell(folder.path(), "echo said; exec >&- 2>&-; sleep 0.1; exit 3", Duration::from_secs(10));
        assert_eq!(ran.said(), "[exit code 3]\nsaid\n");
    }
}
