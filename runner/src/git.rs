//! Calls git so that nothing in a repository, a worktree or the machine's settings can make it do more than it is told.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

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
/// How long one call may take. A fetch has to fit the time that a pod has for `prepare`, ten minutes.
const TIMEOUT: Duration = Duration::from_mins(8);
/// The most bytes of what git prints that are read; the patch of the largest change that is accepted has fewer.
const OUTPUT_BYTES: u64 = 256 * 1024 * 1024;

/// A call of git.
#[derive(Debug)]
pub(crate) struct Git {
    command: Command,
    words: String,
}

/// Refuses an image without git before any time is spent in it.
pub(crate) fn require() -> Result<(), StageError> {
    Git::new(Path::new("/"), ["--version"]).output().map(drop)
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
    put(&git_directory.join("info/attributes"), ATTRIBUTES)
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
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.command.spawn().map_err(|error| {
            let message = if error.kind() == std::io::ErrorKind::NotFound {
                "the image has no git; use an image with git for worker.image and evaluation.image".to_owned()
            } else {
                format!("git could not be run: {error}")
            };
            StageError::new(FailureClass::Spec, Reason::InvalidSpecification, message)
        })?;
        wait(child).map_err(|error| {
            let message = format!("git did not come to an end: {error}");
            StageError::new(FailureClass::Infrastructure, Reason::Unexpected, message)
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

/// Waits for a call to end, and ends it when its time is over.
fn wait(mut child: Child) -> std::io::Result<Output> {
    let deadline = Instant::now() + TIMEOUT;
    let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let left = || deadline.saturating_duration_since(Instant::now());
    let (Ok(stdout), Ok(stderr)) = (stdout.recv_timeout(left()), stderr.recv_timeout(left())) else {
        child.kill()?;
        child.wait()?;
        return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, format!("it took more than {TIMEOUT:?}")));
    };
    Ok(Output { status: child.wait()?, stdout, stderr })
}

/// Reads a stream to its end, on a thread of its own.
fn drain(stream: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(stream) = stream {
            // What was read until an error counts; git's exit code tells whether it was all.
            let _ = stream.take(OUTPUT_BYTES).read_to_end(&mut bytes);
        }
        // Nobody waits for it any more once the time is over.
        let _ = sender.send(bytes);
    });
    receiver
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
