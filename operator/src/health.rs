//! `/livez`, `/readyz` and `/metrics`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use manyworlds_telemetry::{CONTENT_TYPE, Metrics};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::index::Index;
use crate::index::census::Census;
use crate::volumes::Volumes;

/// Whether the watches have seen everything that exists. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readiness(Arc<watch::Sender<bool>>);

impl Readiness {
    /// Notes that they have.
    pub(crate) fn ready(&self) {
        self.0.send_replace(true);
    }

    /// Resolves when they have.
    pub(crate) fn until_ready(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut ready = self.0.subscribe();
        // An error means that the process ends.
        async move { drop(ready.wait_for(|ready| *ready).await) }
    }

    fn is_ready(&self) -> bool {
        *self.0.borrow()
    }
}

#[derive(Clone)]
struct Health {
    metrics: Metrics,
    readiness: Readiness,
    index: Arc<Index>,
    volumes: Volumes,
}

/// Serves until the operator ends.
pub(crate) async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    readiness: Readiness,
    index: Arc<Index>,
    volumes: Volumes,
    stop: CancellationToken,
) {
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics_text))
        .with_state(Health { metrics, readiness, index, volumes });
    // It never fails: a socket that does is taken up again.
    let _ = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
}

async fn ready(State(health): State<Health>) -> Response {
    if health.readiness.is_ready() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the caches are not warm yet; are the CRDs installed?\n").into_response()
    }
}

async fn metrics_text(State(health): State<Health>) -> Response {
    take_census(&health);
    health.volumes.show(&health.metrics).await;
    match health.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Counts what there is when somebody asks, rather than at every change.
fn take_census(health: &Health) {
    let Census { active, finished, waiting, worlds, nodes } = health.index.census();
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    health.metrics.orders.with_label_values(&["active"]).set(number(active));
    health.metrics.orders.with_label_values(&["finished"]).set(number(finished));
    health.metrics.orders_waiting.set(number(waiting));
    health.metrics.worlds_running.set(number(worlds));
    health.metrics.nodes_ready.set(number(nodes));
}
