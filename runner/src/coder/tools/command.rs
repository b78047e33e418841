//! Runs the commands of the model and the checks in the worktree.

use std::time::Duration;

use manyworlds_masking::Filter;

use crate::coder::workplace::Workplace;
use crate::process::{Bounds, Capture, Completed, Program, Stop, Stream};
use crate::text::clean;

/// The most bytes of the first part, and of the last part, of the output that are kept for the model.
const SHOWN_OF_EACH: usize = 6_000;
/// The most MiB that a command may print.
const MOST_MEBIBYTES: u64 = 64;

/// The result of a command.
#[derive(Clone, Debug)]
pub(in crate::coder) struct CommandResult {
    /// Its end, in words.
    ending: String,
    succeeded: bool,
    output: String,
}

impl CommandResult {
    pub(in crate::coder) fn succeeded(&self) -> bool {
        self.succeeded
    }

    /// Returns the text that the model gets.
    pub(in crate::coder) fn text(&self) -> String {
        format!("[{}]\n{}", self.ending, self.output)
    }
}

/// Runs a line of a shell.
pub(in crate::coder) fn run_shell(workplace: &Workplace, command: &str, time: Duration) -> CommandResult {
    run_program(workplace, &["sh".to_owned(), "-c".to_owned(), command.to_owned()], time)
}

/// Runs a program with its arguments.
pub(in crate::coder) fn run_program(workplace: &Workplace, command: &[String], time: Duration) -> CommandResult {
    match run(workplace, command, time) {
        Ok(completed) => {
            CommandResult { ending: ending(&completed), succeeded: completed.succeeded(), output: completed.output }
        }
        Err(error) => {
            let ending = format!("it could not be run: {error}");
            CommandResult { ending, succeeded: false, output: String::new() }
        }
    }
}

fn run(workplace: &Workplace, command: &[String], time: Duration) -> std::io::Result<Completed<String>> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(std::io::Error::other("the command is empty"));
    };
    let mut command = workplace.command(program);
    command.args(arguments).envs(kept_environment());
    let bounds = Bounds { time, output_bytes: Some(MOST_MEBIBYTES << 20), disk: None };
    Program::new(command, bounds).with_streams_merged().run(Ends::default())
}

fn ending(completed: &Completed<String>) -> String {
    match (completed.stopped, completed.exit_code) {
        (Some(Stop::OutputLimit), _) => format!("it printed more than {MOST_MEBIBYTES} MiB and was ended"),
        (Some(_), _) => "it took too long and was ended".to_owned(),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => "a signal ended it".to_owned(),
    }
}

/// Returns the environment of the model's commands: neither the gateway's token nor anything else of the worker's own.
fn kept_environment() -> impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)> {
    let hidden = ["KEY", "TOKEN", "SECRET", "PASSWORD"];
    std::env::vars_os().filter(move |(name, _)| {
        let name = name.to_string_lossy();
        !hidden.iter().any(|word| name.contains(word)) && !name.starts_with("MANYWORLDS_")
    })
}

/// Keeps the first and the last part of what a command prints.
#[derive(Debug, Default)]
struct Ends {
    first: Vec<u8>,
    last: Vec<u8>,
    /// Bytes of all of it.
    length: usize,
}

impl Capture for Ends {
    type Output = String;

    fn push(&mut self, _: Stream, bytes: &[u8]) {
        self.length = self.length.saturating_add(bytes.len());
        let room = SHOWN_OF_EACH - self.first.len();
        let (first, rest) = bytes.split_at(room.min(bytes.len()));
        self.first.extend_from_slice(first);
        self.last.extend_from_slice(&rest[rest.len().saturating_sub(SHOWN_OF_EACH)..]);
        self.last.drain(..self.last.len().saturating_sub(SHOWN_OF_EACH));
    }

    fn finish(mut self) -> String {
        let left_out = self.length.saturating_sub(self.first.len() + self.last.len());
        if left_out > 0 {
            self.first.extend_from_slice(format!("\n[{left_out} bytes were left out]\n").as_bytes());
        }
        self.first.append(&mut self.last);
        Filter::by_pattern().masked(&clean(&String::from_utf8_lossy(&self.first)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_command_says_how_it_ended_and_what_it_printed() {
        let folder = tempfile::tempdir().unwrap();
        let ran =
            run_shell(&Workplace::unconfined(folder.path()), "echo one; echo two >&2; exit 3", Duration::from_secs(10));
        assert_eq!((ran.text().as_str(), ran.succeeded()), ("[exit code 3]\none\ntwo\n", false));
        let missing =
            run_program(&Workplace::unconfined(folder.path()), &["no-such-program".to_owned()], Duration::from_secs(1));
        assert!(!missing.succeeded() && missing.text().contains("could not be run"));
    }

    #[test]
    fn what_takes_too_long_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let ran = run_shell(&Workplace::unconfined(folder.path()), "sleep 60 & sleep 60", Duration::from_millis(300));
        assert!(ran.text().contains("took too long"), "{}", ran.text());
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_flood_is_cut_in_the_middle() {
        let folder = tempfile::tempdir().unwrap();
        let ran = run_shell(
            &Workplace::unconfined(folder.path()),
            "echo first; seq 100000; echo last",
            Duration::from_secs(20),
        );
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
        let ran = run_shell(&Workplace::unconfined(folder.path()), "yes & yes", Duration::from_mins(1));
        assert!(ran.text().starts_with("[it printed more than 64 MiB and was ended]\ny\ny\n"), "{}", ran.text());
        assert!(!ran.succeeded() && ran.output.len() < 2 * SHOWN_OF_EACH + 100);
        assert!(begun.elapsed() < Duration::from_secs(50));
    }

    #[test]
    fn what_closes_its_output_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let ran = run_shell(
            &Workplace::unconfined(folder.path()),
            "echo said; exec >&- 2>&-; sleep 0.1; exit 3",
            Duration::from_secs(10),
        );
        assert_eq!(ran.text(), "[exit code 3]\nsaid\n");
    }
}
