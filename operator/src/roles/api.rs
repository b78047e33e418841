//! The role `api`: stores and serves artifacts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use manyworlds_telemetry::Metrics;
use tokio::net::TcpListener;

use crate::artifacts::{self, ArtifactApi, ArtifactStore};
use crate::failure::Failure;
use crate::identity::Identities;
use crate::index::Index;
use crate::shutdown::Shutdown;

/// The inputs of the role.
pub(crate) struct ApiInputs {
    /// Address of the artifact API.
    pub(crate) address: SocketAddr,
    /// Folder for artifacts.
    pub(crate) folder: PathBuf,
    /// Orders, Worlds and pods.
    pub(crate) index: Arc<Index>,
    /// Answers whose token a request shows.
    pub(crate) identities: Identities,
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
    let ApiInputs { address, folder, index, identities, metrics, shutdown } = inputs;
    let store = ArtifactStore::open(&folder)?;
    let listener = TcpListener::bind(address).await?;
    let api = ArtifactApi::new(identities, index, store, metrics);
    shutdown.spawn("artifact API", artifacts::serve(listener, api, shutdown.token()));
    Ok(())
}
