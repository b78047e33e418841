//! The requests of the artifact API.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use manyworlds_api::artifacts::{ArtifactName, BaseCommit, DIGEST_HEADER, StoredArtifact, hexadecimal};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::api::{ArtifactApi, RequestError};

/// `PUT /v1/worlds/{namespace}/{world}/{attempt}/artifacts/{name}`
pub(super) async fn upload(
    State(api): State<ArtifactApi>,
    Path((namespace, world, number, name)): Path<(String, String, i32, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let stored = async {
        let name: ArtifactName = name.parse().map_err(|error| RequestError::Invalid(format!("{error}")))?;
        let attempt = api.own_attempt(&namespace, &world, number, &headers).await?;
        if !attempt.may_store(name) {
            return Err(RequestError::StageOver { world, attempt: number, what: format!("its {name}") });
        }
        let (size, spec) = (body.len(), &attempt.world.spec);
        api.store.artifact_put(&spec.order.uid, &spec.variant.name, number, name, body).await?;
        api.metrics.artifacts.inc();
        api.metrics.artifact_bytes.inc_by(u64::try_from(size).unwrap_or(u64::MAX));
        Ok::<_, RequestError>(StatusCode::CREATED)
    }
    .await;
    api.answered(stored)
}

/// `POST /v1/worlds/{namespace}/{world}/{attempt}/base`
pub(super) async fn base(
    State(api): State<ArtifactApi>,
    Path((namespace, world, number)): Path<(String, String, i32)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let pinned = async {
        let BaseCommit { commit } = serde_json::from_slice(&body)
            .map_err(|error| RequestError::Invalid(format!("the body is not {{\"commit\": \"...\"}}: {error}")))?;
        let is_commit = matches!(commit.len(), 40 | 64) && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_commit {
            return Err(RequestError::Invalid("commit must be 40 or 64 hexadecimal digits".to_owned()));
        }
        let attempt = api.own_attempt(&namespace, &world, number, &headers).await?;
        if !attempt.may_pin_base() {
            return Err(RequestError::StageOver { world, attempt: number, what: "a base".to_owned() });
        }
        let commit = api.store.base_pin(&attempt.world.spec.order.uid, &commit).await?;
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
        let bytes = api.store.artifact_get(uid.as_str(), &world, attempt, name).await?.ok_or_else(missing)?;
        let digest = digest(&bytes).await;
        Ok::<_, RequestError>(([(DIGEST_HEADER, digest)], bytes))
    }
    .await;
    api.answered(found)
}

/// Returns the SHA-256 of an artifact. It may be large, and the thread decides about orders too.
async fn digest(bytes: &[u8]) -> String {
    let mut digest = Sha256::new();
    for chunk in bytes.chunks(1 << 20) {
        digest.update(chunk);
        tokio::task::yield_now().await;
    }
    hexadecimal(&digest.finalize())
}

fn last_attempt(artifacts: &[StoredArtifact], world: &str, name: ArtifactName) -> Option<i32> {
    artifacts
        .iter()
        .filter(|artifact| artifact.world == world && artifact.name == name)
        .map(|artifact| artifact.attempt)
        .max()
}
