//! The questions of tokens and of the history to the index: by the names that a token or a row gives.

use std::sync::Arc;

use manyworlds_api::object::Stored;
use manyworlds_api::{WorkOrder, World};
use manyworlds_planner::observation::OrderPod;
use manyworlds_planner::role::OwnerKind;

use super::key::OrderKey;
use super::state::{Entry, Index};

/// An attempt of a World, as the watches have last seen it.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// The name of its order.
    pub(crate) key: OrderKey,
    /// Its order.
    pub(crate) order: Arc<Stored<WorkOrder>>,
    /// Its World.
    pub(crate) world: Arc<Stored<World>>,
    /// Its pod.
    pub(crate) pod: Arc<OrderPod>,
}

/// A pod that an order itself owns, as the watches have last seen it.
#[derive(Clone, Debug)]
pub(crate) struct OwnPod {
    /// The name of the order.
    pub(crate) key: OrderKey,
    /// The order.
    pub(crate) order: Arc<Stored<WorkOrder>>,
    /// The pod.
    pub(crate) pod: Arc<OrderPod>,
}

impl Index {
    /// Returns the attempt whose pod has a name, of an order.
    pub(crate) fn attempt(&self, key: &OrderKey, pod: &str) -> Option<Attempt> {
        self.lock().orders.get(key)?.attempt(key.clone(), pod)
    }

    /// Returns the attempt whose pod has a name. Nothing else is known of it.
    pub(crate) fn attempt_of_pod(&self, namespace: &str, pod: &str) -> Option<Attempt> {
        self.of_pod(namespace, pod, Entry::attempt)
    }

    /// Returns the pod of an order itself that has a name. Nothing else is known of it.
    pub(crate) fn own_pod(&self, namespace: &str, pod: &str) -> Option<OwnPod> {
        self.of_pod(namespace, pod, Entry::own_pod)
    }

    /// Returns what the order of a pod says of it.
    ///
    /// The pod's name is that of the order, a dash, and more; and both may have dashes of their own.
    fn of_pod<T>(&self, namespace: &str, pod: &str, said: impl Fn(&Entry, OrderKey, &str) -> Option<T>) -> Option<T> {
        let seen = self.lock();
        let namespace: Arc<str> = namespace.into();
        pod.match_indices('-').find_map(|(end, _)| {
            let key = OrderKey { namespace: namespace.clone(), name: pod[..end].into() };
            said(seen.orders.get(&key)?, key, pod)
        })
    }

    /// Returns an order.
    pub(crate) fn order(&self, key: &OrderKey) -> Option<Arc<Stored<WorkOrder>>> {
        self.lock().orders.get(key)?.order.clone()
    }
}

impl Entry {
    fn attempt(&self, key: OrderKey, pod: &str) -> Option<Attempt> {
        let (order, pod) = (self.order.clone()?, self.pods.get(pod)?.clone());
        let world = self.worlds.get(pod.owner.name.as_str())?.clone();
        let is_its_world = *world.uid() == *pod.owner.uid;
        is_its_world.then_some(Attempt { key, order, world, pod })
    }

    fn own_pod(&self, key: OrderKey, pod: &str) -> Option<OwnPod> {
        let (order, pod) = (self.order.clone()?, self.pods.get(pod)?.clone());
        let is_its_order = pod.owner.kind == OwnerKind::WorkOrder && *order.uid() == *pod.owner.uid;
        is_its_order.then_some(OwnPod { key, order, pod })
    }
}

#[cfg(test)]
mod tests {
    use manyworlds_api::labels;
    use serde_json::json;

    use super::super::fixtures;
    use super::*;

    #[test]
    fn a_world_is_found_by_the_name_of_its_pod_also_where_orders_and_variants_have_dashes() {
        let index = Index::default();
        for (name, variant) in [("a", "b-c"), ("a-b", "d"), ("a-b-e", "f-g")] {
            let order = fixtures::with_metadata(&fixtures::order(json!({})), |metadata| {
                (metadata.name, metadata.uid) = (Some(name.to_owned()), Some(name.to_owned()));
            });
            let mut world = fixtures::with_metadata(&fixtures::world(variant, 0, json!({})), |metadata| {
                metadata.name = Some(format!("{name}-{variant}"));
                metadata.labels = Some([(labels::WORK_ORDER.to_owned(), name.to_owned())].into());
            });
            world.object_mut().spec.order.name = name.to_owned();
            let mut pod = fixtures::at_work();
            pod.id.name = format!("{name}-{variant}-1").parse().unwrap();
            (pod.owner.name, pod.owner.uid) = (world.name().to_owned(), world.uid().to_string());
            let key = OrderKey::of(order.id());
            index.order_seen(order);
            index.world_seen(world);
            index.pod_seen(&key, pod);
        }
        for (pod, order) in [("a-b-c-1", "a"), ("a-b-d-1", "a-b"), ("a-b-e-f-g-1", "a-b-e")] {
            let found = index.attempt_of_pod("team", pod).unwrap();
            assert_eq!((found.world.spec.order.name.as_str(), &*found.key.name), (order, order));
        }
        assert!(index.attempt_of_pod("team", "a-b").is_none());
        assert!(index.attempt_of_pod("other", "a-b-c-1").is_none());
    }

    #[test]
    fn a_pod_of_an_order_itself_is_no_attempt_and_is_that_of_the_very_order() {
        let index = Index::default();
        index.order_seen(fixtures::order(json!({})));
        index.world_seen(fixtures::world("alpha", 0, json!({})));
        let (key, pod) = (OrderKey { namespace: "team".into(), name: "fix".into() }, fixtures::judged_base());
        index.pod_seen(&key, pod.clone());
        index.pod_seen(&key, fixtures::at_work());
        assert_eq!(
            index.own_pod("team", "fix-baseline-e1").map(|own| own.pod.uid().to_string()),
            Some("b1".to_owned())
        );
        assert!(index.attempt_of_pod("team", "fix-baseline-e1").is_none());
        assert!(index.own_pod("team", "fix-alpha-1").is_none(), "it is a World's");
        let mut earlier = OrderPod { version: "2".parse().unwrap(), ..pod };
        earlier.owner.uid = "another".to_owned();
        index.pod_seen(&key, earlier);
        assert!(index.own_pod("team", "fix-baseline-e1").is_none(), "it is of an earlier order of the same name");
    }
}
