//! Namespaces of tests.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::api::core::v1::{Namespace as NamespaceResource, ServiceAccount};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::story::story;
use crate::{Cluster, LIMIT, Look, Result, eventually};

/// A namespace of one test, deleted with everything in it when the guard goes, after a failure too.
pub struct Namespace {
    /// Its name.
    pub name: String,
    client: Client,
    kubeconfig: PathBuf,
}

impl Namespace {
    /// Makes a namespace with a name of its own, in which pods can be made.
    ///
    /// # Errors
    ///
    /// Whatever the API server says.
    pub async fn new(cluster: &Cluster, purpose: &str) -> Result<Self> {
        let name = unique(purpose);
        let namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        Api::<NamespaceResource>::all(cluster.client.clone()).create(&PostParams::default(), &namespace).await?;
        let guard = Self { name, client: cluster.client.clone(), kubeconfig: cluster.kubeconfig.clone() };
        let accounts: Api<ServiceAccount> = guard.api();
        // Pods are refused until the controller manager has made it.
        eventually("the namespace has its default service account", LIMIT, || async {
            Ok(accounts.get_opt("default").await?)
        })
        .await?;
        Ok(guard)
    }

    /// Returns the interface to a kind of objects in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope> + DeserializeOwned,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Waits as [`eventually()`] does; in vain, it also prints the state of the namespace's pods.
    ///
    /// # Errors
    ///
    /// When `limit` is over.
    pub async fn eventually<L, C, F>(&self, what: &str, limit: Duration, condition: C) -> Result<L::Found>
    where
        L: Look,
        C: FnMut() -> F,
        F: Future<Output = L>,
    {
        match eventually(what, limit, condition).await {
            Ok(found) => Ok(found),
            Err(error) => {
                let story = story(&self.client, &self.name).await.unwrap_or_else(|error| error.to_string());
                // Printed, because the error itself is shown on one line.
                eprintln!("{error}; the namespace {}:\n{story}", self.name);
                Err(error)
            }
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let name = self.name.clone();
        clean_up(&self.kubeconfig, &self.name, async move |client| {
            let namespaces: Api<NamespaceResource> = Api::all(client);
            namespaces.delete(&name, &DeleteParams::background()).await?;
            Ok(())
        });
    }
}

/// Runs a guard's clean-up to its end, in a runtime of its own because that of the test may be ending.
pub(crate) fn clean_up<F>(kubeconfig: &Path, what: &str, work: F)
where
    F: AsyncFnOnce(Client) -> Result + Send + 'static,
{
    let kubeconfig = kubeconfig.to_owned();
    let cleaner = std::thread::spawn(move || -> Result {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { work(Cluster::from_file(&kubeconfig).await?.client).await })
    });
    match cleaner.join() {
        Ok(Ok(())) => {}
        Ok(Err(error)) => eprintln!("{what} was left behind: {error}"),
        Err(_) => eprintln!("{what} was left behind"),
    }
}

/// Returns a name that no other test has, in this process or another.
pub fn unique(purpose: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let milliseconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis());
    format!("test-{purpose}-{}-{}-{count}", milliseconds % 10_000_000, std::process::id())
}
