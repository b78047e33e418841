//! The requests of the artifact API.

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use manyworlds_api::artifacts::{ArtifactName, BaseCommit, DIGEST_HEADER, StoredArtifact};
use serde::Deserialize;

use super::api::ArtifactApi;
use super::bundles::LONGEST_BUNDLE;
use super::errors::RequestError;
use super::once_upload::OnceUpload;
use super::orders::Owner;
use super::quota::MOST_BUNDLE_BYTES;
use super::store::StoredBody;
use super::uploads::{LONGEST, announced, announced_size};
use super::usage::Place;

/// The base of an order, in messages.
const BASE: &str = "base of its order";
/// The most bytes of a body that pins a base.
const LARGEST_BASE: usize = 1024;

/// `PUT /v1/worlds/{namespace}/{world}/{attempt}/artifacts/{name}`
pub(super) async fn upload(
    State(api): State<ArtifactApi>,
    Path((namespace, world, number, name)): Path<(String, String, i32, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let stored = async {
        // All of this is settled by the head. Nobody's body is read who may not store it, and none waits in memory.
        let name: ArtifactName = name.parse().map_err(|error| RequestError::Invalid(format!("{error}")))?;
        let size = announced_size(&headers)?;
        let attempt = api.own_attempt(&namespace, &world, number, &headers).await?;
        if !attempt.may_store(name) {
            return Err(RequestError::StageOver { world, attempt: number, what: format!("its {name}") });
        }
        let permit = api.uploads.permit(attempt.world.uid().as_str())?;
        let spec = &attempt.world.spec;
        let (order, variant) = (spec.order.uid.as_str(), spec.variant.name.as_str());
        let place = Place::Artifact { variant: variant.into(), attempt: number, name };
        let reservation = api.usage.reserve(&api.quota, order, &namespace, place, size)?;
        // Every other upload that is under way may yet take the room that it has been promised.
        api.store.check_room(api.usage.coming())?;
        api.store.owner_note(order, &Owner::of(&attempt.key)).await?;
        let put = api.store.artifact_put(order, variant, number, name, body.into_data_stream());
        let size = tokio::time::timeout(LONGEST, put).await.map_err(|_| RequestError::Slow)??;
        reservation.stored(size);
        drop(permit);
        api.metrics.artifacts.inc();
        api.metrics.artifact_bytes.inc_by(size);
        api.usage.show(&api.metrics);
        Ok::<_, RequestError>(StatusCode::CREATED)
    }
    .await;
    api.answered(stored)
}

/// `GET /v1/worlds/{namespace}/{world}/{attempt}/artifacts/{name}`
pub(super) async fn own(
    State(api): State<ArtifactApi>,
    Path((namespace, world, number, name)): Path<(String, String, i32, String)>,
    headers: HeaderMap,
) -> Response {
    let found = async {
        let name: ArtifactName = name.parse().map_err(|error| RequestError::Invalid(format!("{error}")))?;
        let attempt = api.own_attempt(&namespace, &world, number, &headers).await?;
        if !attempt.may_read(name) {
            return Err(RequestError::NotReadable { world, attempt: number, what: format!("its {name}") });
        }
        let spec = &attempt.world.spec;
        let found = api.store.artifact_get(&spec.order.uid, &spec.variant.name, number, name).await?;
        found.map(sent).ok_or_else(|| RequestError::NotFound { what: format!("{name} of World {world}") })
    }
    .await;
    api.answered(found)
}

/// `PUT /v1/worlds/{namespace}/{world}/{attempt}/bundle`
///
/// Answers with 201 where it has stored the body, and with 200 where there was a bundle before.
pub(super) async fn bundle_upload(
    State(api): State<ArtifactApi>,
    Path((namespace, world, number)): Path<(String, String, i32)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let stored = async {
        let size = announced(&headers, MOST_BUNDLE_BYTES).ok_or(RequestError::BundleTooLarge)?;
        let attempt = api.own_attempt(&namespace, &world, number, &headers).await?;
        if !attempt.may_store_base() {
            return Err(RequestError::StageOver { world, attempt: number, what: "a base".to_owned() });
        }
        let order = attempt.world.spec.order.uid.as_str();
        let permit = api.bundles.permit(order)?;
        if api.store.bundle_size(order).await?.is_some() {
            return Ok(StatusCode::OK);
        }
        let put = api.store.bundle_put(order, body.into_data_stream());
        let upload = OnceUpload { order, key: &attempt.key, place: Place::Base, size, longest: LONGEST_BUNDLE };
        let status = upload.store(&api, put, RequestError::BundleTooLarge).await?;
        drop(permit);
        api.usage.show(&api.metrics);
        Ok::<_, RequestError>(status)
    }
    .await;
    api.answered(stored)
}

/// `GET /v1/worlds/{namespace}/{world}/{attempt}/bundle`
pub(super) async fn bundle(
    State(api): State<ArtifactApi>,
    Path((namespace, world, number)): Path<(String, String, i32)>,
    headers: HeaderMap,
) -> Response {
    let found = async {
        let attempt = api.own_attempt(&namespace, &world, number, &headers).await?;
        if !attempt.may_read_base() {
            return Err(RequestError::NotReadable { world, attempt: number, what: format!("the {BASE}") });
        }
        let found = api.store.bundle_get(&attempt.world.spec.order.uid).await?;
        found.map(sent).ok_or_else(no_bundle)
    }
    .await;
    api.answered(found)
}

/// `HEAD /v1/worlds/{namespace}/{world}/{attempt}/bundle`
pub(super) async fn bundle_head(
    State(api): State<ArtifactApi>,
    Path((namespace, world, number)): Path<(String, String, i32)>,
    headers: HeaderMap,
) -> Response {
    let found = async {
        let attempt = api.own_attempt(&namespace, &world, number, &headers).await?;
        if !attempt.may_store_base() && !attempt.may_read_base() {
            return Err(RequestError::NotReadable { world, attempt: number, what: format!("the {BASE}") });
        }
        let size = api.store.bundle_size(&attempt.world.spec.order.uid).await?;
        size.map(|_| StatusCode::OK).ok_or_else(no_bundle)
    }
    .await;
    api.answered(found)
}

/// Returns the answer where nobody has stored the base.
pub(super) fn no_bundle() -> RequestError {
    RequestError::NotFound { what: format!("{BASE}: no World of it has stored it yet") }
}

/// `POST /v1/worlds/{namespace}/{world}/{attempt}/base`
pub(super) async fn base(
    State(api): State<ArtifactApi>,
    Path((namespace, world, number)): Path<(String, String, i32)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let pinned = async {
        let attempt = api.own_attempt(&namespace, &world, number, &headers).await?;
        if !attempt.may_store_base() {
            return Err(RequestError::StageOver { world, attempt: number, what: "a base".to_owned() });
        }
        let body = tokio::time::timeout(LONGEST, to_bytes(body, LARGEST_BASE)).await.map_err(|_| RequestError::Slow)?;
        let body = body.map_err(|error| RequestError::Broken(error.to_string()))?;
        let BaseCommit { commit } = serde_json::from_slice(&body)
            .map_err(|error| RequestError::Invalid(format!("the body is not {{\"commit\": \"...\"}}: {error}")))?;
        let is_commit = matches!(commit.len(), 40 | 64) && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_commit {
            return Err(RequestError::Invalid("commit must be 40 or 64 hexadecimal digits".to_owned()));
        }
        let order = &attempt.world.spec.order.uid;
        api.store.owner_note(order, &Owner::of(&attempt.key)).await?;
        let commit = api.store.base_pin(order, &commit).await?;
        Ok::<_, RequestError>(Json(BaseCommit { commit }))
    }
    .await;
    api.answered(pinned)
}

/// `GET /v1/workorders/{namespace}/{order}/artifacts`
pub(super) async fn list(
    State(api): State<ArtifactApi>,
    Path((namespace, order)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let listed = async {
        let uid = api.readable_order(&namespace, &order, &headers).await?;
        Ok::<_, RequestError>(Json(api.store.artifact_list(uid.as_str()).await?))
    }
    .await;
    api.answered(listed)
}

#[derive(Deserialize)]
pub(super) struct Which {
    attempt: Option<i32>,
}

/// `GET /v1/workorders/{namespace}/{order}/worlds/{world}/artifacts/{name}`
pub(super) async fn download(
    State(api): State<ArtifactApi>,
    Path((namespace, order, world, name)): Path<(String, String, String, String)>,
    Query(which): Query<Which>,
    headers: HeaderMap,
) -> Response {
    let found = async {
        let name: ArtifactName = name.parse().map_err(|error| RequestError::Invalid(format!("{error}")))?;
        let uid = api.readable_order(&namespace, &order, &headers).await?;
        let missing = || RequestError::NotFound { what: format!("{name} of World {world}") };
        let attempt = match which.attempt {
            Some(attempt) => attempt,
            None => last_attempt(&api.store.artifact_list(uid.as_str()).await?, &world, name).ok_or_else(missing)?,
        };
        let found = api.store.artifact_get(uid.as_str(), &world, attempt, name).await?;
        found.map(sent).ok_or_else(missing)
    }
    .await;
    api.answered(found)
}

/// Returns the answer that brings what is stored.
pub(super) fn sent(found: StoredBody) -> ([(&'static str, String); 2], Body) {
    let StoredBody { digest, bytes, body } = found;
    let headers = [(DIGEST_HEADER, digest), (header::CONTENT_LENGTH.as_str(), bytes.to_string())];
    (headers, Body::from_stream(body))
}

fn last_attempt(artifacts: &[StoredArtifact], world: &str, name: ArtifactName) -> Option<i32> {
    artifacts
        .iter()
        .filter(|artifact| artifact.world == world && artifact.name == name)
        .map(|artifact| artifact.attempt)
        .max()
}
