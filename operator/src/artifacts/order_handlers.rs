//! The requests for what an order has beside its Worlds: those of the pod that judges its base, and those for the result.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::api::ArtifactApi;
use super::baselines::MOST_BASELINE_BYTES;
use super::errors::RequestError;
use super::handlers::{no_bundle, sent};
use super::once_upload::OnceUpload;
use super::uploads::{LONGEST, announced};
use super::usage::Place;

/// What the gates give at the base, in messages.
const BASELINE: &str = "baseline of the order";

/// `GET /v1/workorders/{namespace}/{order}/bundle`
pub(super) async fn bundle(
    State(api): State<ArtifactApi>,
    Path((namespace, order)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let found = async {
        let own = api.own_pod(&namespace, &order, &headers).await?;
        if !own.may_read_base() {
            return Err(RequestError::OrderPodMayNot { order, what: "read its base" });
        }
        let found = api.store.bundle_get(own.order.uid().as_str()).await?;
        found.map(sent).ok_or_else(no_bundle)
    }
    .await;
    api.answered(found)
}

/// `PUT /v1/workorders/{namespace}/{order}/baseline`
///
/// Answers with 201 where it has stored the body, and with 200 where there was a baseline before.
pub(super) async fn baseline_upload(
    State(api): State<ArtifactApi>,
    Path((namespace, order)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let stored = async {
        // All of this is settled by the head, as it is for artifacts.
        let size = announced(&headers, MOST_BASELINE_BYTES).ok_or(RequestError::BaselineTooLarge)?;
        let own = api.own_pod(&namespace, &order, &headers).await?;
        if !own.may_store_baseline() {
            return Err(RequestError::OrderPodMayNot { order, what: "store its baseline" });
        }
        let uid = own.order.uid().as_str();
        let permit = api.uploads.permit(uid)?;
        if api.store.baseline_size(uid).await?.is_some() {
            return Ok(StatusCode::OK);
        }
        let put = api.store.baseline_put(uid, body.into_data_stream());
        let upload = OnceUpload { order: uid, key: &own.key, place: Place::Baseline, size, longest: LONGEST };
        let status = upload.store(&api, put, RequestError::BaselineTooLarge).await?;
        drop(permit);
        api.usage.show(&api.metrics);
        Ok::<_, RequestError>(status)
    }
    .await;
    api.answered(stored)
}

/// `GET /v1/workorders/{namespace}/{order}/baseline`
pub(super) async fn baseline(
    State(api): State<ArtifactApi>,
    Path((namespace, order)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let found = async {
        let uid = api.readable_order(&namespace, &order, &headers).await?;
        api.store.baseline_get(uid.as_str()).await?.map(sent).ok_or_else(no_baseline)
    }
    .await;
    api.answered(found)
}

/// `GET /v1/worlds/{namespace}/{world}/{attempt}/baseline`
pub(super) async fn baseline_of_world(
    State(api): State<ArtifactApi>,
    Path((namespace, world, number)): Path<(String, String, i32)>,
    headers: HeaderMap,
) -> Response {
    let found = async {
        let attempt = api.own_attempt(&namespace, &world, number, &headers).await?;
        if !attempt.may_read_baseline() {
            return Err(RequestError::NotReadable { world, attempt: number, what: format!("the {BASELINE}") });
        }
        let found = api.store.baseline_get(&attempt.world.spec.order.uid).await?;
        found.map(sent).ok_or_else(no_baseline)
    }
    .await;
    api.answered(found)
}

fn no_baseline() -> RequestError {
    RequestError::NotFound { what: format!("{BASELINE}: its gates have not run at the base") }
}
