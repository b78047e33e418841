//! The requests of the artifact API: who asks, and how an answer or a refusal is sent.

use std::sync::Arc;

use axum::Json;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use manyworlds_api::artifacts::{ApiError, ApiErrorBody};
use manyworlds_api::object::OrderUid;
use manyworlds_telemetry::{Metrics, StatusClassLabel};

use super::store::{ArtifactStore, StoreError};
use crate::identity::{Audience, Identities, IdentityError};
use crate::index::lookup::Attempt;
use crate::index::{Index, OrderKey};
use manyworlds_api::errors::error_chain;

/// The artifact API. Clones share it.
#[derive(Clone)]
pub(crate) struct ArtifactApi {
    pub(super) store: ArtifactStore,
    pub(super) metrics: Metrics,
    identities: Identities,
    index: Arc<Index>,
}

/// The reason for which a request is not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error("the request has no bearer token")]
    NoToken,
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("the token is not that of a running pod of World {world}, attempt {attempt}")]
    NotThisWorld { world: String, attempt: i32 },
    #[error("attempt {attempt} of World {world} has come too far, or is over, and may not store {what} any more")]
    StageOver { world: String, attempt: i32, what: String },
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
            Self::NoToken | Self::Identity(IdentityError::Invalid) => {
                (StatusCode::UNAUTHORIZED, "unauthenticated", "send 'Authorization: Bearer <token>' with a valid token")
            }
            Self::Identity(IdentityError::Forbidden { .. }) => {
                (StatusCode::FORBIDDEN, "forbidden", "ask for the verb get on this WorkOrder")
            }
            Self::NotThisWorld { .. } => {
                (StatusCode::FORBIDDEN, "forbidden", "a pod may only store what belongs to its own attempt")
            }
            Self::StageOver { .. } => {
                (StatusCode::FORBIDDEN, "forbidden", "a stage may only store what is its own, and only while it runs")
            }
            Self::NotFound { .. } => {
                (StatusCode::NOT_FOUND, "not_found", "'kubectl worlds artifacts' lists what there is")
            }
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid", "correct the request"),
            Self::Identity(IdentityError::Review(_)) | Self::Store(_) => {
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

impl ArtifactApi {
    pub(crate) fn new(identities: Identities, index: Arc<Index>, store: ArtifactStore, metrics: Metrics) -> Self {
        Self { store, metrics, identities, index }
    }

    /// Returns the attempt that a request names, if the request shows the token of its pod.
    pub(super) async fn own_attempt(
        &self,
        namespace: &str,
        world: &str,
        attempt: i32,
        headers: &HeaderMap,
    ) -> Result<Attempt, RequestError> {
        let pod = self.identities.pod_of_token(bearer(headers)?, Audience::Artifacts).await?;
        let own = self
            .identities
            .attempt_of_pod(&pod)
            .filter(|own| pod.namespace == namespace && own.world.name() == world && own.pod.attempt == attempt);
        own.ok_or_else(|| RequestError::NotThisWorld { world: world.to_owned(), attempt })
    }

    /// Returns the uid of an order that the sender of a request may read.
    pub(super) async fn readable_order(
        &self,
        namespace: &str,
        name: &str,
        headers: &HeaderMap,
    ) -> Result<OrderUid, RequestError> {
        let key = OrderKey { namespace: namespace.into(), name: name.into() };
        // Access first: somebody who may not read the order must not learn whether it exists.
        self.identities.check_reader(bearer(headers)?, &key).await?;
        let order =
            self.index.order(&key).ok_or_else(|| RequestError::NotFound { what: format!("WorkOrder {key}") })?;
        Ok(order.uid().clone())
    }

    pub(super) fn answered(&self, answer: Result<impl IntoResponse, RequestError>) -> Response {
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

/// Returns the token that a request shows.
fn bearer(headers: &HeaderMap) -> Result<&str, RequestError> {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = value.ok_or(RequestError::NoToken)?.strip_prefix("Bearer ").unwrap_or_default().trim();
    if token.is_empty() { Err(RequestError::NoToken) } else { Ok(token) }
}
