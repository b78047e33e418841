//! The orders that have changed, for the history writer: each once, however often something was seen of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use manyworlds_api::{WorkOrder, World};
use manyworlds_planner::observation::ObservedPod;

use super::{Entry, Index, OrderKey, Seen};

/// The most deleted orders that are kept until their history is written. The runs of further ones are ended when the operator
/// starts the next time.
const KEPT: usize = 10_000;

/// An order as it was last seen, with its Worlds and pods.
#[derive(Clone, Debug)]
pub(crate) struct ChangedOrder {
    pub(crate) order: Arc<WorkOrder>,
    pub(crate) worlds: Vec<Arc<World>>,
    pub(crate) pods: Vec<Arc<ObservedPod>>,
    /// Whether it is still there.
    pub(crate) existence: Existence,
}

/// Whether an order is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existence {
    /// It is.
    Exists,
    /// It was deleted.
    Deleted,
}

/// The orders that have changed since this was last taken.
#[derive(Debug, Default)]
pub(super) struct Changes {
    keys: HashSet<OrderKey>,
    /// By uid: of two snapshots of one order, the later one, with Worlds that only the earlier one has.
    gone: HashMap<String, ChangedOrder>,
}

impl Index {
    /// Begins to note what changes.
    pub(crate) fn note_changes(&self) {
        self.lock().changes.get_or_insert_default();
    }

    /// Returns the orders that have changed since this was last asked, and what went away meanwhile as it was last seen.
    pub(crate) fn take_changes(&self) -> (HashSet<OrderKey>, Vec<ChangedOrder>) {
        let Some(Changes { keys, gone }) = self.lock().changes.as_mut().map(std::mem::take) else {
            return <_>::default();
        };
        (keys, gone.into_values().collect())
    }

    /// Returns an order with its Worlds and pods.
    pub(crate) fn whole(&self, key: &OrderKey) -> Option<ChangedOrder> {
        self.lock().orders.get(key)?.whole(Existence::Exists)
    }

    /// Returns the names of all orders.
    pub(crate) fn order_keys(&self) -> Vec<OrderKey> {
        self.lock().orders.keys().cloned().collect()
    }

    /// Returns whether there is an order with a uid.
    pub(crate) fn has_order(&self, uid: &str) -> bool {
        self.lock().uids.contains_key(uid)
    }
}

impl Seen {
    /// Notes that something was seen of an order.
    pub(super) fn changed(&mut self, key: &OrderKey) {
        if let Some(changes) = &mut self.changes
            && !changes.keys.contains(key)
        {
            changes.keys.insert(key.clone());
        }
    }

    /// Keeps the last state of an order that goes away now.
    pub(super) fn goes(&mut self, key: &OrderKey) {
        let Some(changes) = &mut self.changes else { return };
        changes.keys.remove(key);
        if let Some(last) = self.orders.get(key).and_then(|entry| entry.whole(Existence::Deleted)) {
            changes.keep(last);
        }
    }

    /// Keeps the last state of a World that goes away before its order, where it has not been taken yet.
    pub(super) fn world_goes(&mut self, key: &OrderKey) {
        let Some(changes) = &mut self.changes else { return };
        if changes.keys.contains(key)
            && let Some(last) = self.orders.get(key).and_then(|entry| entry.whole(Existence::Exists))
        {
            changes.keep(last);
        }
    }
}

impl Changes {
    fn keep(&mut self, mut last: ChangedOrder) {
        let uid = last.order.metadata.uid.clone().unwrap_or_default();
        if let Some(before) = self.gone.remove(&uid) {
            let is_known =
                |world: &Arc<World>| last.worlds.iter().any(|known| known.metadata.uid == world.metadata.uid);
            let left: Vec<_> = before.worlds.into_iter().filter(|world| !is_known(world)).collect();
            last.worlds.extend(left);
        }
        if self.gone.len() < KEPT {
            self.gone.insert(uid, last);
        }
    }
}

impl Entry {
    fn whole(&self, existence: Existence) -> Option<ChangedOrder> {
        let (worlds, pods) = (self.worlds.values().cloned().collect(), self.pods.values().cloned().collect());
        Some(ChangedOrder { order: self.order.clone()?, worlds, pods, existence })
    }
}
