//! Running commands in the worktree, with an end and a bounded output.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use manyworlds_masking::Filter;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::text::clean;

/// How much of the output the model sees: the first and the last part.
const SHOWN: usize = 12_000;
/// How often it is looked whether the command has ended.
const LOOK: Duration = Duration::from_millis(20);

/// How a command ended.
#[derive(Clone, Debug)]
pub(in crate::coder) struct Ran {
    pub(in crate::coder) exit_code: Option<i32>,
    pub(in crate::coder) output: String,
    timed_out: bool,
}

impl Ran {
    pub(in crate::coder) fn succeeded(&self) -> bool {
        self.exit_code == Some(0)
    }

    pub(in crate::coder) fn said(&self) -> String {
        let how = match (self.timed_out, self.exit_code) {
            (true, _) => "it took too long and was ended".to_owned(),
            (false, Some(code)) => format!("exit code {code}"),
            (false, None) => "a signal ended it".to_owned(),
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
        timed_out: false,
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
    let mut output = tempfile::tempfile()?;
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(worktree)
        .env_clear()
        .envs(kept_environment())
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .process_group(0)
        .spawn()?;
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    let end = Instant::now() + time;
    let (status, timed_out) = loop {
        if let Some(status) = child.try_wait()? {
            break (status, false);
        }
        if Instant::now() >= end {
            // A group that has gone by itself needs no signal.
            let _ = killpg(group, Signal::SIGKILL);
            break (child.wait()?, true);
        }
        sleep(LOOK);
    };
    // What it started and left behind ends with it.
    let _ = killpg(group, Signal::SIGKILL);
    Ok(Ran { exit_code: status.code(), output: shown(&mut output)?, timed_out })
}

/// The model's commands see neither the gateway's token nor anything else of the worker's own.
fn kept_environment() -> impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)> {
    let hidden = ["KEY", "TOKEN", "SECRET", "PASSWORD"];
    std::env::vars_os().filter(move |(name, _)| {
        let name = name.to_string_lossy();
        !hidden.iter().any(|word| name.contains(word)) && !name.starts_with("MANYWORLDS_")
    })
}

fn shown(output: &mut File) -> std::io::Result<String> {
    let length = output.seek(SeekFrom::End(0))?;
    let half = u64::try_from(SHOWN / 2).unwrap_or(u64::MAX);
    let mut read = |from: u64, most: u64| -> std::io::Result<String> {
        output.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        output.take(most).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = if length <= half * 2 {
        read(0, length)?
    } else {
        let left_out = length - half * 2;
        format!("{}\n[{left_out} bytes were left out]\n{}", read(0, half)?, read(length - half, half)?)
    };
    Ok(Filter::by_pattern().masked(&clean(&text)))
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
        assert!(ran.output.starts_with("first") && ran.output.ends_with("last\n") && ran.output.len() < SHOWN + 100);
    }
}
