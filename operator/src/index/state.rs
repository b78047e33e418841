//! The state behind the index: orders with their Worlds and pods, and the slots of the cluster.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use manyworlds_api::object::{OrderUid, PodName, ResourceVersion, Stored, WorldName};
use manyworlds_api::{WorkOrder, World};
use manyworlds_planner::Texts;
use manyworlds_planner::observation::{OrderPod, Presence};
use manyworlds_planner::policy::capacity::{Capacity, Slot};
use manyworlds_planner::policy::occupation::holds_slot;
use manyworlds_planner::policy::refusal::Refusal;
use manyworlds_planner::policy::shares::NamespaceShares;
use manyworlds_planner::role::OwnerKind;
use tokio::sync::mpsc;

use super::changed_order::Changes;
use super::key::{OrderKey, Touched};

/// The most waiting orders that are looked at when a slot becomes free.
const WOKEN_AT_ONCE: usize = 16;

/// One order, with its Worlds and pods.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) order: Option<Arc<Stored<WorkOrder>>>,
    pub(super) texts: Texts,
    pub(super) seen: Option<Instant>,
    pub(super) worlds: HashMap<WorldName, Arc<Stored<World>>>,
    pub(super) pods: HashMap<PodName, Arc<OrderPod>>,
    pub(super) status_written: Option<Timestamp>,
    /// What bounds the tries of an order that was refused. After a restart it is found out anew, by one try.
    pub(super) refusal: Option<Refusal>,
}

impl Entry {
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_none() && self.worlds.is_empty() && self.pods.is_empty()
    }

    /// Has an order that was refused try again at once: something of it has gone, and may have left room in a quota.
    pub(super) fn try_again(&mut self) {
        if let Some(refusal) = &mut self.refusal {
            refusal.try_again();
        }
    }

    /// Returns the pods of an owner, with whether each holds its slot.
    fn slots(&self, owner_uid: &str) -> Vec<(Arc<OrderPod>, bool)> {
        let pods: Vec<_> = self.pods.values().filter(|pod| pod.owner.uid == owner_uid).collect();
        let world = self.worlds.values().find(|world| *world.uid() == *owner_uid).map(|world| &***world);
        let of_attempt = |attempt: i32| pods.iter().filter(move |pod| pod.attempt == attempt).map(|pod| &***pod);
        pods.iter().map(|pod| ((*pod).clone(), holds_slot(pod, world, of_attempt(pod.attempt)))).collect()
    }

    /// Forgets pods that are gone and whose end nobody has to record any more, whoever has recorded it.
    pub(super) fn forget_recorded_pods(&mut self) {
        let Self { order, worlds, pods, .. } = self;
        let goes_on = order.as_ref().is_some_and(|order| !order.is_finished());
        let is_awaited = |pod: &OrderPod| match pod.owner.kind {
            OwnerKind::World => worlds.values().any(|world| {
                let recorded = world.status.as_ref().map_or(0, |status| status.attempt_count);
                *world.uid() == *pod.owner.uid && pod.attempt > recorded
            }),
            OwnerKind::WorkOrder => goes_on,
        };
        pods.retain(|_, pod| pod.presence != Presence::Gone || (order.is_some() && is_awaited(pod)));
    }
}

/// Everything that was seen.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) orders: HashMap<OrderKey, Entry>,
    pub(super) uids: HashMap<OrderUid, OrderKey>,
    /// Orders that are there and cannot be read.
    pub(super) unreadable: HashSet<OrderUid>,
    /// Takes the uids of orders that go away, where somebody asks for them.
    pub(super) gone: Option<mpsc::Sender<OrderUid>>,
    pub(super) capacity: Capacity,
    pub(super) changes: Option<Changes>,
    pub(super) watched: Watched,
    /// Orders that wait for a slot which our own writes to Worlds have freed. The watch's next event on Worlds wakes them.
    pub(super) owed: Touched,
}

/// The last seen state of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Index(Mutex<State>);

impl Index {
    /// Makes an index that has seen nothing yet, of a cluster whose slots are shared like this.
    pub(crate) fn new(shares: NamespaceShares) -> Self {
        Self(Mutex::new(State { capacity: Capacity::new(shares), ..State::default() }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held leaves plain data behind, and the next watch event puts it right.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newest version that the watch of each kind has delivered.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) orders: ResourceVersion,
    pub(super) worlds: ResourceVersion,
    pub(super) pods: ResourceVersion,
}

impl State {
    pub(super) fn forget_if_empty(&mut self, key: &OrderKey) {
        if self.orders.get(key).is_some_and(Entry::is_empty) {
            self.orders.remove(key);
        }
    }

    /// Has the pods of an owner hold their slots, or free them. One that takes the slot of another frees none.
    ///
    /// Returns the orders that wait for a slot that has become free.
    pub(super) fn settle_slots(&mut self, key: &OrderKey, owner_uid: &str) -> Touched {
        let before = self.capacity.occupied();
        for (pod, holds) in self.orders.get(key).map_or_else(Vec::new, |entry| entry.slots(owner_uid)) {
            if holds {
                let slot = Slot { namespace: key.namespace.clone(), node: pod.node.clone(), size: pod.requests };
                self.capacity.occupy(pod.uid(), slot);
            } else {
                self.capacity.release(pod.uid());
            }
        }
        if self.capacity.occupied() < before { self.next_in_queue() } else { Vec::new() }
    }

    pub(super) fn next_in_queue(&self) -> Touched {
        self.capacity.next_in_queue(WOKEN_AT_ONCE).filter_map(|uid| self.uids.get(uid).cloned()).collect()
    }

    /// Returns the orders that a better node may help: those that wait, and those that no node could hold.
    pub(super) fn next_in_queue_or_unplaceable(&self) -> Touched {
        let mut touched = self.next_in_queue();
        touched.extend(self.capacity.unplaceable().filter_map(|uid| self.uids.get(uid).cloned()));
        touched
    }

    pub(super) fn on_node(&self, name: &str) -> Touched {
        self.orders
            .iter()
            .filter(|(_, entry)| entry.pods.values().any(|pod| pod.node.as_deref() == Some(name)))
            .map(|(key, _)| key.clone())
            .collect()
    }
}
