//! The write requests that the operator makes: counted, and answered with no more than is needed.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::core::Request;
use manyworlds_api::{GROUP, VERSION, WorkOrder, World};
use manyworlds_telemetry::{ApiVerb, Metrics, ObjectLabel};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use crate::errors::ReconcileError;
use crate::watch::{PodRecord, Slim};

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

    /// Makes a World.
    pub(crate) async fn world_create(&self, namespace: &str, world: &World) -> Result<World, ReconcileError> {
        let Slim(made) = self.create(&custom(namespace, "worlds"), ObjectLabel::World, world).await?;
        Ok(made)
    }

    /// Makes a pod.
    pub(crate) async fn pod_create(&self, namespace: &str, pod: &Pod) -> Result<PodRecord, ReconcileError> {
        self.create(&format!("/api/v1/namespaces/{namespace}/pods"), ObjectLabel::Pod, pod).await
    }

    /// Writes an event.
    pub(crate) async fn event_create(
        &self,
        namespace: &str,
        event: &k8s_openapi::api::events::v1::Event,
    ) -> Result<(), ReconcileError> {
        let path = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
        self.create::<_, IgnoredAny>(&path, ObjectLabel::Event, event).await.map(drop)
    }

    /// Patches the status of a World.
    pub(crate) async fn world_status_patch(
        &self,
        namespace: &str,
        name: &str,
        body: &Value,
    ) -> Result<World, ReconcileError> {
        let Slim(world) = self.status_patch(&custom(namespace, "worlds"), ObjectLabel::World, name, body).await?;
        Ok(world)
    }

    /// Patches the status of a WorkOrder.
    pub(crate) async fn order_status_patch(
        &self,
        namespace: &str,
        name: &str,
        body: &Value,
    ) -> Result<WorkOrder, ReconcileError> {
        let Slim(order) =
            self.status_patch(&custom(namespace, "workorders"), ObjectLabel::WorkOrder, name, body).await?;
        Ok(order)
    }

    /// Patches the status of a WorkOrder that cannot be read.
    pub(crate) async fn unreadable_order_status_patch(
        &self,
        namespace: &str,
        name: &str,
        body: &Value,
    ) -> Result<(), ReconcileError> {
        let path = custom(namespace, "workorders");
        self.status_patch::<IgnoredAny>(&path, ObjectLabel::WorkOrder, name, body).await.map(drop)
    }

    /// Patches the status of a Provider or a Budget.
    pub(crate) async fn catalogue_status_patch(
        &self,
        namespace: &str,
        kind: ObjectLabel,
        name: &str,
        body: &Value,
    ) -> Result<(), ReconcileError> {
        let path = custom(namespace, &format!("{}s", kind.as_str()));
        self.status_patch::<IgnoredAny>(&path, kind, name, body).await.map(drop)
    }

    /// Deletes a pod, if it is still the one that was meant.
    pub(crate) async fn pod_delete(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        grace_seconds: Option<u32>,
    ) -> Result<(), ReconcileError> {
        let parameters = DeleteParams { grace_period_seconds: grace_seconds, ..of_uid(uid) };
        self.delete(&format!("/api/v1/namespaces/{namespace}/pods"), ObjectLabel::Pod, name, &parameters).await
    }

    /// Deletes a World and its pods.
    pub(crate) async fn world_delete(&self, namespace: &str, name: &str, uid: &str) -> Result<(), ReconcileError> {
        self.delete(&custom(namespace, "worlds"), ObjectLabel::World, name, &of_uid(uid)).await
    }

    /// Deletes a WorkOrder and everything that belongs to it.
    pub(crate) async fn order_delete(&self, namespace: &str, name: &str, uid: &str) -> Result<(), ReconcileError> {
        self.delete(&custom(namespace, "workorders"), ObjectLabel::WorkOrder, name, &of_uid(uid)).await
    }

    /// Makes a network policy what it should be.
    pub(crate) async fn network_policy_apply(
        &self,
        namespace: &str,
        name: &str,
        policy: &NetworkPolicy,
    ) -> Result<(), ReconcileError> {
        let path = format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies");
        let mut value = serde_json::to_value(policy).map_err(ReconcileError::Json)?;
        if let Value::Object(fields) = &mut value {
            fields.insert("apiVersion".to_owned(), "networking.k8s.io/v1".into());
            fields.insert("kind".to_owned(), "NetworkPolicy".into());
        }
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let request = Request::new(path).patch(name, &parameters, &Patch::Apply(&value));
        self.send::<IgnoredAny>(ApiVerb::Patch, ObjectLabel::NetworkPolicy, request).await.map(drop)
    }

    /// Reads the metadata of a World or a pod: only after a name turned out to be taken.
    pub(crate) async fn owner_of(
        &self,
        namespace: &str,
        kind: ObjectLabel,
        name: &str,
    ) -> Result<kube::core::ObjectMeta, ReconcileError> {
        let path = match kind {
            ObjectLabel::Pod => format!("/api/v1/namespaces/{namespace}/pods"),
            _ => custom(namespace, "worlds"),
        };
        let request = Request::new(path).get_metadata(name, &kube::api::GetParams::default());
        let object: kube::core::PartialObjectMeta = self.answer(request, "read", kind).await?;
        Ok(object.metadata)
    }

    async fn create<K, R>(&self, path: &str, kind: ObjectLabel, object: &K) -> Result<R, ReconcileError>
    where
        K: serde::Serialize,
        R: DeserializeOwned,
    {
        let body = serde_json::to_vec(object).map_err(ReconcileError::Json)?;
        let request = Request::new(path).create(&PostParams::default(), body);
        self.send(ApiVerb::Create, kind, request).await
    }

    async fn status_patch<R: DeserializeOwned>(
        &self,
        path: &str,
        kind: ObjectLabel,
        name: &str,
        body: &Value,
    ) -> Result<R, ReconcileError> {
        let request =
            Request::new(path).patch_subresource("status", name, &PatchParams::default(), &Patch::Merge(body));
        self.send(ApiVerb::Patch, kind, request).await
    }

    async fn delete(
        &self,
        path: &str,
        kind: ObjectLabel,
        name: &str,
        parameters: &DeleteParams,
    ) -> Result<(), ReconcileError> {
        let request = Request::new(path).delete(name, parameters);
        match self.send::<IgnoredAny>(ApiVerb::Delete, kind, request).await {
            // Gone, or made again by somebody else: either way the one that was meant is no more.
            Err(ReconcileError::Api { source: kube::Error::Api(status), .. }) if matches!(status.code, 404 | 409) => {
                Ok(())
            }
            other => other.map(drop),
        }
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

fn custom(namespace: &str, plural: &str) -> String {
    format!("/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{plural}")
}

fn of_uid(uid: &str) -> DeleteParams {
    DeleteParams {
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        propagation_policy: Some(PropagationPolicy::Background),
        ..DeleteParams::default()
    }
}
