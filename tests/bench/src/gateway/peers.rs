//! The programs that are measured: the gateway, and LiteLLM's proxy.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use manyworlds_tests::{Result, eventually};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::load::{Connection, Manner, Server};
use crate::context;
use crate::machine::{memory, peak_memory};

/// As many Worlds as an order has by default.
const WORLDS: usize = 5;
const START_LIMIT: Duration = Duration::from_mins(2);
const LITELLM_KEY: &str = "sk-litellm";

/// Builds the gateway as this program was built.
///
/// # Errors
///
/// When it does not build.
pub fn build() -> Result {
    context::build(&["-p", "manyworlds-gateway", "--example", "standalone"])
}

/// The gateway in a process of its own, with a ledger on disk. It ends with the value.
pub struct Gateway {
    process: Child,
    address: String,
    _folder: TempDir,
}

impl Gateway {
    /// Starts it in front of an upstream, with limits that hold nobody but are counted, for five Worlds of one order.
    ///
    /// # Errors
    ///
    /// When it does not become ready.
    pub async fn start(upstream: &str) -> Result<Self> {
        let limits = json!({"requestsPerMinute": 100_000_000, "tokensPerMinute": 1_000_000_000_000_u64});
        Self::launch(upstream, &limits, |_| "order".to_owned()).await
    }

    /// Starts it in front of an upstream that has limits, for five Worlds of five orders.
    ///
    /// # Errors
    ///
    /// When it does not become ready.
    pub async fn start_limited(upstream: &str, limits: &Value) -> Result<Self> {
        Self::launch(upstream, limits, |number| format!("order-{number}")).await
    }

    async fn launch(upstream: &str, limits: &Value, order: impl Fn(usize) -> String) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (file, output) = (folder.path().join("gateway.json"), folder.path().join("output"));
        let callers = (0..WORLDS).map(|number| {
            let order = order(number);
            let caller = json!({"workOrder": order, "world": format!("{order}-w{number}"), "maxCost": "1000000"});
            (token(number), caller)
        });
        let prices = json!({"input": "1.00", "output": "2.00"});
        let provider = json!({
            "protocol": "OpenAI", "baseUrl": format!("{upstream}/v1"), "limits": limits,
            "models": [{"name": "scripted", "prices": prices}],
        });
        let config = json!({
            "ledger": folder.path().join("ledger.db"),
            "providers": {"main": {"key": "sk-upstream", "spec": provider}},
            "tokens": callers.collect::<Map<_, _>>(),
        });
        fs::write(&file, config.to_string())?;
        let process = Command::new(program()?).arg(&file).stdout(fs::File::create(&output)?).spawn()?;
        let mut gateway = Self { process, address: String::new(), _folder: folder };
        gateway.address = eventually("the gateway listens", START_LIMIT, || async {
            let said: Option<Value> = serde_json::from_str(&fs::read_to_string(&output)?).ok();
            Ok(said.and_then(|said| Some(said["listening"].as_str()?.replace("http://", ""))))
        })
        .await?;
        Ok(gateway)
    }

    /// Returns the gateway as its Worlds see it.
    pub fn worlds(&self) -> Vec<Server> {
        (0..WORLDS).map(|number| Server { address: self.address.clone(), key: token(number) }).collect()
    }

    /// Returns what memory it has, in MiB.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn memory(&self) -> Result<f64> {
        memory(self.process.id())
    }

    /// Returns the most memory that it has had, in MiB.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn peak_memory(&self) -> Result<f64> {
        peak_memory(self.process.id())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn token(number: usize) -> String {
    format!("token-of-world-{number}")
}

fn program() -> Result<PathBuf> {
    let folder = env::current_exe()?.parent().map(Path::to_owned).unwrap_or_default();
    Ok(folder.join("examples").join("standalone"))
}

/// LiteLLM's proxy, which knows the prices of its model. It ends with the value.
pub struct LiteLlm {
    process: Child,
    server: Server,
    /// The number of worker processes: one a core, as its documentation advises.
    pub workers: usize,
    /// Its version.
    pub version: String,
    _folder: TempDir,
}

impl LiteLlm {
    /// Installs it where it is missing, and starts it in front of an upstream.
    ///
    /// # Errors
    ///
    /// When it cannot be installed, does not become ready, or does not say what a call costs.
    pub async fn start(upstream: &str) -> Result<Self> {
        let program = install()?;
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("litellm.json");
        fs::write(&file, config(upstream).to_string())?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let workers = std::thread::available_parallelism()?.get();
        let process = Command::new(&program)
            .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--num_workers", &workers.to_string()])
            .args(["--telemetry", "False", "--config"])
            .arg(&file)
            .envs([("LITELLM_LOCAL_MODEL_COST_MAP", "True"), ("LITELLM_MODE", "PRODUCTION"), ("LITELLM_LOG", "ERROR")])
            .env("NO_PROXY", "127.0.0.1")
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("errors"))?)
            .spawn()?;
        let server = Server { address: format!("127.0.0.1:{port}"), key: LITELLM_KEY.to_owned() };
        let version = program.ancestors().nth(2).and_then(Path::file_name).unwrap_or_default();
        let version = version.to_string_lossy().replace("litellm-", "");
        let lite = Self { process, server, workers, version, _folder: folder };
        let cost = eventually("LiteLLM answers", START_LIMIT, || async {
            let Ok(mut connection) = Connection::open(&lite.server, Manner::Whole).await else { return Ok(None) };
            if connection.call().await.is_err() {
                return Ok(None);
            }
            Ok(Some(connection.header("x-litellm-response-cost")))
        })
        .await?;
        match cost.and_then(|cost| cost.parse::<f64>().ok()) {
            Some(cost) if cost > 0.0 => Ok(lite),
            _ => Err("LiteLLM does not say what a call costs, so it cannot be compared".into()),
        }
    }

    /// Returns where it listens.
    pub fn server(&self) -> Server {
        self.server.clone()
    }

    /// Returns the most memory that it and its workers have had, in MiB.
    ///
    /// # Errors
    ///
    /// When one has ended.
    pub fn peak_memory(&self) -> Result<f64> {
        family(self.process.id()).into_iter().map(peak_memory).sum()
    }
}

impl Drop for LiteLlm {
    fn drop(&mut self) {
        // Its workers do not end with it.
        let all = family(self.process.id()).into_iter().map(|pid| pid.to_string());
        let _ = Command::new("kill").arg("-KILL").args(all).status();
        let _ = self.process.wait();
    }
}

fn install() -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("litellm");
    let output = Command::new(script).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("LiteLLM could not be installed".into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().into())
}

/// JSON is YAML too.
fn config(upstream: &str) -> Value {
    json!({
        "model_list": [{
            "model_name": "scripted",
            "litellm_params": {
                "model": "openai/scripted", "api_base": format!("{upstream}/v1"), "api_key": "sk-upstream",
                "input_cost_per_token": 0.000_001, "output_cost_per_token": 0.000_002,
            },
        }],
        "general_settings": {"master_key": LITELLM_KEY},
    })
}

/// Returns a process and all that come from it.
fn family(first: u32) -> BTreeSet<u32> {
    let parent = |pid: u32| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // State and parent stand behind the name in parentheses.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let all: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let mut found = BTreeSet::from([first]);
    loop {
        let more: Vec<_> =
            all.iter().filter(|pid| parent(**pid).is_some_and(|parent| found.contains(&parent))).collect();
        let before = found.len();
        found.extend(more);
        if found.len() == before {
            return found;
        }
    }
}
