//! The role `api`: stores and serves artifacts, and removes them with their orders.

use std::net::SocketAddr;
use std::sync::Arc;

use manyworlds_telemetry::Metrics;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::artifacts::{self, ArtifactApi, ArtifactInputs, ArtifactSettings, ArtifactStore, Retention};
use crate::failure::Failure;
use crate::health::Readiness;
use crate::identity::Identities;
use crate::index::Index;
use crate::shutdown::Shutdown;

/// The inputs of the role.
pub(crate) struct ApiInputs {
    /// Address of the artifact API.
    pub(crate) address: SocketAddr,
    /// Where artifacts are stored, and how many of them for how long.
    pub(crate) artifacts: ArtifactSettings,
    /// The only namespace that is watched, if there is one.
    pub(crate) namespace: Option<String>,
    /// Orders, Worlds and pods.
    pub(crate) index: Arc<Index>,
    /// Answers whose token a request shows.
    pub(crate) identities: Identities,
    /// Whether the watches have seen everything that exists.
    pub(crate) readiness: Readiness,
    /// Counts.
    pub(crate) metrics: Metrics,
    /// Ends the role.
    pub(crate) shutdown: Shutdown,
}

/// Starts to serve.
///
/// # Errors
///
/// When the folder cannot be written or the address is in use.
pub(crate) async fn start(inputs: ApiInputs) -> Result<(), Failure> {
    let ApiInputs { address, artifacts: settings, namespace, index, identities, readiness, metrics, shutdown } = inputs;
    let ArtifactSettings { folder, retention, quota } = settings;
    let store = ArtifactStore::open(&folder)?;
    let listener = TcpListener::bind(address).await?;
    let api = ArtifactApi::new(ArtifactInputs { identities, index, store, quota, metrics });
    let cleaner = api.cleaner(Retention { finished: retention, namespace });
    let (counted, is_counted) = oneshot::channel();
    let begin = async move {
        readiness.until_ready().await;
        // What is counted while it goes would count for ever. An error means that the process ends.
        drop(is_counted.await);
    };
    shutdown.spawn_until_end("removal of artifacts", cleaner.run(begin));
    shutdown.spawn("artifact API", artifacts::serve(listener, api, counted, shutdown.token()));
    Ok(())
}
