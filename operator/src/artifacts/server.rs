//! The server of the artifact API: its paths and its bounds.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use axum::response::IntoResponse;
use axum::routing::{get, post, put};
use futures::FutureExt;
use hyper::body::Incoming;
use manyworlds_listener::{Bounds, Handler};
use manyworlds_telemetry::{Metrics, StatusClassLabel};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::api::ArtifactApi;
use super::errors::RequestError;
use super::{handlers, order_handlers};

/// The bounds of the artifact API.
const BOUNDS: Bounds = Bounds {
    connections: 1024,
    // Worlds of one node have one address where a network hides theirs.
    connections_of_a_peer: 256,
    head: Duration::from_secs(10),
    unread: Duration::from_mins(5),
};

/// Answers the requests of the artifact API.
#[derive(Clone)]
struct Server {
    router: Router,
    metrics: Metrics,
}

/// Serves until the token is cancelled and every connection is closed. Requests wait until what is stored is counted.
///
/// - **Shape:** `counted` is told when that is done.
pub(crate) async fn serve(
    listener: TcpListener,
    api: ArtifactApi,
    counted: oneshot::Sender<()>,
    stop: CancellationToken,
) {
    if stop.run_until_cancelled(api.count_stored()).await.is_none() {
        return;
    }
    // Who waits for it may have ended.
    let _ = counted.send(());
    let metrics = api.metrics.clone();
    let router = Router::new()
        .route("/v1/worlds/{namespace}/{world}/{attempt}/artifacts/{name}", put(handlers::upload).get(handlers::own))
        .route(
            "/v1/worlds/{namespace}/{world}/{attempt}/bundle",
            put(handlers::bundle_upload).get(handlers::bundle).head(handlers::bundle_head),
        )
        .route("/v1/worlds/{namespace}/{world}/{attempt}/base", post(handlers::base))
        .route("/v1/worlds/{namespace}/{world}/{attempt}/baseline", get(order_handlers::baseline_of_world))
        .route("/v1/workorders/{namespace}/{order}/bundle", get(order_handlers::bundle))
        .route(
            "/v1/workorders/{namespace}/{order}/baseline",
            put(order_handlers::baseline_upload).get(order_handlers::baseline),
        )
        .route("/v1/workorders/{namespace}/{order}/artifacts", get(handlers::list))
        .route("/v1/workorders/{namespace}/{order}/worlds/{world}/artifacts/{name}", get(handlers::download))
        .with_state(api);
    let open = manyworlds_listener::serve(listener, BOUNDS, Server { router, metrics }, stop.cancelled_owned()).await;
    open.closed().await;
}

impl Server {
    /// Answers a request. A panic in one ends no other.
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let answered = AssertUnwindSafe(self.router.clone().oneshot(request)).catch_unwind().await;
        let Ok(answered) = answered else {
            self.metrics.http_requests.with_label_values(&[StatusClassLabel::Failed.as_str()]).inc();
            return RequestError::Fault.into_response();
        };
        // The router answers every request, also one whose path it does not have.
        answered.unwrap_or_else(|never| match never {})
    }
}

impl Handler for Server {
    type Body = Body;

    async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        self.answer(request.map(Body::new)).await
    }

    fn on_crowded(&self, peer: IpAddr) {
        tracing::debug!(%peer, "a connection was closed because its peer has too many");
        self.metrics.http_requests.with_label_values(&[StatusClassLabel::Refused.as_str()]).inc();
    }
}

#[cfg(test)]
mod tests {
    use axum::extract::Path;
    use axum::http::StatusCode;

    use super::*;

    async fn more_than_one(Path(number): Path<u32>) -> String {
        assert!(number > 1, "it has a fault");
        number.to_string()
    }

    #[tokio::test]
    async fn a_request_that_panics_is_answered_and_ends_no_other() {
        let metrics = Metrics::new("0").unwrap();
        let server = Server { router: Router::new().route("/{number}", get(more_than_one)), metrics: metrics.clone() };
        let ask = async |path: &str| server.answer(Request::get(path).body(Body::empty()).unwrap()).await.status();
        assert_eq!(ask("/1").await, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(ask("/2").await, StatusCode::OK);
        assert_eq!(metrics.http_requests.with_label_values(&["5xx"]).get(), 1);
    }
}
