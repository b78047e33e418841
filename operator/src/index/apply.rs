//! Taking note of orders, Worlds and pods: of what a watch sees, and of what the API server answered to our own writes.
//!
//! A watch delivers what happened to a kind in the order of its versions. An answer that is no newer than what the watch has
//! already delivered tells nothing, and may be of an object that has gone or been made again since; it is dropped.

use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;
use manyworlds_api::object::{ObjectId, ResourceVersion, Stored};
use manyworlds_api::{WorkOrder, World};
use manyworlds_planner::observation::{OrderPod, Presence};

use super::abridged::{abridge_order, abridge_world};
use super::key::{OrderKey, Touched};
use super::state::{Index, State};

impl Index {
    /// Takes note of an order that the watch has seen.
    pub(crate) fn order_seen(&self, order: Stored<WorkOrder>) -> Touched {
        let mut seen = self.lock();
        advance(&mut seen.watched.orders, order.version());
        seen.unreadable.remove(order.uid());
        seen.apply_order(order)
    }

    /// Takes note of an order as the API server answered to a write of ours.
    pub(crate) fn order_written(&self, order: Stored<WorkOrder>) {
        let mut seen = self.lock();
        if order.version() > seen.watched.orders {
            seen.apply_order(order);
        }
    }

    /// Takes note that an order is gone.
    ///
    /// - **Shape:** `version` is that at which it went.
    pub(crate) fn order_gone(&self, gone: &ObjectId<WorkOrder>, version: ResourceVersion) -> Touched {
        let key = OrderKey::of(gone);
        let mut seen = self.lock();
        advance(&mut seen.watched.orders, version);
        if seen.uids.remove(&gone.uid).is_some() {
            seen.capacity.withdraw(&gone.uid);
            seen.capacity.confirm(&gone.uid);
        }
        seen.on_gone(&gone.uid);
        if let Some(entry) = seen.orders.get(&key)
            && entry.order.as_ref().is_some_and(|order| *order.uid() == gone.uid)
        {
            seen.on_deleted(&key);
            if let Some(entry) = seen.orders.get_mut(&key) {
                entry.order = None;
                entry.forget_recorded_pods();
            }
        }
        seen.forget_if_empty(&key);
        seen.next_in_queue()
    }

    /// Takes note of a World that the watch has seen.
    pub(crate) fn world_seen(&self, world: Stored<World>) -> Touched {
        let mut seen = self.lock();
        advance(&mut seen.watched.worlds, world.version());
        let applied = seen.apply_world(world);
        let mut touched = std::mem::take(&mut seen.owed);
        if let Some((key, freed)) = applied {
            touched.extend(freed);
            touched.push(key);
        }
        touched
    }

    /// Takes note of a World as the API server answered to a write of ours.
    pub(crate) fn world_written(&self, world: Stored<World>) {
        let mut seen = self.lock();
        if world.version() > seen.watched.worlds {
            let freed = seen.apply_world(world).map(|(_, freed)| freed);
            seen.owed.extend(freed.into_iter().flatten());
        }
    }

    /// Takes note that a World is gone.
    ///
    /// - **Shape:** `key` is that of its order, `version` that at which it went.
    pub(crate) fn world_gone(&self, key: OrderKey, gone: &ObjectId<World>, version: ResourceVersion) -> Touched {
        let mut seen = self.lock();
        advance(&mut seen.watched.worlds, version);
        seen.on_world_deleted(&key);
        if let Some(entry) = seen.orders.get_mut(&key) {
            entry.try_again();
        }
        if let Some(entry) = seen.orders.get_mut(&key)
            && entry.worlds.get(&gone.name).is_some_and(|known| *known.uid() == gone.uid)
        {
            entry.worlds.remove(&gone.name);
            entry.forget_recorded_pods();
        }
        let mut touched = seen.settle_slots(&key, gone.uid.as_str());
        seen.forget_if_empty(&key);
        touched.push(key);
        touched
    }

    /// Takes note of a pod that the watch has seen.
    pub(crate) fn pod_seen(&self, key: &OrderKey, pod: OrderPod) -> Touched {
        let mut seen = self.lock();
        advance(&mut seen.watched.pods, pod.version);
        seen.apply_pod(key, pod)
    }

    /// Takes note of a pod as the API server answered to a write of ours.
    pub(crate) fn pod_written(&self, key: &OrderKey, pod: OrderPod) {
        let mut seen = self.lock();
        if pod.version > seen.watched.pods {
            seen.apply_pod(key, pod);
        }
    }

    /// Takes note that a pod is gone. Its last state is kept until its World's status records how it ended.
    ///
    /// - **Shape:** `key` is that of its order, `version` that at which it went.
    pub(crate) fn pod_gone(&self, key: &OrderKey, gone: &ObjectId<Pod>, version: ResourceVersion) -> Touched {
        let mut seen = self.lock();
        advance(&mut seen.watched.pods, version);
        if let Some(entry) = seen.orders.get_mut(key) {
            entry.try_again();
        }
        let known = seen.orders.get(key).and_then(|entry| entry.pods.get(&gone.name)).filter(|known| known.id == *gone);
        let Some(known) = known.cloned() else {
            return if seen.capacity.release(&gone.uid) { seen.next_in_queue() } else { Vec::new() };
        };
        if let Some(entry) = seen.orders.get_mut(key) {
            let kept = OrderPod { presence: Presence::Gone, ..(*known).clone() };
            entry.pods.insert(gone.name.clone(), Arc::new(kept));
        }
        let mut touched = seen.settle_slots(key, &known.owner.uid);
        if let Some(entry) = seen.orders.get_mut(key) {
            entry.forget_recorded_pods();
        }
        seen.forget_if_empty(key);
        touched.push(key.clone());
        touched
    }
}

impl State {
    fn apply_order(&mut self, mut order: Stored<WorkOrder>) -> Touched {
        let key = OrderKey::of(order.id());
        let known = self.orders.get(&key).and_then(|entry| entry.order.clone());
        match known {
            Some(known) if order.version() <= known.version() => return Vec::new(),
            Some(known) if known.uid() != order.uid() => self.on_deleted(&key),
            Some(_) | None => {}
        }
        self.changed(&key);
        let entry = self.orders.entry(key.clone()).or_default();
        entry.texts = abridge_order(order.object_mut());
        let uid = order.uid().clone();
        let before = entry.order.replace(Arc::new(order)).map(|known| known.uid().clone());
        entry.forget_recorded_pods();
        if before.as_ref() != Some(&uid) {
            entry.seen = Some(Instant::now());
            (entry.status_written, entry.refusal) = (None, None);
            if let Some(before) = before {
                self.uids.remove(&before);
                self.capacity.withdraw(&before);
            }
            self.uids.insert(uid, key.clone());
        }
        vec![key]
    }

    /// Returns the World's order, and the orders that wait for a slot which has become free; nothing where it tells nothing new.
    fn apply_world(&mut self, mut world: Stored<World>) -> Option<(OrderKey, Touched)> {
        let key = OrderKey::of_label(&world.metadata)?;
        let name = world.id().name.clone();
        let entry = self.orders.entry(key.clone()).or_default();
        if entry.worlds.get(&name).is_some_and(|known| world.version() <= known.version()) {
            return None;
        }
        abridge_world(world.object_mut());
        let uid = world.uid().clone();
        entry.worlds.insert(name, Arc::new(world));
        entry.forget_recorded_pods();
        self.changed(&key);
        let freed = self.settle_slots(&key, uid.as_str());
        Some((key, freed))
    }

    fn apply_pod(&mut self, key: &OrderKey, pod: OrderPod) -> Touched {
        let entry = self.orders.entry(key.clone()).or_default();
        if let Some(known) = entry.pods.get(pod.name()) {
            if known.version >= pod.version {
                return Vec::new();
            }
            let unchanged = **known == OrderPod { version: known.version, ..pod.clone() };
            if known.uid() != pod.uid() {
                let uid = known.uid().clone();
                self.capacity.release(&uid);
            } else if unchanged {
                return Vec::new();
            }
        }
        // History has a checkpoint for each stage that ended, and no other use for what becomes of a pod.
        let before = self.orders.get(key).and_then(|entry| entry.pods.get(pod.name()));
        if before.map(|before| before.stages.ended()) != Some(pod.stages.ended()) {
            self.changed(key);
        }
        let has_ended = pod.phase.is_terminal() || pod.presence == Presence::Gone;
        let owner = pod.owner.uid.clone();
        if let Some(entry) = self.orders.get_mut(key) {
            entry.pods.insert(pod.name().clone(), Arc::new(pod));
            if has_ended {
                entry.try_again();
            }
        }
        let mut touched = self.settle_slots(key, &owner);
        touched.push(key.clone());
        touched
    }
}

fn advance(watched: &mut ResourceVersion, version: ResourceVersion) {
    *watched = version.max(*watched);
}
