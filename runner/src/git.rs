//! Calls git so that nothing in a repository, a worktree or the machine's settings can make it do more than it is told.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use manyworlds_api::conditions::Reason;
use manyworlds_api::result::FailureClass;

use crate::stage::StageError;
use crate::text::clean;

/// Settings that hold for every call: no hooks, no helpers, no filters, no foreign protocols.
const SETTINGS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.autocrlf=false",
    "core.symlinks=true",
    "credential.helper=",
    "diff.external=",
    "filter.lfs.smudge=",
    "filter.lfs.process=",
    "filter.lfs.required=false",
    "protocol.allow=never",
    "protocol.https.allow=always",
    "protocol.http.allow=always",
    "protocol.ssh.allow=always",
    "protocol.file.allow=always",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "advice.detachedHead=false",
    "safe.directory=*",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
];

/// A call of git.
#[derive(Debug)]
pub(crate) struct Git {
    command: Command,
    words: String,
}

impl Git {
    /// A call in a folder.
    pub(crate) fn new<S: AsRef<OsStr>>(directory: &Path, arguments: impl IntoIterator<Item = S>) -> Self {
        let mut command = Command::new("git");
        command.env_clear().current_dir(directory).stdin(Stdio::null());
        for (name, value) in [
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", "/bin/false"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_AUTHOR_NAME", "Manyworlds"),
            ("GIT_AUTHOR_EMAIL", "worlds@manyworlds.dev"),
            ("GIT_COMMITTER_NAME", "Manyworlds"),
            ("GIT_COMMITTER_EMAIL", "worlds@manyworlds.dev"),
            ("LC_ALL", "C"),
            ("HOME", "/nonexistent"),
        ] {
            command.env(name, value);
        }
        command.env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into()));
        for setting in SETTINGS {
            command.arg("-c").arg(setting);
        }
        let mut words = String::from("git");
        for argument in arguments {
            words = format!("{words} {}", argument.as_ref().to_string_lossy());
            command.arg(argument);
        }
        Self { command, words }
    }

    /// Uses a git folder that is not in the worktree, so that nothing the worktree has there counts.
    pub(crate) fn with_git_directory(mut self, git: &Path, worktree: &Path) -> Self {
        self.command.env("GIT_DIR", git).env("GIT_WORK_TREE", worktree);
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it, whatever comes of it.
    pub(crate) fn output(mut self) -> Result<Output, StageError> {
        self.command.output().map_err(|error| {
            let message = if error.kind() == std::io::ErrorKind::NotFound {
                "the image has no git; use an image with git for worker.image and evaluation.image".to_owned()
            } else {
                format!("git could not be run: {error}")
            };
            StageError::new(FailureClass::Spec, Reason::InvalidSpecification, message)
        })
    }

    /// Runs it and returns what it printed.
    ///
    /// # Errors
    ///
    /// With what git said when it failed.
    pub(crate) fn run(self) -> Result<Vec<u8>, GitError> {
        let words = self.words.clone();
        let output = self.output().map_err(GitError::NotRun)?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            let said = clean(String::from_utf8_lossy(&output.stderr).trim());
            Err(GitError::Failed { words, said })
        }
    }

    /// Runs it and returns the one line that it printed.
    pub(crate) fn line(self) -> Result<String, GitError> {
        Ok(String::from_utf8_lossy(&self.run()?).trim().to_owned())
    }
}

/// Why a call of git came to nothing.
#[derive(Debug)]
pub(crate) enum GitError {
    /// It could not be run.
    NotRun(StageError),
    /// It failed, and said why.
    Failed {
        /// What was called.
        words: String,
        /// What it said.
        said: String,
    },
}

impl GitError {
    /// Returns what git said.
    pub(crate) fn said(&self) -> &str {
        match self {
            Self::NotRun(error) => &error.message,
            Self::Failed { said, .. } => said,
        }
    }
}

impl From<GitError> for StageError {
    fn from(error: GitError) -> Self {
        match error {
            GitError::NotRun(error) => error,
            GitError::Failed { words, said } => {
                let verb = words.split_whitespace().find(|word| !word.starts_with('-') && *word != "git");
                let message = format!("git {} failed: {said}", verb.unwrap_or_default());
                Self::new(FailureClass::Infrastructure, Reason::Unexpected, message)
            }
        }
    }
}
