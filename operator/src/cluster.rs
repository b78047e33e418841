//! The way to the cluster: what every watch and every kind needs of it.

use kube::api::Api;
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};
use manyworlds_telemetry::Metrics;

use crate::reconcile::events::Recorder;
use crate::requests::Writer;

/// The way to the cluster.
#[derive(Clone)]
pub(crate) struct Cluster {
    /// Reads.
    pub(crate) client: Client,
    /// The one namespace that is worked on; all where there is none.
    pub(crate) namespace: Option<String>,
    /// Writes.
    pub(crate) writer: Writer,
    /// Writes Events.
    pub(crate) events: Recorder,
    /// Counts.
    pub(crate) metrics: Metrics,
}

impl Cluster {
    /// Starts to write Events.
    pub(crate) fn new(client: Client, namespace: Option<String>, metrics: Metrics) -> Self {
        let writer = Writer::new(client.clone(), metrics.clone());
        let events = Recorder::start(writer.clone(), metrics.clone());
        Self { client, namespace, writer, events, metrics }
    }

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
