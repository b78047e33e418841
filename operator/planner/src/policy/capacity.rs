//! Capacity: how many Worlds the nodes hold, and who may start the next one (W7).
//!
//! A World needs a slot before it gets a pod. Slots are counted over the nodes that are ready, schedulable and match;
//! they go to orders by priority, then age. kube-scheduler still places the pods.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use manyworlds_api::object::{OrderUid, PodUid};

use super::placement::{Misfits, accepts, matches};
use crate::grant::Grant;
use crate::node_resources::{Resources, slots};
use crate::observation::{ObservedNode, Placement, Readiness};

/// Place of an order in the queue: higher priority first, then the older one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueueKey {
    priority: Reverse<i32>,
    created: Timestamp,
    uid: OrderUid,
}

/// A request of an order for slots.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Uid of the order.
    pub uid: OrderUid,
    /// Its priority.
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

#[derive(Debug)]
struct Waiting {
    want: usize,
    size: Resources,
    placement: Arc<Placement>,
}

#[derive(Debug)]
struct Occupied {
    node: Option<Arc<str>>,
    size: Resources,
}

/// Room that is left on one node while slots are given out.
#[derive(Clone, Copy)]
struct Room<'a> {
    node: &'a ObservedNode,
    left: Resources,
    open: bool,
}

/// The slots of the cluster and the queue for them.
///
/// - **Guarantees:** never gives out more than the nodes hold beyond what is held already; an order is never overtaken on
///   a node that it could use.
#[derive(Debug, Default)]
pub struct Capacity {
    nodes: BTreeMap<Arc<str>, ObservedNode>,
    used: HashMap<Arc<str>, Resources>,
    unbound: BTreeMap<Resources, u64>,
    occupied: HashMap<PodUid, Occupied>,
    reserved: HashMap<OrderUid, (Resources, u64)>,
    queue: BTreeMap<QueueKey, Waiting>,
    places: HashMap<OrderUid, QueueKey>,
    unplaceable: BTreeSet<OrderUid>,
}

impl Capacity {
    /// Learns of a node, or of what has changed about it.
    pub fn node_set(&mut self, node: ObservedNode) {
        self.nodes.insert(node.name.clone(), node);
    }

    /// Forgets a node.
    pub fn node_removed(&mut self, name: &str) {
        self.nodes.remove(name);
    }

    /// Returns what is known of a node.
    pub fn node(&self, name: &str) -> Option<&ObservedNode> {
        self.nodes.get(name)
    }

    /// Notes that a pod occupies a slot, on a node once it is bound. A second call for the same pod moves it.
    pub fn occupy(&mut self, pod_uid: &PodUid, node: Option<Arc<str>>, size: Resources) {
        if let Some(before) = self.occupied.get(pod_uid)
            && before.node == node
            && before.size == size
        {
            return;
        }
        self.release(pod_uid);
        match &node {
            Some(name) => {
                let used = self.used.entry(name.clone()).or_default();
                *used = used.plus(size);
            }
            None => *self.unbound.entry(size).or_default() += 1,
        }
        self.occupied.insert(pod_uid.clone(), Occupied { node, size });
    }

    /// Frees the slot of a pod.
    ///
    /// Returns whether it occupied one.
    pub fn release(&mut self, pod_uid: &PodUid) -> bool {
        let Some(Occupied { node, size }) = self.occupied.remove(pod_uid) else { return false };
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
        true
    }

    /// Reserves slots for an order. They stay reserved until [`Capacity::confirm`].
    ///
    /// - **Guarantees:** an order that wants more than it got keeps its place in the queue.
    pub fn reserve(&mut self, request: &Request) -> Grant {
        self.confirm(&request.uid);
        self.withdraw(&request.uid);
        if request.want == 0 {
            return Grant { size: request.size, waiting: self.queue.len(), ..Grant::default() };
        }
        let total = self.total(request.size, &request.placement);
        if total == 0 {
            self.unplaceable.insert(request.uid.clone());
            let misfits = Some(Misfits::count(self.nodes.values(), request.size, &request.placement));
            return Grant { size: request.size, waiting: self.queue.len(), misfits, ..Grant::default() };
        }
        let key = QueueKey { priority: Reverse(request.priority), created: request.created, uid: request.uid.clone() };
        let (granted, ahead) = self.grantable(&key, request);
        if granted > 0 {
            self.reserved.insert(request.uid.clone(), (request.size, granted));
            *self.unbound.entry(request.size).or_default() += granted;
        }
        let granted = usize::try_from(granted).unwrap_or(usize::MAX);
        let missing = request.want.saturating_sub(granted);
        if missing > 0 {
            let waiting = Waiting { want: missing, size: request.size, placement: request.placement.clone() };
            self.queue.insert(key.clone(), waiting);
            self.places.insert(request.uid.clone(), key);
        }
        Grant {
            slots: granted,
            place: (missing > 0).then_some(ahead + 1),
            waiting: self.queue.len(),
            total,
            size: request.size,
            misfits: None,
        }
    }

    /// Ends the reservation of an order: its pods occupy their slots themselves now, or were not made.
    pub fn confirm(&mut self, uid: &OrderUid) {
        if let Some((size, count)) = self.reserved.remove(uid) {
            subtract(&mut self.unbound, size, count);
        }
    }

    /// Takes an order out of the queue, and from those that no node could hold.
    pub fn withdraw(&mut self, uid: &OrderUid) {
        self.unplaceable.remove(uid);
        if let Some(key) = self.places.remove(uid) {
            self.queue.remove(&key);
        }
    }

    /// Returns the uids of the orders that come next, the first one first.
    pub fn next_in_queue(&self, most: usize) -> impl Iterator<Item = &OrderUid> {
        self.queue.keys().take(most).map(|key| &key.uid)
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
        self.nodes.values().filter(|node| node.schedulable && node.readiness == Readiness::Ready).count()
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

    /// Returns how many of the wanted slots can be granted, and how many orders are ahead.
    fn grantable(&self, key: &QueueKey, request: &Request) -> (u64, usize) {
        let mut rooms = self.rooms();
        let mut ahead = 0;
        for (_, waiting) in self.queue.range(..key.clone()) {
            ahead += 1;
            let want = u64::try_from(waiting.want).unwrap_or(u64::MAX);
            if claim(&mut rooms, waiting.size, &waiting.placement, want) < want {
                close(&mut rooms, &waiting.placement);
            }
        }
        let want = u64::try_from(request.want).unwrap_or(u64::MAX);
        (claim(&mut rooms, request.size, &request.placement, want), ahead)
    }

    /// Returns what is left on each node. Pods without a node are put where they fit, as the scheduler will.
    fn rooms(&self) -> Vec<Room<'_>> {
        let mut rooms: Vec<Room<'_>> = self
            .nodes
            .values()
            .filter(|node| node.schedulable && node.readiness == Readiness::Ready)
            .map(|node| {
                let used = self.used.get(&node.name).copied().unwrap_or_default();
                Room { node, left: node.allocatable.minus(used), open: true }
            })
            .collect();
        for (size, count) in &self.unbound {
            let mut left = *count;
            for room in &mut rooms {
                left -= take(room, *size, left);
            }
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

fn claim(rooms: &mut [Room<'_>], size: Resources, placement: &Placement, want: u64) -> u64 {
    let mut left = want;
    for room in rooms.iter_mut().filter(|room| room.open && matches(room.node, placement)) {
        left -= take(room, size, left);
        if left == 0 {
            break;
        }
    }
    want - left
}

fn take(room: &mut Room<'_>, size: Resources, most: u64) -> u64 {
    let count = slots(room.left, size).min(most);
    room.left = room.left.minus(size.times(count));
    count
}

/// Keeps those behind an order that still waits from the nodes that it could use.
fn close(rooms: &mut [Room<'_>], placement: &Placement) {
    for room in rooms.iter_mut().filter(|room| matches(room.node, placement)) {
        room.open = false;
    }
}

#[cfg(test)]
#[path = "capacity_tests.rs"]
mod tests;
