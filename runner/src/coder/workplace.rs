//! The worktree of a session, and the programs that run in it. None of them can read the gateway's token.
//!
//! A command of the model can have git start any program, by the settings and attributes of the repository. So git is kept from the
//! token in the same way as the model's commands are.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::git::Git;
use crate::judge::confine::FAILED;
use crate::judge::sealing::{TRIAL_TIME, own_program};
use crate::process::{Bounds, Program};
use crate::text::print_line;

/// The worktree, and what keeps its programs from the token.
#[derive(Debug)]
pub(super) struct Workplace {
    worktree: PathBuf,
    seclusion: Seclusion,
}

/// What keeps programs from the token.
#[derive(Debug)]
enum Seclusion {
    /// The runner's own program starts each of them, and takes the folder from itself first (Landlock). What is confined can also
    /// not look into a process that is not, such as this one.
    Confined { runner: PathBuf, hidden: PathBuf },
    /// The kernel cannot do that.
    None,
}

impl Workplace {
    /// Returns the workplace of a session, and says so where its programs can read the token.
    pub(super) fn new(worktree: PathBuf, token_file: &Path) -> Self {
        let seclusion = Seclusion::of(token_file).unwrap_or_else(|why| {
            print_line(&format!("coder: commands of the model can read the file of the gateway's token: {why}"));
            Seclusion::None
        });
        Self { worktree, seclusion }
    }

    /// Returns a workplace whose programs are not confined: the program that does it is not the one of unit tests.
    #[cfg(test)]
    pub(super) fn unconfined(worktree: &Path) -> Self {
        Self { worktree: worktree.to_owned(), seclusion: Seclusion::None }
    }

    pub(super) fn worktree(&self) -> &Path {
        &self.worktree
    }

    /// Returns a program with an environment of its own, to run in the worktree.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = self.seclusion.starter().map_or_else(
            || Command::new(program),
            |mut starter| {
                starter.arg(program);
                starter
            },
        );
        command.current_dir(&self.worktree).env_clear();
        command
    }

    /// Returns a call of git in the worktree.
    pub(super) fn git<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Git {
        let git = Git::new(&self.worktree, arguments);
        match self.seclusion.starter() {
            Some(starter) => git.started_by(starter),
            None => git,
        }
    }
}

impl Seclusion {
    /// Returns how programs are kept from a token, or why they cannot be.
    fn of(token_file: &Path) -> Result<Self, String> {
        let hidden = token_file.parent().unwrap_or(token_file).to_owned();
        let runner = own_program().map_err(|error| error.message)?;
        let confined = Self::Confined { runner, hidden };
        // Without a program to start, it tells whether the kernel can confine.
        let trial = confined.starter().map(|starter| Program::new(starter, Bounds::of_time(TRIAL_TIME)).run(()));
        match trial {
            Some(Ok(ended)) if ended.exit_code == Some(i32::from(FAILED)) => {
                Err("the kernel of the node has no Landlock".to_owned())
            }
            Some(Err(error)) => Err(error.to_string()),
            _ => Ok(confined),
        }
    }

    /// Returns the start of a command that starts another one, which is its further arguments.
    fn starter(&self) -> Option<Command> {
        let Self::Confined { runner, hidden } = self else { return None };
        let mut command = Command::new(runner);
        command.args(["confine", "--write", "/", "--hide"]).arg(hidden).arg("--");
        Some(command)
    }
}
