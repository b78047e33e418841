//! A gateway in a process of its own, that can be killed.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::SystemTime;
use std::{env, fs};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::client;

/// The Budget that holds every call.
pub const BUDGET: &str = "budget/team";
/// The number of Worlds that may call: `token-<number>` is the token of the World `w<number>`.
pub const WORLDS: usize = 2000;
/// The number of orders that they belong to, in turn.
pub const ORDERS: usize = 4;

/// The files that outlive a process: the ledger, and the rules of who may do what.
pub struct Site {
    folder: TempDir,
}

impl Site {
    /// Returns a site whose gateways call one Provider, with these limits, at an address.
    pub fn new(upstream: &str, limits: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let caller = |number: usize| {
            let order = format!("o{}", number % ORDERS);
            (format!("token-{number}"), json!({"workOrder": order, "world": format!("w{number}")}))
        };
        let provider = json!({
            "protocol": "Anthropic", "baseUrl": upstream, "limits": limits, "retries": {"maxAttempts": 1},
            "models": [{"name": "scripted", "prices": {"input": "1.00", "output": "2.00"}}],
        });
        let config = json!({
            "ledger": folder.path().join("ledger.db"),
            "providers": {"p": {"key": "sk-test", "spec": provider}},
            "budgets": {"team": "1000.00"},
            "tokens": (0..WORLDS).map(caller).collect::<serde_json::Map<_, _>>(),
        });
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        Self { folder }
    }

    pub fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger.db")
    }

    /// Starts a gateway and waits until it listens.
    pub async fn start(&self) -> Process {
        let mut command = Command::new(program().await);
        command.arg(self.folder.path().join("config.json")).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let Some(line) = lines.next_line().await.unwrap() else { panic!("the gateway ended before it listened") };
        let said: Value = serde_json::from_str(&line).unwrap();
        let text = |field: &str| said[field].as_str().unwrap().to_owned();
        Process { url: text("listening"), metrics: text("metrics"), child }
    }
}

pub struct Process {
    pub url: String,
    metrics: String,
    child: Child,
}

impl Process {
    /// Returns its metrics, as Prometheus gets them.
    pub async fn metrics(&self) -> String {
        client().get(&self.metrics).send().await.unwrap().text().await.unwrap()
    }

    /// Ends it as a node that dies ends it: nothing of it runs any more.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Returns the program that `cargo test` has built beside this test. Where only this test was built, or before something
/// was changed, it is built now.
async fn program() -> PathBuf {
    let beside = env::current_exe().unwrap();
    let profile = beside.parent().and_then(Path::parent).unwrap();
    let program = profile.join("examples/standalone");
    if !is_fresh(&program) {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", env!("CARGO_PKG_NAME"), "--example", "standalone"])
            .output();
        let built = built.await.unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    }
    program
}

fn is_fresh(program: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).unwrap_or(SystemTime::now());
    let Ok(sources) = fs::read_to_string(program.with_extension("d")) else { return false };
    let Ok(built) = fs::metadata(program).and_then(|file| file.modified()) else { return false };
    sources.split_whitespace().skip(1).all(|source| changed(Path::new(source)) <= built)
}
