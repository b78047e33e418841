//! Runs the program against an API server that knows a few answers.

#![expect(clippy::unwrap_used, reason = "a helper of a test that cannot go on has failed")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// What the API server answers to a method and a path.
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
    pub fn kubeconfig(&self, address: &str) -> String {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u, \
             namespace: team}}}}]\nclusters: [{{name: c, cluster: {{server: \"http://{address}\"}}}}]\nusers: [{{name: \
             u, user: {{token: secret}}}}]\n"
        );
        self.file("kubeconfig", &text)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that is left in the temporary one does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Starts an API server and returns its address. It ends with the test's process.
pub fn api_server(answers: Answers) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream, answers));
        }
    });
    address
}

fn answer(mut stream: TcpStream, answers: Answers) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or_default() == 0 || line.trim().is_empty() {
            break;
        }
        head.push(line);
    }
    let length =
        head.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or_default()];
    reader.read_exact(&mut body).unwrap();
    let request: Vec<&str> = head.first().map(|line| line.split(' ').collect()).unwrap_or_default();
    let [method, path, ..] = request.as_slice() else { return };
    let (code, text) = answers(method, path);
    let length = text.len();
    let head = format!(
        "HTTP/1.1 {code} x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    // The program may have ended before it read the answer.
    let _ = stream.write_all(format!("{head}{text}").as_bytes());
}

/// Runs the program without a cluster of its own.
pub fn run(arguments: &[&str]) -> Output {
    command(arguments).stdin(Stdio::null()).output().unwrap()
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
    command
        .args(arguments)
        .env_remove("MANYWORLDS_TOKEN")
        .env("KUBECONFIG", "/nonexistent")
        .env("HOME", "/nonexistent");
    command
}

/// Returns what the program wrote: standard output, then standard error.
pub fn written(output: &Output) -> (String, String) {
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}
