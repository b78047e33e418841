//! What others than the reconciliation ask: by the names that a token or a row gives.

use std::sync::Arc;

use manyworlds_api::{WorkOrder, World};
use manyworlds_planner::observation::ObservedPod;

use super::{Entry, Index, OrderKey};

impl Index {
    /// Returns the pod with a name, and its order, for a World that shows its token.
    pub(crate) fn pod(&self, key: &OrderKey, name: &str) -> Option<(Arc<WorkOrder>, Arc<ObservedPod>)> {
        let seen = self.lock();
        let entry = seen.orders.get(key)?;
        Some((entry.order.clone()?, entry.pods.get(name)?.clone()))
    }

    /// Returns the pod with a name, and its order, for a World that is known by nothing but its token.
    pub(crate) fn pod_named(
        &self,
        namespace: &str,
        name: &str,
    ) -> Option<(OrderKey, Arc<WorkOrder>, Arc<ObservedPod>)> {
        self.of_name(namespace, name, |key, entry| {
            let (order, pod) = (entry.order.clone()?, entry.pods.get(name)?.clone());
            Some((key, order, pod))
        })
    }

    /// Returns the World with a name.
    pub(crate) fn world(&self, namespace: &str, name: &str) -> Option<Arc<World>> {
        self.of_name(namespace, name, |_, entry| entry.worlds.get(name).cloned())
    }

    /// Returns the first that is found among the orders that a World or a pod of a name may belong to.
    ///
    /// Its name is that of the order, a dash, and more; and both may have dashes of their own.
    fn of_name<T>(&self, namespace: &str, name: &str, find: impl Fn(OrderKey, &Entry) -> Option<T>) -> Option<T> {
        let seen = self.lock();
        let namespace: Arc<str> = namespace.into();
        name.match_indices('-').find_map(|(end, _)| {
            let key = OrderKey { namespace: namespace.clone(), name: name[..end].into() };
            let entry = seen.orders.get(&key)?;
            find(key, entry)
        })
    }

    /// Returns an order.
    pub(crate) fn order(&self, key: &OrderKey) -> Option<Arc<WorkOrder>> {
        self.lock().orders.get(key)?.order.clone()
    }
}
