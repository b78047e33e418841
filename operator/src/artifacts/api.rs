//! The requests of the artifact API: who asks, and how an answer or a refusal is sent.

use std::sync::Arc;

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use manyworlds_api::object::OrderUid;
use manyworlds_telemetry::{Metrics, StatusClassLabel};

use super::errors::RequestError;
use super::store::ArtifactStore;
use super::uploads::Uploads;
use crate::identity::{Audience, Identities};
use crate::index::lookup::Attempt;
use crate::index::{Index, OrderKey};

/// The artifact API. Clones share it.
#[derive(Clone)]
pub(crate) struct ArtifactApi {
    pub(super) store: ArtifactStore,
    pub(super) uploads: Uploads,
    pub(super) metrics: Metrics,
    identities: Identities,
    index: Arc<Index>,
}

impl ArtifactApi {
    pub(crate) fn new(identities: Identities, index: Arc<Index>, store: ArtifactStore, metrics: Metrics) -> Self {
        Self { store, uploads: Uploads::default(), metrics, identities, index }
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
