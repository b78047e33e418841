//! Calls git so that nothing in a repository, a worktree or the machine's settings can make it do more than it is told.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use manyworlds_api::conditions::Reason;
use manyworlds_api::result::FailureClass;

use crate::process::{Bounds, Capture, Program, Stop, Stream};
use crate::programs;
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
    "core.protectHFS=true",
    "core.protectNTFS=true",
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

/// Attributes that stand above those of the tree: a tree must not choose how its own change is read, counted or shown.
/// With `* -diff` in it a change of any size would have no lines.
const ATTRIBUTES: &str = "* !text !eol !crlf !ident !filter !diff !merge !working-tree-encoding !whitespace\n";
/// The longest time of one call. A fetch has to fit the ten minutes that a pod has for `prepare`.
const TIMEOUT: Duration = Duration::from_mins(8);
/// The most bytes that one call may print; the patch of the largest change that is accepted has fewer.
const OUTPUT_BYTES: u64 = 256 * 1024 * 1024;

/// Name of the file in which git notes where a history begins that is not complete.
pub(crate) const SHALLOW_FILE: &str = "shallow";

/// A call of git.
#[derive(Debug)]
pub(crate) struct Git {
    command: Command,
    words: String,
    input: Option<File>,
    /// Whether there is a git that nothing in the pod can have put there.
    is_found: bool,
}

/// Refuses an image without git before any time is spent in it.
pub(crate) fn require() -> Result<(), StageError> {
    Git::new(Path::new("/"), ["--version"]).run().map(drop).map_err(Into::into)
}

/// Makes a repository whose objects are its own and whose history is the mirror's.
///
/// - **Guarantees:** nothing in a tree can alter how git reads it: attributes of the tree do not count.
pub(crate) fn make_repository<S: AsRef<OsStr>>(
    folder: &Path,
    mirror: &Path,
    git_directory: &Path,
    options: impl IntoIterator<Item = S>,
) -> Result<(), StageError> {
    let put = |path: &Path, text: &str| {
        let parent = path.parent().unwrap_or(git_directory);
        fs::create_dir_all(parent).and_then(|()| fs::write(path, text)).map_err(|error| StageError::file(path, &error))
    };
    fs::create_dir_all(folder).map_err(|error| StageError::file(folder, &error))?;
    let words = ["init", "--quiet", "--template="].map(|word| OsStr::new(word).to_owned());
    let options = options.into_iter().map(|option| option.as_ref().to_owned());
    Git::new(folder, words.into_iter().chain(options)).run()?;
    put(&git_directory.join("objects/info/alternates"), &format!("{}\n", mirror.join("objects").display()))?;
    put(&git_directory.join("info/attributes"), ATTRIBUTES)?;
    let (beginning, copy) = (mirror.join(SHALLOW_FILE), git_directory.join(SHALLOW_FILE));
    if beginning != copy && beginning.exists() {
        fs::copy(&beginning, &copy).map_err(|error| StageError::file(&copy, &error))?;
    }
    Ok(())
}

/// Makes a file without a name for git to read from.
pub(crate) fn input(folder: &Path, bytes: &[u8]) -> Result<File, StageError> {
    let made = tempfile::tempfile_in(folder).and_then(|mut file| {
        file.write_all(bytes)?;
        file.rewind()?;
        Ok(file)
    });
    made.map_err(|error| StageError::file(folder, &error))
}

impl Git {
    /// A call in a folder.
    ///
    /// - **Guarantees:** git is the image's own, and so is every program that it starts by its name, whatever a worker or a
    ///   gate has put into the folders of `PATH`.
    pub(crate) fn new<S: AsRef<OsStr>>(directory: &Path, arguments: impl IntoIterator<Item = S>) -> Self {
        let folders = programs::fixed_folders();
        let program = programs::find("git", &folders);
        let mut command = Command::new(program.as_deref().unwrap_or(Path::new("git")));
        command.env_clear().current_dir(directory);
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
        // Folders that come out of a PATH fit into one.
        command.env("PATH", std::env::join_paths(&folders).unwrap_or_default());
        for setting in SETTINGS {
            command.arg("-c").arg(setting);
        }
        let mut words = String::from("git");
        for argument in arguments {
            words = format!("{words} {}", argument.as_ref().to_string_lossy());
            command.arg(argument);
        }
        Self { command, words, input: None, is_found: program.is_some() }
    }

    /// Appends an argument that is no text, such as the name of a file.
    pub(crate) fn argument(mut self, argument: &OsStr) -> Self {
        self.words = format!("{} {}", self.words, argument.to_string_lossy());
        self.command.arg(argument);
        self
    }

    /// Gives it a file to read as its standard input, from where that file stands.
    pub(crate) fn with_input(mut self, input: File) -> Self {
        self.input = Some(input);
        self
    }

    /// Uses a git folder that is not in the worktree, so that nothing the worktree has there counts.
    pub(crate) fn with_git_directory(mut self, git: &Path, worktree: &Path) -> Self {
        self.command.env("GIT_DIR", git).env("GIT_WORK_TREE", worktree);
        self
    }

    /// Lets it find the programs that it starts in every folder of the image's `PATH`: ssh may be anywhere. To be called where
    /// no worker and no gate has run.
    pub(crate) fn with_whole_path(mut self) -> Self {
        self.command.env("PATH", programs::path());
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Has another program start it, which takes what it is to start as its further arguments.
    pub(crate) fn started_by(mut self, mut starter: Command) -> Self {
        starter.arg(self.command.get_program()).args(self.command.get_args()).env_clear();
        for (name, value) in self.command.get_envs() {
            if let Some(value) = value {
                starter.env(name, value);
            }
        }
        if let Some(directory) = self.command.get_current_dir() {
            starter.current_dir(directory);
        }
        self.command = starter;
        self
    }

    /// Runs it and returns what it printed.
    ///
    /// # Errors
    ///
    /// With what git said when it failed.
    pub(crate) fn run(self) -> Result<Vec<u8>, GitError> {
        let Self { command, words, input, is_found } = self;
        if !is_found {
            return Err(GitError::NotRun(missing()));
        }
        let bounds = Bounds { time: TIMEOUT, output_bytes: Some(OUTPUT_BYTES), disk: None };
        let program = Program::new(command, bounds);
        let program = match input {
            Some(input) => program.with_input(input),
            None => program,
        };
        let completed = program.run(Bytes::default()).map_err(|error| GitError::NotRun(not_started(&error)))?;
        if let Some(stopped) = completed.stopped {
            return Err(GitError::NotRun(unfinished(stopped)));
        }
        if completed.succeeded() {
            Ok(completed.output.output)
        } else {
            let said = clean(String::from_utf8_lossy(&completed.output.error).trim());
            Err(GitError::Failed { words, said })
        }
    }

    /// Runs it and returns the one line that it printed.
    pub(crate) fn line(self) -> Result<String, GitError> {
        Ok(String::from_utf8_lossy(&self.run()?).trim().to_owned())
    }
}

/// Reads the paths that git lists with `-z`.
///
/// - **Guarantees:** each is as it is on the disk: a name may be of any bytes, and two that differ stay two.
pub(crate) fn paths(listed: &[u8]) -> Vec<PathBuf> {
    let names = listed.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(|name| PathBuf::from(OsStr::from_bytes(name))).collect()
}

fn not_started(error: &std::io::Error) -> StageError {
    StageError::new(FailureClass::Spec, Reason::InvalidSpecification, format!("git could not be run: {error}"))
}

fn missing() -> StageError {
    let message = "the image has no git in a folder of PATH that its user cannot change; use an image with git for worker.image and evaluation.image";
    StageError::new(FailureClass::Spec, Reason::InvalidSpecification, message)
}

fn unfinished(stopped: Stop) -> StageError {
    let why = match stopped {
        Stop::OutputLimit => format!("it printed more than {} MiB", OUTPUT_BYTES >> 20),
        _ => format!("it took more than {TIMEOUT:?}"),
    };
    let message = format!("git did not come to an end: {why}");
    StageError::new(FailureClass::Infrastructure, Reason::Unexpected, message)
}

/// Keeps all that git prints.
#[derive(Debug, Default)]
struct Bytes {
    output: Vec<u8>,
    error: Vec<u8>,
}

impl Capture for Bytes {
    type Output = Self;

    fn push(&mut self, stream: Stream, bytes: &[u8]) {
        match stream {
            Stream::Output => self.output.extend_from_slice(bytes),
            Stream::Error => self.error.extend_from_slice(bytes),
        }
    }

    fn finish(self) -> Self {
        self
    }
}

/// An error of a call of git.
#[derive(Debug)]
pub(crate) enum GitError {
    /// Git could not be run, or did not come to an end.
    NotRun(StageError),
    /// Git failed and said why.
    Failed {
        /// The call, with its arguments.
        words: String,
        /// Git's words.
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
