//! The paths of the artifact API.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post, put};
use manyworlds_api::artifacts::MAXIMUM_BYTES;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::api::ArtifactApi;
use super::handlers;

/// Serves until the token is cancelled and every connection is closed.
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
