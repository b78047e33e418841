//! What has been seen of the cluster, by order.
//!
//! Watches write here, and so does `apply` with what the API server answered, so that a decision never rests on an
//! observation that is older than our own last write.

pub(crate) mod census;
pub(crate) mod changes;
#[cfg(test)]
pub(crate) mod fixtures;
pub(crate) mod lookup;
mod noting;
#[cfg(test)]
mod noting_tests;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::core::ObjectMeta;
use manyworlds_api::{WorkOrder, World, labels};
use manyworlds_planner::observation::{ObservedNode, ObservedPod, Placement, Presence, Readiness};
use manyworlds_planner::policy::capacity::{Capacity, Request, Resources};
use manyworlds_planner::{Grant, ModelUse, Settings, Snapshot};

/// How many waiting orders are woken when a slot becomes free.
const WOKEN_AT_ONCE: usize = 16;

/// Which order.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct OrderKey {
    /// Its namespace.
    pub(crate) namespace: Arc<str>,
    /// Its name.
    pub(crate) name: Arc<str>,
}

impl OrderKey {
    /// Returns the key of an order by its metadata.
    pub(crate) fn of_order(metadata: &ObjectMeta) -> Option<Self> {
        Some(Self { namespace: metadata.namespace.as_deref()?.into(), name: metadata.name.as_deref()?.into() })
    }

    /// Returns the key of the order that a World or a pod carries the label of.
    pub(crate) fn of_label(metadata: &ObjectMeta) -> Option<Self> {
        let name = metadata.labels.as_ref()?.get(labels::WORK_ORDER)?;
        Some(Self { namespace: metadata.namespace.as_deref()?.into(), name: name.as_str().into() })
    }
}

impl fmt::Display for OrderKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Debug for OrderKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[derive(Debug, Default)]
struct Entry {
    order: Option<Arc<WorkOrder>>,
    seen: Option<Instant>,
    worlds: HashMap<String, Arc<World>>,
    pods: HashMap<String, Arc<ObservedPod>>,
    status_written: Option<Timestamp>,
}

impl Entry {
    fn is_empty(&self) -> bool {
        self.order.is_none() && self.worlds.is_empty() && self.pods.is_empty()
    }
}

#[derive(Debug, Default)]
struct Seen {
    orders: HashMap<OrderKey, Entry>,
    uids: HashMap<String, OrderKey>,
    capacity: Capacity,
    changes: Option<changes::Changes>,
    watched: noting::Watched,
}

/// What has been seen of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Index(Mutex<Seen>);

/// Orders that something was seen of, to be looked at.
pub(crate) type Touched = Vec<OrderKey>;

impl Index {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        // A panic while the lock was held leaves plain data behind, and the next watch event puts it right.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets pods whose end has been recorded and that are gone.
    pub(crate) fn pods_recorded(&self, key: &OrderKey, names: &[String]) {
        let mut seen = self.lock();
        if let Some(entry) = seen.orders.get_mut(key) {
            entry.pods.retain(|name, pod| pod.presence != Presence::Gone || !names.contains(name));
        }
    }

    /// Takes note of a node.
    pub(crate) fn node_seen(&self, node: ObservedNode) -> Touched {
        let mut seen = self.lock();
        if seen.capacity.node(&node.name) == Some(&node) {
            return Vec::new();
        }
        let (name, lost) = (node.name.clone(), node.readiness == Readiness::Lost);
        seen.capacity.node_set(node);
        if lost { seen.on_node(&name) } else { seen.next_in_queue_or_unplaceable() }
    }

    /// Takes note that a node is gone.
    pub(crate) fn node_gone(&self, name: &str) -> Touched {
        let mut seen = self.lock();
        seen.capacity.node_removed(name);
        seen.on_node(name)
    }

    /// Returns everything that a decision about an order is based on, as far as it has been seen.
    ///
    /// The writes that may show progress, and the use of models, are for the caller to fill in.
    pub(crate) fn snapshot(&self, key: &OrderKey, now: Timestamp, settings: &Arc<Settings>) -> Option<Snapshot> {
        let seen = self.lock();
        let entry = seen.orders.get(key)?;
        let pods: Vec<Arc<ObservedPod>> = entry.pods.values().cloned().collect();
        let lost_nodes: BTreeSet<Arc<str>> = pods
            .iter()
            .filter_map(|pod| pod.node.clone())
            .filter(|name| seen.capacity.node(name).is_none_or(|node| node.readiness == Readiness::Lost))
            .collect();
        Some(Snapshot {
            now,
            order: entry.order.clone()?,
            worlds: entry.worlds.values().cloned().collect(),
            pods,
            lost_nodes,
            status_written: entry.status_written,
            progress_writes: 0,
            models: ModelUse::default(),
            settings: settings.clone(),
        })
    }

    /// Asks for slots for an order, and reserves what is granted until [`Index::settled`].
    pub(crate) fn requested(&self, request: &Request) -> (Grant, Touched) {
        let mut seen = self.lock();
        let waiting_before = seen.capacity.waiting();
        let grant = seen.capacity.requested(request);
        // An order that left the queue makes the next one first.
        let touched = if waiting_before > seen.capacity.waiting() { seen.next_in_queue() } else { Vec::new() };
        (grant, touched)
    }

    /// Returns a World's share of a node.
    pub(crate) fn share(&self, least: Resources, placement: &Placement) -> Resources {
        self.lock().capacity.share(least, placement)
    }

    /// Gives back what was reserved for an order.
    pub(crate) fn settled(&self, uid: &str) {
        self.lock().capacity.settled(uid);
    }

    /// Returns how long ago an order was first seen.
    pub(crate) fn age(&self, key: &OrderKey) -> Option<Duration> {
        Some(self.lock().orders.get(key)?.seen?.elapsed())
    }

    /// Notes when an order's status was written.
    pub(crate) fn status_written(&self, key: &OrderKey, at: Timestamp) {
        if let Some(entry) = self.lock().orders.get_mut(key) {
            entry.status_written = Some(at);
        }
    }
}

impl Seen {
    fn forget_if_empty(&mut self, key: &OrderKey) {
        if self.orders.get(key).is_some_and(Entry::is_empty) {
            self.orders.remove(key);
        }
    }

    fn next_in_queue(&self) -> Touched {
        self.capacity.next_in_queue(WOKEN_AT_ONCE).filter_map(|uid| self.uids.get(uid).cloned()).collect()
    }

    /// Returns the orders that a better node may help: those that wait, and those that no node could hold.
    fn next_in_queue_or_unplaceable(&self) -> Touched {
        let mut touched = self.next_in_queue();
        touched.extend(self.capacity.unplaceable().filter_map(|uid| self.uids.get(uid).cloned()));
        touched
    }

    fn on_node(&self, name: &str) -> Touched {
        self.orders
            .iter()
            .filter(|(_, entry)| entry.pods.values().any(|pod| pod.node.as_deref() == Some(name)))
            .map(|(key, _)| key.clone())
            .collect()
    }
}

/// Returns the version of an object; versions of one kind can be compared since Kubernetes says so (KEP-5504).
pub(crate) fn version(metadata: &ObjectMeta) -> u64 {
    metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}
