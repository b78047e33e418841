//! The slots that an order gets.

use crate::node_resources::Resources;
use crate::policy::placement::Misfits;

/// What an order may start now, decided over all orders by [`crate::policy::capacity::Capacity`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// How many Worlds it may start.
    pub slots: usize,
    /// Its place in the queue, from 1; absent when it got all it wanted.
    pub place: Option<usize>,
    /// How many orders wait.
    pub waiting: usize,
    /// How many Worlds of this size the cluster holds when nothing else runs.
    pub total: usize,
    /// What one World gets.
    pub size: Resources,
    /// Why no node takes one, where it is so.
    pub misfits: Option<Misfits>,
}
