//! Runs the program against an API server that knows a few answers.

#![expect(clippy::unwrap_used, reason = "a helper of a test that cannot go on has failed")]
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::future::ready;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use manyworlds_test_support::{Answer, ApiServer, kubeconfig};

/// The answers of the API server by method and path.
pub type Answers = fn(method: &str, path: &str) -> (u16, String);

/// A folder of its own for each test, removed at its end.
pub struct Folder(PathBuf);

impl Folder {
    /// Makes the folder of a test.
    pub fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kubectl-worlds-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes a file and returns its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Writes a kubeconfig for an API server.
    pub fn kubeconfig(&self, url: &str) -> String {
        self.file("kubeconfig", &kubeconfig(url))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that is left in the temporary one does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Starts an API server.
pub fn api_server(answers: Answers) -> ApiServer {
    ApiServer::start(move |call| {
        let (code, text) = answers(call.method.as_str(), &call.path);
        ready(Answer::Text(code.try_into().unwrap(), text))
    })
    .unwrap()
}

/// Runs the program without a cluster of its own.
pub fn run(arguments: &[&str]) -> Output {
    command(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Runs the program with a terminal as its output, and returns what a person would get.
pub fn run_in_terminal(arguments: &[&str]) -> Output {
    let mut python = Command::new("python3");
    python.args(["-c", "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"]);
    python.arg(env!("CARGO_BIN_EXE_kubectl-worlds")).args(arguments);
    without_cluster(&mut python).stdin(Stdio::null()).output().unwrap()
}

/// Runs the program with a text on its standard input.
pub fn run_with_input(arguments: &[&str], input: &str) -> Output {
    let mut child =
        command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-worlds"));
    without_cluster(command.args(arguments));
    command
}

fn without_cluster(command: &mut Command) -> &mut Command {
    command.env_remove("MANYWORLDS_TOKEN").env("KUBECONFIG", "/nonexistent").env("HOME", "/nonexistent")
}

/// Returns what the program wrote: standard output, then standard error.
pub fn written(output: &Output) -> (String, String) {
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}
