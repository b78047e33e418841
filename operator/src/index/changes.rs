//! The orders that have changed, for the history writer: each once, however often something was seen of it.

use std::collections::HashSet;

use super::changed_order::{ChangedOrder, Changes, Existence};
use super::key::OrderKey;
use super::state::{Entry, Index, State};

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

impl State {
    /// Notes that something was seen of an order.
    pub(super) fn changed(&mut self, key: &OrderKey) {
        if let Some(changes) = &mut self.changes
            && !changes.keys.contains(key)
        {
            changes.keys.insert(key.clone());
        }
    }

    /// Keeps the last state of an order that goes away now.
    pub(super) fn on_deleted(&mut self, key: &OrderKey) {
        let Some(changes) = &mut self.changes else { return };
        changes.keys.remove(key);
        if let Some(last) = self.orders.get(key).and_then(|entry| entry.whole(Existence::Deleted)) {
            changes.keep(last);
        }
    }

    /// Keeps the last state of a World that goes away before its order, where it has not been taken yet.
    pub(super) fn on_world_deleted(&mut self, key: &OrderKey) {
        let Some(changes) = &mut self.changes else { return };
        if changes.keys.contains(key)
            && let Some(last) = self.orders.get(key).and_then(|entry| entry.whole(Existence::Exists))
        {
            changes.keep(last);
        }
    }
}

impl Entry {
    fn whole(&self, existence: Existence) -> Option<ChangedOrder> {
        let (worlds, pods) = (self.worlds.values().cloned().collect(), self.pods.values().cloned().collect());
        Some(ChangedOrder { order: self.order.clone()?, worlds, pods, existence })
    }
}
