//! The operator as a process of this machine, to be killed and started again.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::{env, io};

use crate::{LIMIT, Result, eventually, identity};

/// Names the program; without it, the one that cargo built beside the test.
const BINARY: &str = "MANYWORLDS_OPERATOR_BINARY";

/// What orders of fake pods ask for: the annotations by which a test says how a pod ends.
const POD_TEMPLATE: &str = r#"{"allowedAnnotations": ["fake/*"]}"#;

/// The ports of operators: below those that the kernel gives to connections, and so many.
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 10_000;
/// The distance between the first ports of two tests.
const PORTS_OF_A_TEST: u32 = 37;

/// The settings of an operator under test.
#[derive(Clone, Debug)]
pub struct OperatorSettings {
    /// The kubeconfig with which it works.
    pub kubeconfig: PathBuf,
    /// The folder of its log and its artifacts.
    pub folder: PathBuf,
    /// The only namespace that it looks at; empty for all.
    pub watch_namespace: String,
    /// Further environment variables.
    pub environment: Vec<(String, String)>,
}

/// A running operator; killed when the guard goes.
pub struct OperatorProcess {
    child: Child,
    log: PathBuf,
    metrics: String,
    gateway: String,
}

impl OperatorProcess {
    /// Starts the operator.
    ///
    /// - **Guarantees:** the log is added to, so that it shows all lives of an operator that is killed and started again.
    ///
    /// # Errors
    ///
    /// When there is no program or no free port.
    pub fn start(settings: &OperatorSettings) -> Result<Self> {
        fs::create_dir_all(settings.folder.join("artifacts"))?;
        let log = settings.folder.join("operator.log");
        let output = File::options().create(true).append(true).open(&log)?;
        let (interface, metrics, gateway) = (free_address()?, free_address()?, free_address()?);
        let program = binary()?;
        let child = Command::new(&program)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .env("KUBECONFIG", &settings.kubeconfig)
            .env("MANYWORLDS_NAMESPACE", identity::OPERATOR_NAMESPACE)
            .env("MANYWORLDS_RUNNER_IMAGE", "docker.io/manyworlds/runner:test")
            .env("MANYWORLDS_SERVICE_URL", format!("http://{interface}"))
            .env("MANYWORLDS_ARTIFACTS", settings.folder.join("artifacts"))
            .env("MANYWORLDS_API_ADDRESS", &interface)
            .env("MANYWORLDS_METRICS_ADDRESS", &metrics)
            .env("MANYWORLDS_WATCH_NAMESPACE", &settings.watch_namespace)
            .env("MANYWORLDS_GATEWAY_ADDRESS", &gateway)
            .env("MANYWORLDS_GATEWAY_URL", format!("http://{gateway}"))
            .env("MANYWORLDS_LEDGER", format!("sqlite://{}/ledger.db", settings.folder.display()))
            .env("MANYWORLDS_LOG_FORMAT", "json")
            .env("MANYWORLDS_POD_TEMPLATE", POD_TEMPLATE)
            .envs(settings.environment.iter().map(|(name, value)| (name, value)))
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
        Ok(Self { child, log, metrics, gateway })
    }

    /// Returns the process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the address of its gateway.
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    /// Returns its metrics, in the text format of Prometheus.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn metrics(&self) -> Result<String> {
        let client = kube::Client::try_from(kube::Config::new(format!("http://{}", self.metrics).parse()?))?;
        Ok(client.request_text(http::Request::get("/metrics").body(Vec::new())?).await?)
    }

    /// Waits until the operator says that it is ready.
    ///
    /// # Errors
    ///
    /// When it ends or does not become ready in time; the text has the end of its log.
    pub async fn ready(&mut self) -> Result {
        let url: http::Uri = format!("http://{}", self.metrics).parse()?;
        let client = kube::Client::try_from(kube::Config::new(url))?;
        let mut ended = None;
        let child = &mut self.child;
        let ready = eventually("the operator is ready", LIMIT, || {
            ended = child.try_wait().ok().flatten();
            let (client, ended) = (client.clone(), ended);
            async move {
                if ended.is_some() {
                    return Ok(Some(()));
                }
                let request = http::Request::get("/readyz").body(Vec::new())?;
                client.request_text(request).await?;
                Ok(Some(()))
            }
        })
        .await;
        match ended {
            Some(status) => {
                Err(format!("the operator ended with {status}; its log ends with\n{}", self.log_tail()).into())
            }
            None => ready.map_err(|error| format!("{error}\n{}", self.log_tail()).into()),
        }
    }

    /// Kills the operator as a crash does (SIGKILL), and waits until it is gone.
    ///
    /// # Errors
    ///
    /// When the process cannot be signalled.
    pub fn kill(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(|_| ())
    }

    /// Returns the last lines of the log.
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }
}

impl Drop for OperatorProcess {
    fn drop(&mut self) {
        // A process that has ended already has been reported by `ready`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the program of the operator.
///
/// # Errors
///
/// When there is none: build it with `cargo build -p manyworlds-operator`.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os(BINARY).filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let test = env::current_exe()?;
    let found = test.ancestors().map(|folder| folder.join("manyworlds-operator")).find(|path| path.is_file());
    found.ok_or_else(|| {
        format!("there is no manyworlds-operator beside {}; build it with `cargo build -p manyworlds-operator` or name it with {BINARY}", test.display()).into()
    })
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(30).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// Returns an address at which nobody listens.
///
/// The port is none of those that the kernel gives to connections: such a one could be taken between this look and the start of
/// the operator. Tests that run at the same time begin at different places: they are processes with numbers close together, and
/// each takes a few ports for every operator.
fn free_address() -> io::Result<String> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = u16::try_from(std::process::id().wrapping_mul(PORTS_OF_A_TEST) % u32::from(PORTS)).unwrap_or_default();
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..PORTS {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST_PORT + begin.wrapping_add(step) % PORTS;
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(listener) => return Ok(listener.local_addr()?.to_string()),
            Err(error) => last = error,
        }
    }
    Err(last)
}
