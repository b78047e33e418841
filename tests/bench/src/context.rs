//! The parts that the whole bench shares.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use k8s_openapi::api::core::v1::Namespace as NamespaceResource;
use kube::Api;
use manyworlds_tests::{
    Cluster, Namespace, OperatorIdentity, OperatorProcess, OperatorSettings, Result, definitions, eventually, namespace,
};

use crate::audit::Audit;
use crate::figures::Figure;

/// The longest removal of thousands of pods.
const REMOVAL_LIMIT: std::time::Duration = std::time::Duration::from_mins(15);

/// Measures the figures of Manyworlds on a control plane with fake nodes
#[derive(Clone, Debug, Parser)]
pub struct Settings {
    /// Kubeconfig of the cluster with fake nodes, for all figures but those of the gateway
    #[arg(long, env = "MANYWORLDS_TEST_FAKE_KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
    /// Kubeconfig of a cluster with a real node and Manyworlds installed, for first_output
    #[arg(long, env = "MANYWORLDS_TEST_KUBECONFIG")]
    pub real_kubeconfig: Option<PathBuf>,
    /// Audit log of the API server; by default audit.log beside the kubeconfig
    #[arg(long, env = "MANYWORLDS_BENCH_AUDIT_LOG")]
    pub audit_log: Option<PathBuf>,
    /// Measure only figures whose name begins with this
    #[arg(long, env = "ONLY", default_value = "")]
    pub only: String,
    /// Orders, and Jobs, of one burst
    #[arg(long, default_value_t = 1000)]
    pub orders: usize,
    /// Requests under way at once of the client that makes orders and Jobs
    #[arg(long, default_value_t = 16)]
    pub concurrency: usize,
    /// Seconds of paced orders
    #[arg(long, default_value_t = 60)]
    pub paced_seconds: u64,
    /// Finished orders of the quiet part
    #[arg(long, default_value_t = 10_000)]
    pub quiet_orders: usize,
    /// Orders of the part with the largest orders
    #[arg(long, default_value_t = 2000)]
    pub large_orders: usize,
    /// Seconds of the quiet part
    #[arg(long, default_value_t = 600)]
    pub quiet_seconds: u64,
    /// Orders of the part on a real node
    #[arg(long, default_value_t = 11)]
    pub first_output_orders: usize,
    /// Repository of the part on a real node, as its pods see it
    #[arg(long, default_value = "http://git.manyworlds-demo.svc/xmltodict.git")]
    pub repository: String,
    /// Where the figures are written
    #[arg(long, default_value = "target/bench.json")]
    pub output: PathBuf,
}

impl Settings {
    /// Returns whether any of these figures is asked for.
    pub fn wants(&self, figures: &[Figure]) -> bool {
        figures.iter().any(|figure| figure.id.starts_with(&self.only))
    }
}

/// The cluster, the operator's identity, and the settings.
pub struct Bench {
    /// Settings.
    pub settings: Settings,
    /// The cluster with fake nodes.
    pub cluster: Cluster,
    /// The identity of the operator.
    pub identity: OperatorIdentity,
    /// The audit log.
    pub audit: Audit,
    kubeconfig: PathBuf,
    folder: PathBuf,
}

impl Bench {
    /// Builds the operator and prepares the cluster.
    ///
    /// # Errors
    ///
    /// When the operator does not build, or the cluster does not answer or has no audit log.
    pub async fn new(settings: Settings) -> Result<Self> {
        let kubeconfig = settings.kubeconfig.clone().ok_or("name the cluster with fake nodes by --kubeconfig")?;
        build_operator()?;
        let audit = match &settings.audit_log {
            Some(path) => Audit::new(path)?,
            None => Audit::new(&beside(&kubeconfig).join("audit.log"))?,
        };
        let cluster = Cluster::from_file(&kubeconfig).await?;
        definitions::install(&cluster.client).await?;
        let folder = env::temp_dir().join(namespace::unique("bench"));
        let identity = OperatorIdentity::new(&cluster, &folder).await?;
        Ok(Self { settings, cluster, identity, audit, kubeconfig, folder })
    }

    /// Returns whether any of these figures is asked for.
    pub fn wants(&self, figures: &[Figure]) -> bool {
        self.settings.wants(figures)
    }

    /// Returns the folder of the cluster, in which it names its processes.
    pub fn cluster_folder(&self) -> PathBuf {
        beside(&self.kubeconfig)
    }

    /// Starts the operator as it is installed: all namespaces, default settings.
    ///
    /// # Errors
    ///
    /// When it does not become ready.
    pub async fn operator(&self) -> Result<OperatorProcess> {
        let mut operator = OperatorProcess::start(&OperatorSettings {
            kubeconfig: self.identity.kubeconfig.clone(),
            folder: self.folder.clone(),
            watch_namespace: String::new(),
            environment: Vec::new(),
        })?;
        operator.ready().await?;
        Ok(operator)
    }

    /// Makes a namespace.
    ///
    /// # Errors
    ///
    /// Whatever the API server says.
    pub async fn namespace(&self) -> Result<Namespace> {
        Namespace::new(&self.cluster, "bench").await
    }

    /// Deletes a namespace and waits until all that was in it is gone, so that the next part finds an idle cluster.
    ///
    /// # Errors
    ///
    /// When that takes too long.
    pub async fn clear(&self, namespace: Namespace) -> Result {
        let name = namespace.name.clone();
        drop(namespace);
        let namespaces: Api<NamespaceResource> = Api::all(self.cluster.client.clone());
        eventually(&format!("the namespace {name} is gone"), REMOVAL_LIMIT, || async {
            Ok(namespaces.get_opt(&name).await?.is_none().then_some(()))
        })
        .await
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // The log of the operator is of use only while the bench runs.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn beside(file: &Path) -> PathBuf {
    file.parent().map(Path::to_owned).unwrap_or_default()
}

/// Builds the operator as this program was built, beside it, unless another one is named.
fn build_operator() -> Result {
    if env::var_os("MANYWORLDS_OPERATOR_BINARY").is_some() {
        return Ok(());
    }
    build(&["-p", "manyworlds-operator"])
}

/// Builds programs as this one was built, beside it.
///
/// # Errors
///
/// When they do not build.
pub fn build(what: &[&str]) -> Result {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--locked"]).args(what);
    let program = env::current_exe()?;
    // target/release/..., or target/<triple>/release/... where a target was named.
    let triple = program.ancestors().nth(2).and_then(Path::file_name).and_then(|name| name.to_str());
    if let Some(triple) = triple.filter(|name| name.matches('-').count() >= 2) {
        cargo.args(["--target", triple]);
    }
    if cargo.status()?.success() { Ok(()) } else { Err(format!("cargo build {} failed", what.join(" ")).into()) }
}
