//! The namespaces in which Worlds run, or may come to.

use std::collections::HashSet;
use std::sync::Arc;

use manyworlds_planner::observation::Presence;

use super::state::{Entry, Index};

impl Index {
    /// Returns whether a namespace has a pod that runs, or an order that may start one.
    pub(crate) fn is_active(&self, namespace: &str) -> bool {
        self.lock().orders.iter().any(|(key, entry)| *key.namespace == *namespace && entry.is_active())
    }

    /// Returns every such namespace.
    pub(crate) fn active_namespaces(&self) -> HashSet<Arc<str>> {
        let seen = self.lock();
        let active = seen.orders.iter().filter(|(_, entry)| entry.is_active());
        active.map(|(key, _)| key.namespace.clone()).collect()
    }
}

impl Entry {
    fn is_active(&self) -> bool {
        let goes_on = self.order.as_ref().is_some_and(|order| !order.is_finished());
        goes_on || self.pods.values().any(|pod| pod.presence != Presence::Gone && !pod.phase.is_terminal())
    }
}

#[cfg(test)]
mod tests {
    use manyworlds_planner::observation::PodPhase;
    use serde_json::json;

    use super::super::{OrderKey, fixtures};
    use super::*;

    #[test]
    fn a_namespace_is_active_while_an_order_goes_on_or_a_pod_runs() {
        let index = Index::default();
        assert!(!index.is_active("team"));
        let order = fixtures::order(json!({}));
        let key = OrderKey::of(order.id());
        index.order_seen(order.clone());
        assert!(index.is_active("team") && !index.is_active("other"));
        assert_eq!(index.active_namespaces(), HashSet::from([Arc::from("team")]));
        index.pod_seen(&key, fixtures::at_work());
        index.order_gone(order.id(), "2".parse().unwrap());
        assert!(index.is_active("team"), "its pod still runs");
        let mut pod = fixtures::at_work();
        (pod.phase, pod.version) = (PodPhase::Succeeded, "3".parse().unwrap());
        index.pod_seen(&key, pod);
        assert!(!index.is_active("team"));
        assert!(index.active_namespaces().is_empty());
    }
}
