//! Artifacts over HTTP: Worlds store theirs with their pod's token, people fetch them with their own.

mod access;
mod handlers;
mod store;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post, put};
use kube::Client;
use manyworlds_api::artifacts::MAXIMUM_BYTES;
use manyworlds_telemetry::Metrics;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use store::{ArtifactStore, StoreError};

use crate::index::Index;
use access::Access;
pub(crate) use access::{PodIdentity, TokenReviews};

/// What the handlers work with.
#[derive(Clone)]
pub(crate) struct ArtifactApi {
    index: Arc<Index>,
    store: ArtifactStore,
    access: Access,
    metrics: Metrics,
}

impl ArtifactApi {
    pub(crate) fn new(client: Client, index: Arc<Index>, store: ArtifactStore, metrics: Metrics) -> Self {
        Self { index, store, access: Access::new(client), metrics }
    }
}

/// Serves until the operator ends.
pub(crate) async fn serve(listener: TcpListener, api: ArtifactApi, stop: CancellationToken) {
    let router = Router::new()
        .route("/v1/worlds/{namespace}/{world}/{attempt}/artifacts/{name}", put(handlers::upload))
        .route("/v1/worlds/{namespace}/{world}/{attempt}/base", post(handlers::base))
        .route("/v1/workorders/{namespace}/{order}/artifacts", get(handlers::list))
        .route("/v1/workorders/{namespace}/{order}/worlds/{world}/artifacts/{name}", get(handlers::download))
        .layer(DefaultBodyLimit::max(MAXIMUM_BYTES))
        .with_state(api);
    // It never fails: a socket that does is taken up again.
    let _ = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
}
