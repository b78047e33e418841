//! Capacity: how many Worlds the nodes hold, and who may start the next one (W7).
//!
//! A World needs a slot before it gets a pod. Slots are counted over the nodes that are ready, schedulable and match;
//! they go to namespaces by what these hold, and within a namespace to orders by priority, then age. kube-scheduler still
//! places the pods.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use manyworlds_api::object::{OrderUid, PodUid};

use super::placement::{Misfits, accepts};
use super::queue::{Queue, QueueKey, Turns, Waiting};
use super::rooms::Rooms;
use super::shares::{Holding, NamespaceShares, fair};
use crate::grant::Grant;
use crate::node_resources::{Resources, slots};
use crate::observation::{ObservedNode, Placement, Readiness};

/// A request of an order for slots.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Uid of the order.
    pub uid: OrderUid,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its priority. No more of it counts than its namespace may use.
    pub priority: i32,
    /// When it was created.
    pub created: Timestamp,
    /// The number of Worlds that it wants to start now.
    pub want: usize,
    /// The need of one World.
    pub size: Resources,
    /// The nodes that its Worlds may run on.
    pub placement: Arc<Placement>,
}

/// The slot of a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// The namespace of the pod.
    pub namespace: Arc<str>,
    /// The node that it is bound to.
    pub node: Option<Arc<str>>,
    /// What it takes there.
    pub size: Resources,
}

/// The slots that are set aside for an order while its pods are made.
#[derive(Debug)]
struct Reserved {
    namespace: Arc<str>,
    size: Resources,
    count: u64,
}

/// The slots of the cluster and the queue for them.
///
/// - **Guarantees:** never gives out more than the nodes hold beyond what is held already, nor more to a namespace than its
///   limit; an order is never overtaken by one of its own namespace on a node that it could use; a namespace that has less
///   than its fair share is not kept from a free slot by an order of another one that cannot use it.
#[derive(Debug, Default)]
pub struct Capacity {
    shares: NamespaceShares,
    nodes: BTreeMap<Arc<str>, ObservedNode>,
    /// What the nodes that take new pods have together.
    cluster: Resources,
    used: HashMap<Arc<str>, Resources>,
    unbound: BTreeMap<Resources, u64>,
    occupied: HashMap<PodUid, Slot>,
    reserved: HashMap<OrderUid, Reserved>,
    /// What each namespace holds: its pods, and what is set aside for it.
    held: HashMap<Arc<str>, Holding>,
    queue: Queue,
    unplaceable: BTreeSet<OrderUid>,
}

impl Capacity {
    /// Returns a cluster without nodes, whose slots are shared like this.
    pub fn new(shares: NamespaceShares) -> Self {
        Self { shares, ..Self::default() }
    }

    /// Learns of a node, or of what has changed about it.
    pub fn node_set(&mut self, node: ObservedNode) {
        self.nodes.insert(node.name.clone(), node);
        self.add_up();
    }

    /// Forgets a node.
    pub fn node_removed(&mut self, name: &str) {
        self.nodes.remove(name);
        self.add_up();
    }

    /// Returns what is known of a node.
    pub fn node(&self, name: &str) -> Option<&ObservedNode> {
        self.nodes.get(name)
    }

    /// Notes that a pod occupies a slot, on a node once it is bound. A second call for the same pod moves it.
    pub fn occupy(&mut self, pod_uid: &PodUid, slot: Slot) {
        if self.occupied.get(pod_uid) == Some(&slot) {
            return;
        }
        self.release(pod_uid);
        match &slot.node {
            Some(name) => {
                let used = self.used.entry(name.clone()).or_default();
                *used = used.plus(slot.size);
            }
            None => *self.unbound.entry(slot.size).or_default() += 1,
        }
        self.hold(&slot.namespace, slot.size, 1);
        self.occupied.insert(pod_uid.clone(), slot);
    }

    /// Frees the slot of a pod.
    ///
    /// Returns whether it occupied one.
    pub fn release(&mut self, pod_uid: &PodUid) -> bool {
        let Some(Slot { namespace, node, size }) = self.occupied.remove(pod_uid) else { return false };
        match node {
            Some(name) => {
                if let Some(used) = self.used.get_mut(&name) {
                    *used = used.minus(size);
                    if *used == Resources::default() {
                        self.used.remove(&name);
                    }
                }
            }
            None => subtract(&mut self.unbound, size, 1),
        }
        self.let_go(&namespace, size, 1);
        true
    }

    /// Reserves slots for an order. They stay reserved until [`Capacity::confirm`].
    ///
    /// - **Guarantees:** an order that wants more than it got keeps its place in the queue.
    pub fn reserve(&mut self, request: &Request) -> Grant {
        self.confirm(&request.uid);
        self.withdraw(&request.uid);
        let nothing = Grant { size: request.size, waiting: self.queue.len(), ..Grant::default() };
        if request.want == 0 {
            return nothing;
        }
        let total = self.total(request.size, &request.placement);
        if total == 0 {
            self.unplaceable.insert(request.uid.clone());
            let misfits = Some(Misfits::count(self.nodes.values(), request.size, &request.placement));
            return Grant { misfits, ..nothing };
        }
        let share = self.shares.of(&request.namespace);
        let priority = Reverse(request.priority.min(share.max_priority));
        let key = QueueKey { priority, created: request.created, uid: request.uid.clone() };
        let want = u64::try_from(request.want).unwrap_or(u64::MAX);
        self.wait(request, &key, want);
        let placement: &Placement = &request.placement;
        let granted = self.rooms().give(self.turns(), (&key, request.size, placement), self.fair());
        self.queue.remove(&request.uid);
        self.set_aside(request, granted);
        let missing = want.saturating_sub(granted);
        let mut place = None;
        if missing > 0 {
            self.wait(request, &key, missing);
            place = Some(self.turns().take_while(|other| **other != key).count() + 1);
        }
        let is_at_limit = place.is_some() && self.holding(&request.namespace).is_at_limit(share);
        Grant {
            slots: usize::try_from(granted).unwrap_or(usize::MAX),
            place,
            limit: share.limit.filter(|_| is_at_limit),
            waiting: self.queue.len(),
            total,
            ..nothing
        }
    }

    /// Ends the reservation of an order: its pods occupy their slots themselves now, or were not made.
    pub fn confirm(&mut self, uid: &OrderUid) {
        if let Some(Reserved { namespace, size, count }) = self.reserved.remove(uid) {
            subtract(&mut self.unbound, size, count);
            self.let_go(&namespace, size, count);
        }
    }

    /// Takes an order out of the queue, and from those that no node could hold.
    pub fn withdraw(&mut self, uid: &OrderUid) {
        self.unplaceable.remove(uid);
        self.queue.remove(uid);
    }

    /// Returns the uids of the orders that come next, the first one first.
    pub fn next_in_queue(&self, most: usize) -> impl Iterator<Item = &OrderUid> {
        self.turns().take(most).map(|key| &key.uid)
    }

    /// Returns the uids of the orders that wait for a node which could hold a World of theirs.
    pub fn unplaceable(&self) -> impl Iterator<Item = &OrderUid> {
        self.unplaceable.iter()
    }

    /// Returns how many orders wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Returns how many pods occupy a slot.
    pub fn occupied(&self) -> usize {
        self.occupied.len()
    }

    /// Returns how many nodes are ready and schedulable.
    pub fn ready_nodes(&self) -> usize {
        self.ready().count()
    }

    /// Returns how many Worlds of one size the matching nodes hold when nothing else runs.
    pub fn total(&self, size: Resources, placement: &Placement) -> usize {
        let sum: u64 =
            self.nodes.values().filter(|node| accepts(node, placement)).map(|node| slots(node.allocatable, size)).sum();
        usize::try_from(sum).unwrap_or(usize::MAX)
    }

    /// Returns one World's equal share of the matching node with the most room, for as many Worlds as that node holds.
    ///
    /// - **Guarantees:** never less than `least`; `least` itself when no node matches.
    pub fn share(&self, least: Resources, placement: &Placement) -> Resources {
        let largest = self
            .nodes
            .values()
            .filter(|node| accepts(node, placement))
            .map(|node| (slots(node.allocatable, least), node.allocatable))
            .max();
        match largest {
            Some((count, room)) if count > 0 => Resources {
                processor: room.processor / count,
                memory: room.memory / count,
                storage: room.storage / count,
                pods: 1,
            },
            _ => least,
        }
    }

    fn add_up(&mut self) {
        self.cluster = self.ready().fold(Resources::default(), |sum, node| sum.plus(node.allocatable));
    }

    fn wait(&mut self, request: &Request, key: &QueueKey, want: u64) {
        let waiting = Waiting { want, size: request.size, placement: request.placement.clone() };
        self.queue.insert(&request.namespace, key.clone(), waiting);
    }

    fn set_aside(&mut self, request: &Request, count: u64) {
        if count == 0 {
            return;
        }
        let (namespace, size) = (request.namespace.clone(), request.size);
        *self.unbound.entry(size).or_default() += count;
        self.hold(&namespace, size, count);
        self.reserved.insert(request.uid.clone(), Reserved { namespace, size, count });
    }

    fn hold(&mut self, namespace: &Arc<str>, size: Resources, count: u64) {
        let held = self.held.entry(namespace.clone()).or_default();
        *held = held.plus(size, count);
    }

    fn let_go(&mut self, namespace: &str, size: Resources, count: u64) {
        let Some(held) = self.held.get_mut(namespace) else { return };
        *held = held.minus(size, count);
        if *held == Holding::default() {
            self.held.remove(namespace);
        }
    }

    fn holding(&self, namespace: &str) -> Holding {
        self.held.get(namespace).copied().unwrap_or_default()
    }

    /// Returns the turns of the orders that wait.
    fn turns(&self) -> Turns<'_> {
        self.queue.turns(self.cluster, |namespace| (self.shares.of(namespace), self.holding(namespace)))
    }

    /// Returns how well each namespace that holds or wants something would be served by its fair share.
    fn fair(&self) -> u64 {
        let holders = self.held.keys().filter(|namespace| !self.queue.has(namespace));
        fair(self.queue.namespaces().chain(holders).map(|namespace| self.shares.of(namespace).weight))
    }

    /// Returns the nodes that take new pods.
    fn ready(&self) -> impl Iterator<Item = &ObservedNode> {
        self.nodes.values().filter(|node| node.schedulable && node.readiness == Readiness::Ready)
    }

    /// Returns what is left on each node. Pods without a node are put where they fit, as the scheduler will.
    fn rooms(&self) -> Rooms<'_> {
        let used = |node: &ObservedNode| self.used.get(&node.name).copied().unwrap_or_default();
        let mut rooms = Rooms::new(self.ready().map(|node| (node, node.allocatable.minus(used(node)))));
        for (size, count) in &self.unbound {
            rooms.put(*size, *count);
        }
        rooms
    }
}

fn subtract(groups: &mut BTreeMap<Resources, u64>, size: Resources, count: u64) {
    if let Some(existing) = groups.get_mut(&size) {
        *existing = existing.saturating_sub(count);
        if *existing == 0 {
            groups.remove(&size);
        }
    }
}

#[cfg(test)]
#[path = "capacity_tests.rs"]
mod tests;
