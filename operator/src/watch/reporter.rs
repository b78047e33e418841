//! Objects that cannot be read are shown to people: on the object, as an Event, in the log and in the metrics.

use std::collections::HashSet;

use jiff::Timestamp;
use kube::core::ObjectMeta;
use manyworlds_api::conditions::{Reason, condition};
use manyworlds_api::object::ObjectId;
use manyworlds_planner::{Event, EventKind};
use manyworlds_telemetry::Metrics;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::guarded::Unreadable;
use crate::cluster::Writes;
use crate::errors::ReconcileError;
use crate::kind::{Kind, UnreadableStatus};
use crate::reconcile::events::{Recorder, reference};
use crate::requests::Writer;
use manyworlds_api::errors::error_chain;

/// Reports the objects of a kind that cannot be read, each once.
pub(super) struct Reporter {
    metrics: Metrics,
    /// The uids of those that were reported.
    reported: HashSet<Option<String>>,
    /// Objects that are still to show it. They are no more than there are objects.
    unshown: mpsc::UnboundedSender<Report>,
}

/// An object that cannot be read, with a sentence for people.
struct Report {
    unreadable: Unreadable,
    message: String,
}

impl Reporter {
    /// Starts to report objects of a kind: in the log and the metrics, and in the cluster where that may be written to.
    pub(super) fn start<K: Kind + 'static>(metrics: Metrics, writes: Option<Writes>) -> Self {
        let (unshown, receiver) = mpsc::unbounded_channel();
        // A write takes its time, and the watch must not stand still meanwhile.
        if let Some(Writes { writer, events }) = writes {
            tokio::spawn(show_all::<K>(writer, events, receiver));
        }
        Self { metrics, reported: HashSet::new(), unshown }
    }

    /// Notes that an object can be read, or is gone.
    pub(super) fn clear(&mut self, metadata: &ObjectMeta) {
        if !self.reported.is_empty() {
            self.reported.remove(&metadata.uid);
        }
    }

    /// Reports an object that cannot be read.
    pub(super) fn report<K: Kind>(&mut self, unreadable: &Unreadable) {
        let Unreadable { metadata, why, .. } = unreadable;
        if !self.reported.insert(metadata.uid.clone()) {
            return;
        }
        let (kind, namespace, name) = (K::LABEL.as_str(), metadata.namespace.as_deref(), metadata.name.as_deref());
        self.metrics.objects_unreadable.with_label_values(&[kind]).inc();
        tracing::warn!(kind, namespace, name, why, "an object cannot be read; all others go on");
        let message = format!(
            "This version of the operator cannot read the object, and leaves it alone: {why}. Correct the field, or \
             run the version that wrote it."
        );
        // An error means that the process ends, or that it leaves showing it to the process with the role `controller`.
        let _ = self.unshown.send(Report { unreadable: unreadable.clone(), message });
    }
}

async fn show_all<K: Kind>(writer: Writer, events: Recorder, mut unshown: mpsc::UnboundedReceiver<Report>) {
    while let Some(Report { unreadable, message }) = unshown.recv().await {
        let metadata = &unreadable.metadata;
        // Nodes have no namespace, and what is wrong with one is for the log.
        if metadata.namespace.is_none() {
            continue;
        }
        let reason = Reason::Unreadable;
        let event = Event { kind: EventKind::Warning, reason, action: "Read", message: message.clone() };
        events.record(reference::<K>(metadata), &event, Timestamp::now());
        let Some(body) = K::UNREADABLE.and_then(|shown| patch(shown, &unreadable, &message)) else { continue };
        if let Err(error) = show::<K>(&writer, metadata, &body).await {
            tracing::warn!(error = %error_chain(&error), "that an object is unreadable could not be shown on it");
        }
    }
}

/// Writes it on the object.
///
/// The API server takes this for an object that its schema allows and this version does not know. One that breaks the
/// schema too, because that was narrowed after the object was written, has its Event only.
async fn show<K: Kind>(writer: &Writer, metadata: &ObjectMeta, body: &Value) -> Result<(), ReconcileError> {
    writer.patch_status::<K, IgnoredAny>(&ObjectId::parse(metadata)?, body).await.map(drop)
}

/// Returns the patch that shows it, where the object is not over. Other conditions are left as they are, because they may be
/// unreadable too.
fn patch(shown: UnreadableStatus, unreadable: &Unreadable, message: &str) -> Option<Value> {
    let UnreadableStatus { condition: kind, truth, unless, summary } = shown;
    let Unreadable { metadata, raw, .. } = unreadable;
    let before = raw["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    let is_over = |line: &Value| unless.is_some_and(|unless| line["type"] == unless) && line["status"] == "True";
    if before.iter().any(is_over) {
        return None;
    }
    let line = condition(kind, truth, Reason::Unreadable, message, metadata.generation, Timestamp::now());
    let others = before.iter().filter(|line| line["type"] != kind).cloned();
    let lines: Vec<Value> = others.chain([json!(line)]).collect();
    let mut status = json!({ "conditions": lines, "message": message });
    if let Some(summary) = summary {
        status[summary] = Reason::Unreadable.as_str().into();
    }
    let identity = json!({ "uid": metadata.uid, "resourceVersion": metadata.resource_version });
    Some(json!({ "metadata": identity, "status": status }))
}
