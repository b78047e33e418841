//! Events: what people read in `kubectl describe`. They are written aside, and dropped before they hold anything up.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event as KubernetesEvent;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use manyworlds_api::conditions::shortened;
use manyworlds_api::errors::error_chain;
use manyworlds_api::{GROUP, VERSION, WorkOrder};
use manyworlds_planner::{Event, EventKind};
use manyworlds_telemetry::Metrics;
use tokio::sync::mpsc;

use crate::requests::Writer;

/// How many events may wait to be written; one that finds no place is dropped and counted.
const WAITING: usize = 256;
/// The longest note that the API server takes.
const LONGEST_NOTE: usize = 1024;
/// Name of the controller in its events.
const CONTROLLER: &str = "manyworlds.dev/operator";

/// Writes events.
#[derive(Clone)]
pub(crate) struct Recorder {
    sender: mpsc::Sender<KubernetesEvent>,
    metrics: Metrics,
}

impl Recorder {
    /// Starts to write events.
    pub(crate) fn start(writer: Writer, metrics: Metrics) -> Self {
        let (sender, mut receiver) = mpsc::channel::<KubernetesEvent>(WAITING);
        tokio::spawn(async move {
            while let Some(event) = receiver.recv().await {
                let namespace = event.metadata.namespace.clone().unwrap_or_default();
                if let Err(error) = writer.event_create(&namespace, &event).await {
                    tracing::debug!(error = %error_chain(&error), "an event could not be written");
                }
            }
        });
        Self { sender, metrics }
    }

    /// Has an event about an order written.
    pub(crate) fn record(&self, order: &WorkOrder, event: &Event, now: Timestamp) {
        let regarding = ObjectReference {
            api_version: Some(format!("{GROUP}/{VERSION}")),
            kind: Some("WorkOrder".to_owned()),
            name: order.metadata.name.clone(),
            namespace: order.metadata.namespace.clone(),
            uid: order.metadata.uid.clone(),
            resource_version: order.metadata.resource_version.clone(),
            field_path: None,
        };
        self.record_about(regarding, event, now);
    }

    /// Has an event about any object of a namespace written.
    pub(crate) fn record_about(&self, regarding: ObjectReference, event: &Event, now: Timestamp) {
        if self.sender.try_send(to_kubernetes(regarding, event, now)).is_err() {
            self.metrics.events_dropped.inc();
        }
    }
}

fn to_kubernetes(regarding: ObjectReference, event: &Event, now: Timestamp) -> KubernetesEvent {
    let name = regarding.name.as_deref().unwrap_or_default();
    KubernetesEvent {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{:x}", now.as_nanosecond())),
            namespace: regarding.namespace.clone(),
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
    }
}
