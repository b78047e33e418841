//! Events: what people read in `kubectl describe`. They are written aside, and dropped before they hold anything up.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event as KubernetesEvent;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Resource;
use manyworlds_api::conditions::shortened;
use manyworlds_planner::{Event, EventKind};
use manyworlds_telemetry::Metrics;
use serde::de::IgnoredAny;
use tokio::sync::mpsc;

use crate::requests::Writer;
use manyworlds_api::errors::error_chain;

/// The most Events that wait to be written. One more is dropped and counted.
const MOST_WAITING: usize = 256;
/// The longest note that the API server takes, in bytes.
const LONGEST_NOTE: usize = 1024;
/// Name of the controller in its Events.
const CONTROLLER: &str = "manyworlds.dev/operator";

/// Writes Events about any object.
#[derive(Clone)]
pub(crate) struct Recorder {
    /// Each Event with the namespace that it is written into.
    sender: mpsc::Sender<(String, KubernetesEvent)>,
    metrics: Metrics,
}

impl Recorder {
    /// Starts to write Events, one after the other.
    pub(crate) fn start(writer: Writer, metrics: Metrics) -> Self {
        let (sender, mut receiver) = mpsc::channel::<(String, KubernetesEvent)>(MOST_WAITING);
        tokio::spawn(async move {
            while let Some((namespace, event)) = receiver.recv().await {
                if let Err(error) = writer.create::<_, IgnoredAny>(&namespace, &event).await {
                    tracing::debug!(error = %error_chain(&error), "an event could not be written");
                }
            }
        });
        Self { sender, metrics }
    }

    /// Puts an Event about an object among those that are written.
    pub(crate) fn record(&self, regarding: ObjectReference, event: &Event, now: Timestamp) {
        let queued = to_kubernetes(regarding, event, now).and_then(|event| self.sender.try_send(event).ok());
        if queued.is_none() {
            self.metrics.events_dropped.inc();
        }
    }
}

impl Recorder {
    /// Puts Events about an object of a kind among those that are written.
    pub(crate) fn record_all<K: Resource<DynamicType = ()>>(&self, metadata: &ObjectMeta, events: &[Event]) {
        for event in events {
            self.record(reference::<K>(metadata), event, Timestamp::now());
        }
    }
}

/// Returns a reference to an object of a kind, for its Events.
pub(crate) fn reference<K: Resource<DynamicType = ()>>(metadata: &ObjectMeta) -> ObjectReference {
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        name: metadata.name.clone(),
        namespace: metadata.namespace.clone(),
        uid: metadata.uid.clone(),
        resource_version: metadata.resource_version.clone(),
        field_path: None,
    }
}

/// Returns an Event as the API server takes it, with its namespace.
///
/// - **Shape:** `None` where the object has no namespace or name. Nobody could find the Event.
fn to_kubernetes(regarding: ObjectReference, event: &Event, now: Timestamp) -> Option<(String, KubernetesEvent)> {
    let (namespace, name) = (regarding.namespace.clone()?, regarding.name.as_deref()?);
    let event = KubernetesEvent {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{:x}", now.as_nanosecond())),
            namespace: Some(namespace.clone()),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some("manyworlds".to_owned()),
        action: Some(event.action.to_owned()),
        reason: Some(event.reason.as_str().to_owned()),
        note: Some(shortened(&event.message, LONGEST_NOTE)),
        type_: Some(match event.kind {
            EventKind::Normal => "Normal".to_owned(),
            EventKind::Warning => "Warning".to_owned(),
        }),
        regarding: Some(regarding),
        ..KubernetesEvent::default()
    };
    Some((namespace, event))
}
