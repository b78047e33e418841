//! Orders as they were last seen, kept for the history writer.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use manyworlds_api::object::{OrderUid, Stored};
use manyworlds_api::{WorkOrder, World};
use manyworlds_planner::observation::OrderPod;

use super::key::OrderKey;

/// The most deleted orders that are kept until their history is written. The runs of further ones are ended when the operator
/// starts the next time.
const KEPT: usize = 10_000;

/// An order as it was last seen, with its Worlds and pods.
#[derive(Clone, Debug)]
pub(crate) struct ChangedOrder {
    pub(crate) order: Arc<Stored<WorkOrder>>,
    pub(crate) worlds: Vec<Arc<Stored<World>>>,
    pub(crate) pods: Vec<Arc<OrderPod>>,
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
    pub(super) keys: HashSet<OrderKey>,
    /// By uid: of two snapshots of one order, the later one, with Worlds that only the earlier one has.
    pub(super) gone: HashMap<OrderUid, ChangedOrder>,
}

impl Changes {
    pub(super) fn keep(&mut self, mut last: ChangedOrder) {
        let uid = last.order.uid().clone();
        if let Some(before) = self.gone.remove(&uid) {
            let is_known = |world: &Arc<Stored<World>>| last.worlds.iter().any(|known| known.uid() == world.uid());
            let left: Vec<_> = before.worlds.into_iter().filter(|world| !is_known(world)).collect();
            last.worlds.extend(left);
        }
        if self.gone.len() < KEPT {
            self.gone.insert(uid, last);
        }
    }
}
