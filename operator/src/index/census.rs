//! The census: counts for the metrics.

use super::state::Index;

/// The counts of everything that the operator watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// WorkOrders that are not finished.
    pub(crate) active: usize,
    /// WorkOrders that are.
    pub(crate) finished: usize,
    /// WorkOrders that wait for a slot.
    pub(crate) waiting: usize,
    /// Worlds that hold a slot.
    pub(crate) worlds: usize,
    /// Nodes that are ready and schedulable.
    pub(crate) nodes: usize,
}

impl Index {
    /// Counts what there is.
    pub(crate) fn census(&self) -> Census {
        let seen = self.lock();
        let orders = || seen.orders.values().filter_map(|entry| entry.order.as_ref());
        let finished = orders().filter(|order| order.is_finished()).count();
        Census {
            active: orders().count() - finished,
            finished,
            waiting: seen.capacity.waiting(),
            worlds: seen.capacity.occupied(),
            nodes: seen.capacity.ready_nodes(),
        }
    }
}
