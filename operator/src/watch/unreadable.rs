//! Objects that cannot be read, for example written under a schema that this version does not know.
//!
//! A watch reads straight into its own type, which costs least. Only once an object could not be read that way does it read
//! everything twice, first as any JSON, so that one bad object keeps no other one from being seen.

use std::borrow::Cow;
use std::collections::HashSet;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::api::Api;
use kube::core::ObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use manyworlds_api::conditions::{OrderCondition, Reason, Truth, condition};
use manyworlds_api::errors::error_chain;
use manyworlds_planner::{Event as OrderEvent, EventKind};
use manyworlds_telemetry::{Metrics, ObjectLabel};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::events::Recorder;
use crate::requests::Writer;

/// An object, or why it cannot be read.
#[derive(Clone, Debug)]
pub(crate) struct Guarded<K>(pub(crate) Result<K, Box<Unreadable>>);

/// What can be said of an object that cannot be read.
#[derive(Clone, Debug)]
pub(crate) struct Unreadable {
    metadata: ObjectMeta,
    why: String,
    raw: Value,
}

impl Unreadable {
    /// Returns a part of the object, where at least that can be read.
    pub(crate) fn part<T: DeserializeOwned>(&self, pointer: &str) -> Option<T> {
        self.raw.pointer(pointer).and_then(|part| T::deserialize(part).ok())
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Guarded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Value::deserialize(deserializer)?;
        Ok(Self(match serde_path_to_error::deserialize(&raw) {
            Ok(object) => Ok(object),
            Err(error) => {
                let metadata = ObjectMeta::deserialize(&raw["metadata"]).map_err(D::Error::custom)?;
                let why = format!("{}: {}", error.path(), error.inner());
                Err(Box::new(Unreadable { metadata, why, raw }))
            }
        }))
    }
}

impl<K: Resource> Resource for Guarded<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::kind(dynamic)
    }

    fn group(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::group(dynamic)
    }

    fn version(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::version(dynamic)
    }

    fn plural(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::plural(dynamic)
    }

    fn meta(&self) -> &ObjectMeta {
        match &self.0 {
            Ok(object) => object.meta(),
            Err(unreadable) => &unreadable.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match &mut self.0 {
            Ok(object) => object.meta_mut(),
            Err(unreadable) => &mut unreadable.metadata,
        }
    }
}

/// The events of a watch.
pub(super) type Events<K> = BoxStream<'static, Result<Event<Guarded<K>>, watcher::Error>>;

/// Where the objects of a watch come from.
pub(super) struct Source<K> {
    /// Reads straight into the type.
    pub(super) direct: Api<K>,
    /// Reads also what does not fit into it.
    pub(super) guarded: Api<Guarded<K>>,
    pub(super) config: watcher::Config,
}

impl<K> Source<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + std::fmt::Debug + Send + 'static,
{
    /// Watches on the cheap way, which the first object that cannot be read breaks.
    pub(super) fn direct(&self) -> Events<K> {
        watcher(self.direct.clone(), self.config.clone()).default_backoff().map_ok(wrapped).boxed()
    }

    /// Watches on the way that nothing unreadable breaks.
    pub(super) fn guarded(&self) -> Events<K> {
        watcher(self.guarded.clone(), self.config.clone()).default_backoff().boxed()
    }
}

fn wrapped<K>(event: Event<K>) -> Event<Guarded<K>> {
    match event {
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
        Event::InitApply(object) => Event::InitApply(Guarded(Ok(object))),
        Event::Apply(object) => Event::Apply(Guarded(Ok(object))),
        Event::Delete(object) => Event::Delete(Guarded(Ok(object))),
    }
}

/// Returns whether a watch broke because of what it read, and not because of the way to the API server.
pub(super) fn is_unreadable(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => {
            matches!(error, kube::Error::SerdeError(error) if error.is_data())
        }
        watcher::Error::WatchError(_) | watcher::Error::NoResourceVersion => false,
    }
}

/// Tells people of objects that cannot be read: once for each object.
pub(crate) struct Reporter {
    writer: Writer,
    events: Recorder,
    metrics: Metrics,
    told: HashSet<String>,
}

impl Reporter {
    pub(crate) fn new(writer: Writer, events: Recorder, metrics: Metrics) -> Self {
        Self { writer, events, metrics, told: HashSet::new() }
    }

    /// An object can be read, or is gone.
    pub(crate) fn well(&mut self, metadata: &ObjectMeta) {
        if !self.told.is_empty() {
            self.told.remove(metadata.uid.as_deref().unwrap_or_default());
        }
    }

    /// An object cannot be read.
    pub(crate) async fn tell<K: Resource<DynamicType = ()>>(&mut self, kind: ObjectLabel, unreadable: &Unreadable) {
        let Unreadable { metadata, why, raw } = unreadable;
        let conditions = &raw["status"]["conditions"];
        if !self.told.insert(metadata.uid.clone().unwrap_or_default()) {
            return;
        }
        let (namespace, name) = (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref());
        let message = format!(
            "This version of the operator cannot read the object, and leaves it alone: {why}. Correct the field, or \
             run the version that wrote it."
        );
        self.metrics.objects_unreadable.with_label_values(&[kind.as_str()]).inc();
        tracing::warn!(kind = kind.as_str(), namespace, name, why, "an object cannot be read; all others go on");
        // Nodes have no namespace, and what is wrong with one is for the log.
        if metadata.namespace.is_none() {
            return;
        }
        let regarding = ObjectReference {
            api_version: Some(K::api_version(&()).into_owned()),
            kind: Some(K::kind(&()).into_owned()),
            name: metadata.name.clone(),
            namespace: metadata.namespace.clone(),
            uid: metadata.uid.clone(),
            resource_version: metadata.resource_version.clone(),
            field_path: None,
        };
        let reason = Reason::Unreadable;
        let event = OrderEvent { kind: EventKind::Warning, reason, action: "Read", message: message.clone() };
        self.events.record_about(regarding, &event, Timestamp::now());
        if kind == ObjectLabel::WorkOrder && !is_true(conditions, OrderCondition::Finished) {
            self.stall(namespace, metadata, conditions, &message).await;
        }
    }

    /// Shows on an order that a person must act. Other conditions are left as they are, because they may be unreadable too.
    ///
    /// The API server takes this for an object that its schema allows and this version does not know. One that breaks the
    /// schema too, because that was narrowed after the object was written, has its Event only.
    async fn stall(&self, namespace: &str, metadata: &ObjectMeta, conditions: &Value, message: &str) {
        let name = metadata.name.as_deref().unwrap_or_default();
        let kind = OrderCondition::Stalled.as_str();
        let line = condition(kind, Truth::True, Reason::Unreadable, message, metadata.generation, Timestamp::now());
        let others = conditions.as_array().into_iter().flatten().filter(|line| line["type"] != kind).cloned();
        let lines: Vec<Value> = others.chain([json!(line)]).collect();
        let body = json!({
            "metadata": { "uid": metadata.uid, "resourceVersion": metadata.resource_version },
            "status": { "conditions": lines, "summary": Reason::Unreadable.as_str(), "message": message },
        });
        if let Err(error) = self.writer.unreadable_order_status_patch(namespace, name, &body).await {
            tracing::warn!(error = %error_chain(&error), "that an order is unreadable could not be shown on it");
        }
    }
}

fn is_true(conditions: &Value, kind: OrderCondition) -> bool {
    conditions
        .as_array()
        .is_some_and(|lines| lines.iter().any(|line| line["type"] == kind.as_str() && line["status"] == "True"))
}
