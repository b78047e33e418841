//! The clusters that tests run against.

use std::env;
use std::path::{Path, PathBuf};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::Result;

/// Names the kubeconfig of a cluster with a real API server.
const ANY: &str = "MANYWORLDS_TEST_KUBECONFIG";
/// Names the kubeconfig of a cluster whose pods are played by kwok.
const FAKE: &str = "MANYWORLDS_TEST_FAKE_KUBECONFIG";

/// A cluster and the way to it as its administrator.
#[derive(Clone)]
pub struct Cluster {
    /// Client with the rights of the kubeconfig.
    pub client: Client,
    /// The kubeconfig.
    pub kubeconfig: PathBuf,
}

impl Cluster {
    /// Connects to the cluster of the tests.
    ///
    /// # Errors
    ///
    /// When `MANYWORLDS_TEST_KUBECONFIG` is not set (start one with `make cluster`, or run `make test`), or nothing answers.
    pub async fn any() -> Result<Self> {
        Self::named_by(ANY, "make cluster").await
    }

    /// Connects to the cluster of fake nodes.
    ///
    /// # Errors
    ///
    /// When `MANYWORLDS_TEST_FAKE_KUBECONFIG` is not set (`tests/cluster/cluster up --fake`), or nothing answers.
    pub async fn fake() -> Result<Self> {
        Self::named_by(FAKE, "tests/cluster/cluster up --fake").await
    }

    /// Connects to the cluster of a kubeconfig.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or nothing answers.
    pub async fn from_file(kubeconfig: &Path) -> Result<Self> {
        let file = Kubeconfig::read_from(kubeconfig)?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        client
            .apiserver_version()
            .await
            .map_err(|error| format!("the cluster of {} does not answer: {error}", kubeconfig.display()))?;
        Ok(Self { client, kubeconfig: kubeconfig.to_owned() })
    }

    async fn named_by(variable: &str, how: &str) -> Result<Self> {
        let path = env::var_os(variable)
            .filter(|path| !path.is_empty())
            .ok_or_else(|| format!("{variable} is not set: this test needs a cluster. `make test` sets it; by hand, start one with `{how}` and set it to its kubeconfig"))?;
        Self::from_file(Path::new(&path)).await
    }
}
