//! The way to the cluster: reading it, which every role does, and writing to it, which the role `controller` alone does.

use kube::api::Api;
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};
use manyworlds_telemetry::Metrics;

use crate::reconcile::events::Recorder;
use crate::requests::Writer;

/// The way to read the cluster.
#[derive(Clone)]
pub(crate) struct Cluster {
    /// Makes the requests.
    pub(crate) client: Client,
    /// The one namespace that is worked on; all where there is none.
    pub(crate) namespace: Option<String>,
    /// Counts.
    pub(crate) metrics: Metrics,
}

/// The way to write to the cluster. A process without the role `controller` has none.
#[derive(Clone)]
pub(crate) struct Writes {
    /// Writes objects.
    pub(crate) writer: Writer,
    /// Writes Events.
    pub(crate) events: Recorder,
}

impl Cluster {
    /// Returns the requests about the objects of a kind that are worked on.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }
}

impl Writes {
    /// Starts to write Events.
    pub(crate) fn start(cluster: &Cluster) -> Self {
        let writer = Writer::new(cluster.client.clone(), cluster.metrics.clone());
        let events = Recorder::start(writer.clone(), cluster.metrics.clone());
        Self { writer, events }
    }
}
