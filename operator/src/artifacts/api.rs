//! The requests of the artifact API: who asks, and how an answer or a refusal is sent.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use manyworlds_api::errors::error_chain;
use manyworlds_api::object::OrderUid;
use manyworlds_telemetry::{Metrics, StatusClassLabel};

use super::bundles::ComingBundles;
use super::cleaner::Cleaner;
use super::errors::RequestError;
use super::quota::Quota;
use super::retention::Retention;
use super::store::{ArtifactStore, StoreError};
use super::uploads::Uploads;
use super::usage::{Place, Usage};
use crate::identity::{Audience, Identities};
use crate::index::lookup::{Attempt, OwnPod};
use crate::index::{Index, OrderKey};

/// The wait after the stored artifacts could not be counted.
const COUNT_AGAIN: Duration = Duration::from_secs(5);

/// The inputs of the artifact API, and of what removes artifacts.
pub(crate) struct ArtifactInputs {
    /// Answers whose token a request shows.
    pub(crate) identities: Identities,
    /// Orders, Worlds and pods.
    pub(crate) index: Arc<Index>,
    /// The artifacts.
    pub(crate) store: ArtifactStore,
    /// The most bytes that are stored.
    pub(crate) quota: Quota,
    /// Counts.
    pub(crate) metrics: Metrics,
}

/// The artifact API. Clones share it.
#[derive(Clone)]
pub(crate) struct ArtifactApi {
    pub(super) store: ArtifactStore,
    pub(super) uploads: Uploads,
    pub(super) bundles: ComingBundles,
    pub(super) usage: Usage,
    pub(super) quota: Quota,
    pub(super) metrics: Metrics,
    identities: Identities,
    index: Arc<Index>,
}

impl ArtifactApi {
    pub(crate) fn new(inputs: ArtifactInputs) -> Self {
        let ArtifactInputs { identities, index, store, quota, metrics } = inputs;
        let (uploads, bundles, usage) = (Uploads::default(), ComingBundles::default(), Usage::default());
        Self { store, uploads, bundles, usage, quota, metrics, identities, index }
    }

    /// Returns what removes the artifacts that this stores.
    pub(crate) fn cleaner(&self, retention: Retention) -> Cleaner {
        Cleaner::new(self.store.clone(), self.usage.clone(), self.index.clone(), self.metrics.clone(), retention)
    }

    /// Counts what is stored already: uploads that came before would pass every bound. Tries again until the store can be read.
    pub(super) async fn count_stored(&self) {
        let orders = loop {
            match self.store.order_list().await {
                Ok(orders) => break orders,
                Err(error) => {
                    tracing::warn!(error = %error_chain(&error), "what is stored cannot be read, and nothing is taken");
                }
            }
            tokio::time::sleep(COUNT_AGAIN).await;
        };
        for uid in orders {
            // One order that cannot be read keeps no other from being stored.
            if let Err(error) = self.count_order(&uid).await {
                tracing::warn!(uid, error = %error_chain(&error), "the artifacts of an order are not counted");
            }
        }
        self.usage.show(&self.metrics);
    }

    async fn count_order(&self, uid: &str) -> Result<(), StoreError> {
        let owner = self.store.owner_get(uid).await?;
        let artifacts = self.store.artifact_list(uid).await?;
        let base = self.store.bundle_size(uid).await?.map(|bytes| (Place::Base, bytes));
        let baseline = self.store.baseline_size(uid).await?.map(|bytes| (Place::Baseline, bytes));
        let namespace = owner.as_ref().map(|owner| owner.namespace.as_str());
        self.usage.counted(uid, namespace, artifacts, base.into_iter().chain(baseline));
        Ok(())
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

    /// Returns the pod of an order itself, if a request for that order shows its token.
    pub(super) async fn own_pod(
        &self,
        namespace: &str,
        order: &str,
        headers: &HeaderMap,
    ) -> Result<OwnPod, RequestError> {
        let pod = self.identities.pod_of_token(bearer(headers)?, Audience::Artifacts).await?;
        let is_asked = |own: &OwnPod| *own.key.namespace == *namespace && *own.key.name == *order;
        let own = self.identities.own_pod(&pod).filter(is_asked);
        own.ok_or_else(|| RequestError::NotThisOrder { order: order.to_owned() })
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
