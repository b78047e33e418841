//! The slots that an order gets.

use crate::node_resources::Resources;
use crate::policy::placement::Misfits;

/// The slots that an order gets now, decided over all orders by [`crate::policy::capacity::Capacity`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// The number of Worlds that it may start.
    pub slots: usize,
    /// Its place in the queue, from 1; absent when it got all it wanted.
    pub place: Option<usize>,
    /// The most slots that its namespace may hold, where that is why it waits.
    pub limit: Option<u64>,
    /// The number of orders that wait.
    pub waiting: usize,
    /// The number of Worlds of this size that the cluster holds when nothing else runs.
    pub total: usize,
    /// The size of one World.
    pub size: Resources,
    /// The reasons for which no node takes a World, where none does.
    pub misfits: Option<Misfits>,
}

impl Grant {
    /// Returns the grant of an order all of whose Worlds got a slot: what it may still wait for is not a World's.
    pub(crate) fn without_queue(self) -> Self {
        Self { place: None, limit: None, misfits: None, ..self }
    }
}
