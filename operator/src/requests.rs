//! The write requests of the operator, for any kind: counted, and answered with no more than is needed.

use kube::Client;
use kube::api::{DeleteParams, GetParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::core::{ObjectMeta, PartialObjectMeta, Request};
use manyworlds_api::object::ObjectId;
use manyworlds_telemetry::{ApiVerb, Metrics, ObjectLabel};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use crate::errors::ReconcileError;
use crate::kind::Kind;

/// Name under which server-side apply keeps our fields.
const FIELD_MANAGER: &str = "manyworlds";

/// Makes write requests.
#[derive(Clone)]
pub(crate) struct Writer {
    client: Client,
    metrics: Metrics,
}

impl Writer {
    pub(crate) fn new(client: Client, metrics: Metrics) -> Self {
        Self { client, metrics }
    }

    /// Creates an object, and returns of it what `R` reads.
    pub(crate) async fn create<K, R>(&self, namespace: &str, object: &K) -> Result<R, ReconcileError>
    where
        K: Kind + Serialize,
        R: DeserializeOwned,
    {
        let body = serde_json::to_vec(object).map_err(ReconcileError::Json)?;
        let request = requests::<K>(namespace).create(&PostParams::default(), body);
        self.send(ApiVerb::Create, K::LABEL, request).await
    }

    /// Patches the status of an object, and returns of it what `R` reads. The body says of which uid and version.
    pub(crate) async fn patch_status<K: Kind, R: DeserializeOwned>(
        &self,
        object: &ObjectId<K>,
        body: &Value,
    ) -> Result<R, ReconcileError> {
        let ObjectId { namespace, name, uid: _ } = object;
        let parameters = PatchParams::default();
        let request =
            requests::<K>(namespace).patch_subresource("status", name.as_str(), &parameters, &Patch::Merge(body));
        self.send(ApiVerb::Patch, K::LABEL, request).await
    }

    /// Makes an object what it should be, and returns of it what `R` reads.
    pub(crate) async fn apply<K, R>(&self, namespace: &str, name: &str, object: &K) -> Result<R, ReconcileError>
    where
        K: Kind + Serialize,
        R: DeserializeOwned,
    {
        let mut value = serde_json::to_value(object).map_err(ReconcileError::Json)?;
        if let Value::Object(fields) = &mut value {
            fields.insert("apiVersion".to_owned(), K::api_version(&()).into());
            fields.insert("kind".to_owned(), K::kind(&()).into());
        }
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let request = requests::<K>(namespace).patch(name, &parameters, &Patch::Apply(&value));
        self.send(ApiVerb::Patch, K::LABEL, request).await
    }

    /// Deletes an object and all that belongs to it, if it is still the one that was meant.
    ///
    /// - **Units:** `grace_seconds` is how long a pod may take to end; `None` leaves it at what the pod says.
    pub(crate) async fn delete<K: Kind>(
        &self,
        object: &ObjectId<K>,
        grace_seconds: Option<u32>,
    ) -> Result<(), ReconcileError> {
        let ObjectId { namespace, name, uid } = object;
        let parameters = DeleteParams {
            grace_period_seconds: grace_seconds,
            preconditions: Some(Preconditions { uid: Some(uid.to_string()), resource_version: None }),
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        let request = requests::<K>(namespace).delete(name.as_str(), &parameters);
        match self.send::<IgnoredAny>(ApiVerb::Delete, K::LABEL, request).await {
            // Gone, or made again by somebody else: either way the one that was meant is no more.
            Err(ReconcileError::Api { source: kube::Error::Api(status), .. }) if matches!(status.code, 404 | 409) => {
                Ok(())
            }
            other => other.map(drop),
        }
    }

    /// Reads the metadata of an object: only after its name turned out to be taken.
    pub(crate) async fn metadata<K: Kind>(&self, namespace: &str, name: &str) -> Result<ObjectMeta, ReconcileError> {
        let request = requests::<K>(namespace).get_metadata(name, &GetParams::default());
        let object: PartialObjectMeta = self.answer(request, "read", K::LABEL).await?;
        Ok(object.metadata)
    }

    /// Reads an object: only where the index has left a part of it out.
    pub(crate) async fn read<K: Kind, R: DeserializeOwned>(&self, object: &ObjectId<K>) -> Result<R, ReconcileError> {
        let request = requests::<K>(&object.namespace).get(object.name.as_str(), &GetParams::default());
        self.answer(request, "read", K::LABEL).await
    }

    async fn send<R: DeserializeOwned>(
        &self,
        verb: ApiVerb,
        kind: ObjectLabel,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<R, ReconcileError> {
        self.metrics.api_writes.with_label_values(&[verb.as_str(), kind.as_str()]).inc();
        self.answer(request, verb.as_str(), kind).await
    }

    async fn answer<R: DeserializeOwned>(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
        verb: &str,
        kind: ObjectLabel,
    ) -> Result<R, ReconcileError> {
        let failed = |source| ReconcileError::Api { action: format!("{verb} a {}", kind.as_str()), source };
        let request = request.map_err(|error| failed(kube::Error::BuildRequest(error)))?;
        self.client.request(request).await.map_err(failed)
    }
}

/// Returns the requests about the objects of a kind in a namespace.
fn requests<K: Kind>(namespace: &str) -> Request {
    Request::new(K::url_path(&(), Some(namespace)))
}
