//! The index of the cluster: the last seen state, by order.
//!
//! Watches write here, and so does `apply` with what the API server answered, so that a decision never rests on an
//! observation that is older than our own last write.

mod abridged;
mod apply;
#[cfg(test)]
mod apply_tests;
pub(crate) mod census;
pub(crate) mod changed_order;
mod changes;
#[cfg(test)]
pub(crate) mod fixtures;
mod key;
pub(crate) mod lookup;
mod namespaces;
pub(crate) mod orders;
mod state;

pub(crate) use key::{OrderKey, Touched};
pub(crate) use state::Index;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use manyworlds_api::object::OrderUid;
use manyworlds_planner::node_resources::Resources;
use manyworlds_planner::observation::{ObservedNode, OrderPod, Placement, Readiness};
use manyworlds_planner::policy::capacity::Request;
use manyworlds_planner::policy::refusal::Refusal;
use manyworlds_planner::{Grant, ModelUse, Settings, Snapshot};

impl Index {
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
        let pods: Vec<Arc<OrderPod>> = entry.pods.values().cloned().collect();
        let lost_nodes: BTreeSet<Arc<str>> = pods
            .iter()
            .filter_map(|pod| pod.node.clone())
            .filter(|name| seen.capacity.node(name).is_none_or(|node| node.readiness == Readiness::Lost))
            .collect();
        Some(Snapshot {
            now,
            order: entry.order.clone()?,
            texts: entry.texts,
            worlds: entry.worlds.values().cloned().collect(),
            pods,
            lost_nodes,
            status_written: entry.status_written,
            progress_writes: 0,
            refusal: entry.refusal.clone(),
            models: ModelUse::default(),
            settings: settings.clone(),
        })
    }

    /// Reserves slots for an order until [`Index::confirm`].
    pub(crate) fn reserve(&self, request: &Request) -> (Grant, Touched) {
        let mut seen = self.lock();
        let waiting_before = seen.capacity.waiting();
        let grant = seen.capacity.reserve(request);
        // An order that left the queue makes the next one first.
        let touched = if waiting_before > seen.capacity.waiting() { seen.next_in_queue() } else { Vec::new() };
        (grant, touched)
    }

    /// Returns a World's share of a node.
    pub(crate) fn share(&self, least: Resources, placement: &Placement) -> Resources {
        self.lock().capacity.share(least, placement)
    }

    /// Ends the reservation of an order, all of whose pods were made.
    pub(crate) fn confirm(&self, uid: &OrderUid) {
        self.lock().capacity.confirm(uid);
    }

    /// Takes note that an order started Worlds and nothing was refused. It may try more of its `worlds` than before.
    pub(crate) fn succeeded(&self, key: &OrderKey, worlds: usize) {
        if let Some(entry) = self.lock().orders.get_mut(key) {
            entry.refusal = entry.refusal.take().and_then(|refusal| refusal.after_success(worlds));
        }
    }

    /// Takes note that an order could not start what it wanted, and whether that was refused. Until it asks again it has
    /// neither slots nor a place in the queue: what it cannot use is for others.
    pub(crate) fn gave_up(&self, key: &OrderKey, uid: &OrderUid, refusal: Option<Refusal>) -> Touched {
        let mut seen = self.lock();
        seen.capacity.confirm(uid);
        seen.capacity.withdraw(uid);
        if let Some(entry) = seen.orders.get_mut(key)
            && refusal.is_some()
            && entry.order.as_ref().is_some_and(|order| order.uid() == uid)
        {
            entry.refusal = refusal;
        }
        seen.next_in_queue()
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
