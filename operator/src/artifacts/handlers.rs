//! The requests of the artifact API.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use manyworlds_api::World;
use manyworlds_api::artifacts::{
    ApiError, ApiErrorBody, ArtifactName, BaseCommit, DIGEST_HEADER, StoredArtifact, hexadecimal,
};
use manyworlds_api::conditions::{Truth, WorldCondition, truth};
use manyworlds_api::errors::error_chain;
use manyworlds_planner::observation::Presence;
use manyworlds_telemetry::StatusClassLabel;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::ArtifactApi;
use super::access::Refused;
use super::store::StoreError;
use crate::index::OrderKey;

/// Why a request is not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the token is not that of a running pod of World {world}, attempt {attempt}")]
    NotThisWorld { world: String, attempt: i32 },
    #[error("there is no {what}")]
    NotFound { what: String },
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RequestError {
    fn describe(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Refused(Refused::NoToken | Refused::Token) => {
                (StatusCode::UNAUTHORIZED, "unauthenticated", "send 'Authorization: Bearer <token>' with a valid token")
            }
            Self::Refused(Refused::Forbidden { .. }) => {
                (StatusCode::FORBIDDEN, "forbidden", "ask for the verb get on this WorkOrder")
            }
            Self::NotThisWorld { .. } => {
                (StatusCode::FORBIDDEN, "forbidden", "a pod may only store what belongs to its own attempt")
            }
            Self::NotFound { .. } => {
                (StatusCode::NOT_FOUND, "not_found", "'kubectl worlds artifacts' lists what there is")
            }
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid", "correct the request"),
            Self::Refused(Refused::Review(_)) | Self::Store(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "try again")
            }
        }
    }
}

impl IntoResponse for RequestError {
    fn into_response(self) -> Response {
        let (status, code, hint) = self.describe();
        if status.is_server_error() {
            tracing::warn!(error = %error_chain(&self), "an artifact request failed");
        }
        let error = ApiErrorBody { code: code.to_owned(), message: self.to_string(), hint: hint.to_owned() };
        (status, Json(ApiError { error })).into_response()
    }
}

/// `PUT /v1/worlds/{namespace}/{world}/{attempt}/artifacts/{name}`
pub(super) async fn upload(
    State(api): State<ArtifactApi>,
    Path((namespace, world, attempt, name)): Path<(String, String, i32, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let stored = async {
        let name: ArtifactName = name.parse().map_err(|error| RequestError::Invalid(format!("{error}")))?;
        let world = api.own_world(&namespace, &world, attempt, &headers).await?;
        let size = body.len();
        let spec = &world.spec;
        api.store.artifact_put(&spec.order.uid, &spec.variant.name, attempt, name, body).await?;
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
    Path((namespace, world, attempt)): Path<(String, String, i32)>,
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
        let world = api.own_world(&namespace, &world, attempt, &headers).await?;
        let commit = api.store.base_pin(&world.spec.order.uid, &commit).await?;
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
        Ok::<_, RequestError>(Json(api.store.artifact_list(&uid).await?))
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
            None => last_attempt(&api.store.artifact_list(&uid).await?, &world, name).ok_or_else(missing)?,
        };
        let bytes = api.store.artifact_get(&uid, &world, attempt, name).await?.ok_or_else(missing)?;
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

impl ArtifactApi {
    /// Returns the World of a request if it comes from the pod of that attempt and the World still works.
    async fn own_world(
        &self,
        namespace: &str,
        name: &str,
        attempt: i32,
        headers: &HeaderMap,
    ) -> Result<Arc<World>, RequestError> {
        let identity = self.access.pod(headers).await?;
        let refused = || RequestError::NotThisWorld { world: name.to_owned(), attempt };
        let world = self.index.world(namespace, name).ok_or_else(refused)?;
        let key = OrderKey { namespace: namespace.into(), name: world.spec.order.name.as_str().into() };
        // The API server goes on accepting the token of a deleted pod for some seconds; our own watch knows better.
        let (_, pod) = self.index.pod(&key, &identity.name).ok_or_else(refused)?;
        let finished = world
            .status
            .as_ref()
            .is_some_and(|status| truth(&status.conditions, WorldCondition::Finished.as_str()) == Truth::True);
        let own = identity.namespace == namespace
            && pod.uid == identity.uid
            && pod.presence == Presence::Present
            && pod.attempt == attempt
            && Some(&pod.owner.uid) == world.metadata.uid.as_ref()
            && !finished;
        if own { Ok(world) } else { Err(refused()) }
    }

    /// Returns the uid of an order that the sender of a request may read.
    async fn readable_order(&self, namespace: &str, name: &str, headers: &HeaderMap) -> Result<String, RequestError> {
        let key = OrderKey { namespace: namespace.into(), name: name.into() };
        // Access first: somebody who may not read the order must not learn whether it exists.
        self.access.reader(headers, &key).await?;
        let order =
            self.index.order(&key).ok_or_else(|| RequestError::NotFound { what: format!("WorkOrder {key}") })?;
        Ok(order.metadata.uid.clone().unwrap_or_default())
    }

    fn answered(&self, answer: Result<impl IntoResponse, RequestError>) -> Response {
        let response = match answer {
            Ok(answer) => answer.into_response(),
            Err(error) => error.into_response(),
        };
        let word = match response.status() {
            status if status.is_success() => StatusClassLabel::Success,
            status if status.is_server_error() => StatusClassLabel::Failed,
            _ => StatusClassLabel::Refused,
        };
        self.metrics.http_requests.with_label_values(&[word.as_str()]).inc();
        response
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::index::Index;

    #[test]
    fn a_world_is_found_by_its_name_also_where_orders_and_variants_have_dashes() {
        let index = Index::default();
        for (order, variant) in [("a", "b-c"), ("a-b", "d"), ("a-b-e", "f-g")] {
            let world = json!({
                "metadata": {
                    "name": format!("{order}-{variant}"), "namespace": "team", "uid": format!("{order}-{variant}"),
                    "resourceVersion": "1", "labels": { manyworlds_api::labels::WORK_ORDER: order },
                },
                "spec": {
                    "order": { "name": order, "uid": order }, "variant": { "name": variant, "index": 0 },
                    "blueprint": { "plugin": "echo", "image": "i", "resources": {} },
                },
            });
            index.world_seen(serde_json::from_value(world).unwrap());
        }
        for (name, order) in [("a-b-c", "a"), ("a-b-d", "a-b"), ("a-b-e-f-g", "a-b-e")] {
            assert_eq!(index.world("team", name).unwrap().spec.order.name, order);
        }
        assert!(index.world("team", "a-b").is_none());
        assert!(index.world("other", "a-b-c").is_none());
    }
}
