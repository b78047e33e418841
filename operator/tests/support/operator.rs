//! The program of the operator, as a pod runs it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::cluster::Cluster;

/// The longest wait of a test.
const LIMIT: Duration = Duration::from_mins(1);

/// A running operator. It is killed with the test.
pub struct Operator {
    process: Child,
    /// Address of the artifact API.
    pub api: SocketAddr,
    /// Address of the gateway.
    pub gateway: SocketAddr,
    /// Address of metrics and probes.
    pub metrics: SocketAddr,
}

impl Operator {
    /// Starts some roles with files in a folder.
    pub fn start(cluster: &Cluster, folder: &Path, arguments: &[&str]) -> Self {
        let [api, gateway, metrics] = free_addresses();
        let mut program = Command::new(env!("CARGO_BIN_EXE_manyworlds-operator"));
        program.env_clear().env("KUBECONFIG", cluster.kubeconfig(folder));
        program.env("MANYWORLDS_ARTIFACTS", folder.join("artifacts"));
        program.env("MANYWORLDS_LEDGER", format!("sqlite://{}", folder.join("ledger.db").display()));
        for (name, address) in [("API", api), ("GATEWAY", gateway), ("METRICS", metrics)] {
            program.env(format!("MANYWORLDS_{name}_ADDRESS"), address.to_string());
        }
        let log = std::fs::File::create(folder.join("log")).unwrap();
        program.arg("run").args(arguments).stdout(Stdio::null()).stderr(log);
        Self { process: program.spawn().unwrap(), api, gateway, metrics }
    }

    /// Waits until the operator says that it is ready.
    pub async fn until_ready(&self) {
        eventually("the operator is ready", async || {
            let answer = get(self.metrics, "/readyz").await.ok()?;
            answer.starts_with("HTTP/1.1 200").then_some(())
        })
        .await;
    }

    /// Tells the operator to end, as the kubelet does.
    pub fn terminate(&self) {
        let told = Command::new("kill").arg(self.process.id().to_string()).status().unwrap();
        assert!(told.success());
    }

    /// Waits until the operator has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        eventually("the operator has ended", async || self.process.try_wait().unwrap()).await
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sends a request and returns the whole answer. The server closes the connection after it.
pub async fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Asks again and again until there is an answer.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(Instant::now() < end, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Returns addresses at which nobody listens.
fn free_addresses() -> [SocketAddr; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}
