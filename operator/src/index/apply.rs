//! Taking note of orders, Worlds and pods: of what a watch sees, and of what the API server answered to our own writes.
//!
//! A watch delivers what happened to a kind in the order of its versions. An answer that is no newer than what the watch has
//! already delivered tells nothing, and may be of an object that has gone or been made again since; it is dropped.

use std::sync::Arc;
use std::time::Instant;

use kube::core::ObjectMeta;
use manyworlds_api::{WorkOrder, World};
use manyworlds_planner::observation::{ObservedPod, Presence};
use manyworlds_planner::role::OwnerKind;

use super::key::{OrderKey, Touched, version};
use super::state::{Index, State};

impl Index {
    /// Takes note of an order that the watch has seen.
    pub(crate) fn order_seen(&self, order: WorkOrder) -> Touched {
        let mut seen = self.lock();
        advance(&mut seen.watched.orders, version(&order.metadata));
        seen.apply_order(order)
    }

    /// Takes note of an order as the API server answered to a write of ours.
    pub(crate) fn order_written(&self, order: WorkOrder) {
        let mut seen = self.lock();
        if version(&order.metadata) > seen.watched.orders {
            seen.apply_order(order);
        }
    }

    /// Takes note that an order is gone.
    pub(crate) fn order_gone(&self, metadata: &ObjectMeta) -> Touched {
        let Some(key) = OrderKey::of_order(metadata) else { return Vec::new() };
        let mut seen = self.lock();
        advance(&mut seen.watched.orders, version(metadata));
        let uid = metadata.uid.as_deref().unwrap_or_default();
        if seen.uids.remove(uid).is_some() {
            seen.capacity.withdraw(uid);
            seen.capacity.confirm(uid);
        }
        if let Some(entry) = seen.orders.get(&key)
            && entry.order.as_ref().is_some_and(|order| order.metadata.uid == metadata.uid)
        {
            seen.on_deleted(&key);
            if let Some(entry) = seen.orders.get_mut(&key) {
                entry.order = None;
            }
        }
        seen.forget_if_empty(&key);
        seen.next_in_queue()
    }

    /// Takes note of a World that the watch has seen.
    pub(crate) fn world_seen(&self, world: World) -> Touched {
        let mut seen = self.lock();
        advance(&mut seen.watched.worlds, version(&world.metadata));
        seen.apply_world(world)
    }

    /// Takes note of a World as the API server answered to a write of ours.
    pub(crate) fn world_written(&self, world: World) {
        let mut seen = self.lock();
        if version(&world.metadata) > seen.watched.worlds {
            seen.apply_world(world);
        }
    }

    /// Takes note that a World is gone.
    pub(crate) fn world_gone(&self, metadata: &ObjectMeta) -> Touched {
        let (Some(key), Some(name)) = (OrderKey::of_label(metadata), metadata.name.as_ref()) else { return Vec::new() };
        let mut seen = self.lock();
        advance(&mut seen.watched.worlds, version(metadata));
        seen.on_world_deleted(&key);
        if let Some(entry) = seen.orders.get_mut(&key)
            && entry.worlds.get(name).is_some_and(|known| known.metadata.uid == metadata.uid)
        {
            entry.worlds.remove(name);
        }
        seen.forget_if_empty(&key);
        vec![key]
    }

    /// Takes note of a pod that the watch has seen.
    pub(crate) fn pod_seen(&self, key: &OrderKey, pod: ObservedPod) -> Touched {
        let mut seen = self.lock();
        advance(&mut seen.watched.pods, pod.resource_version);
        seen.apply_pod(key, pod)
    }

    /// Takes note of a pod as the API server answered to a write of ours.
    pub(crate) fn pod_written(&self, key: &OrderKey, pod: ObservedPod) {
        let mut seen = self.lock();
        if pod.resource_version > seen.watched.pods {
            seen.apply_pod(key, pod);
        }
    }

    /// Takes note that a pod is gone, at a version. Its last state is kept until its World's status records how it ended.
    pub(crate) fn pod_gone(&self, key: &OrderKey, name: &str, uid: &str, version: u64) -> Touched {
        let mut seen = self.lock();
        advance(&mut seen.watched.pods, version);
        let freed = seen.capacity.release(uid);
        let Some(entry) = seen.orders.get_mut(key) else { return Vec::new() };
        let Some(known) = entry.pods.get(name).filter(|known| known.uid == uid).cloned() else { return Vec::new() };
        let awaited = match known.owner.kind {
            OwnerKind::World => entry.worlds.values().any(|world| {
                let recorded = world.status.as_ref().map_or(0, |status| status.attempt_count);
                world.metadata.uid.as_deref() == Some(known.owner.uid.as_str()) && known.attempt > recorded
            }),
            OwnerKind::WorkOrder => entry.order.as_ref().is_some_and(|order| !order.is_finished()),
        };
        if awaited && entry.order.is_some() {
            let gone = ObservedPod { presence: Presence::Gone, ..(*known).clone() };
            entry.pods.insert(name.to_owned(), Arc::new(gone));
        } else {
            entry.pods.remove(name);
        }
        seen.forget_if_empty(key);
        let mut touched = vec![key.clone()];
        if freed {
            touched.extend(seen.next_in_queue());
        }
        touched
    }
}

impl State {
    fn apply_order(&mut self, order: WorkOrder) -> Touched {
        let Some(key) = OrderKey::of_order(&order.metadata) else { return Vec::new() };
        let known = self.orders.get(&key).and_then(|entry| entry.order.clone());
        match known {
            Some(known) if !is_newer(&order.metadata, &known.metadata) => return Vec::new(),
            Some(known) if known.metadata.uid != order.metadata.uid => self.on_deleted(&key),
            Some(_) | None => {}
        }
        self.changed(&key);
        let entry = self.orders.entry(key.clone()).or_default();
        let uid = order.metadata.uid.clone().unwrap_or_default();
        let before = entry.order.replace(Arc::new(order)).and_then(|known| known.metadata.uid.clone());
        if before.as_ref() != Some(&uid) {
            entry.seen = Some(Instant::now());
            entry.status_written = None;
            if let Some(before) = before {
                self.uids.remove(&before);
                self.capacity.withdraw(&before);
            }
            self.uids.insert(uid, key.clone());
        }
        vec![key]
    }

    fn apply_world(&mut self, world: World) -> Touched {
        let (Some(key), Some(name)) = (OrderKey::of_label(&world.metadata), world.metadata.name.clone()) else {
            return Vec::new();
        };
        let entry = self.orders.entry(key.clone()).or_default();
        if entry.worlds.get(&name).is_some_and(|known| !is_newer(&world.metadata, &known.metadata)) {
            return Vec::new();
        }
        entry.worlds.insert(name, Arc::new(world));
        self.changed(&key);
        vec![key]
    }

    fn apply_pod(&mut self, key: &OrderKey, pod: ObservedPod) -> Touched {
        let entry = self.orders.entry(key.clone()).or_default();
        if let Some(known) = entry.pods.get(&pod.name) {
            if known.resource_version >= pod.resource_version {
                return Vec::new();
            }
            let unchanged = **known == ObservedPod { resource_version: known.resource_version, ..pod.clone() };
            if known.uid != pod.uid {
                let uid = known.uid.clone();
                self.capacity.release(&uid);
            } else if unchanged {
                return Vec::new();
            }
        }
        // History has a checkpoint for each stage that ended, and no other use for what becomes of a pod.
        let before = self.orders.get(key).and_then(|entry| entry.pods.get(&pod.name));
        if before.map(|before| before.stages.ended()) != Some(pod.stages.ended()) {
            self.changed(key);
        }
        let mut touched = vec![key.clone()];
        if pod.phase.is_terminal() || pod.presence == Presence::Gone {
            if self.capacity.release(&pod.uid) {
                touched.extend(self.next_in_queue());
            }
        } else {
            self.capacity.occupy(&pod.uid, pod.node.clone(), pod.requests);
        }
        if let Some(entry) = self.orders.get_mut(key) {
            entry.pods.insert(pod.name.clone(), Arc::new(pod));
        }
        touched
    }
}

fn advance(watched: &mut u64, version: u64) {
    *watched = version.max(*watched);
}

/// Returns whether the first of two observations under one name is the newer one: of an object, or of one made again.
fn is_newer(candidate: &ObjectMeta, known: &ObjectMeta) -> bool {
    version(candidate) > version(known)
}
