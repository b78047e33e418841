//! Rooms: what is left on each node while slots are given out.

use super::placement::matches;
use super::queue::{Line, QueueKey, Turns};
use crate::node_resources::{Resources, slots};
use crate::observation::{ObservedNode, Placement};

/// Room that is left on one node.
#[derive(Clone, Copy)]
struct Room<'a> {
    node: &'a ObservedNode,
    left: Resources,
    /// Whether an order that had its turn waits for the node.
    awaited: bool,
    /// Whether it holds a World of the order that asks.
    fits: bool,
}

/// Room that is left on each node, in the order of the nodes' names.
pub(super) struct Rooms<'a> {
    rooms: Vec<Room<'a>>,
}

impl<'a> Rooms<'a> {
    /// Returns the rooms of nodes, with what is left on each.
    pub(super) fn new(nodes: impl Iterator<Item = (&'a ObservedNode, Resources)>) -> Self {
        Self { rooms: nodes.map(|(node, left)| Room { node, left, awaited: false, fits: false }).collect() }
    }

    /// Puts Worlds where they fit, as the scheduler will.
    pub(super) fn put(&mut self, size: Resources, count: u64) {
        let mut left = count;
        for room in &mut self.rooms {
            let taken = slots(room.left, size).min(left);
            room.left = room.left.minus(size.times(taken));
            left -= taken;
        }
    }

    /// Gives the room to the orders that wait, one World at a time to the namespace whose turn it is.
    ///
    /// Returns how many Worlds the order that `asks` may start. An order that does not get all it wants keeps the orders
    /// behind it from the nodes that it could use: those of its own namespace, and of other namespaces those that have
    /// their `fair` share already. Else whoever asks for a World that is hard to place would keep all others from every
    /// node.
    ///
    /// - **Shape:** `asks` is in the queue that the turns are of.
    pub(super) fn give(mut self, mut turns: Turns<'_>, asks: (&QueueKey, Resources, &Placement), fair: u64) -> u64 {
        let (asking, size, placement) = asks;
        for room in &mut self.rooms {
            room.fits = slots(room.left, size) > 0 && matches(room.node, placement);
        }
        let mut fitting = self.rooms.iter().filter(|room| room.fits).count();
        let mut granted = 0;
        while fitting > 0
            && let Some(mut line) = turns.take_next()
        {
            if line.at_limit {
                // All that are left are at their limit.
                break;
            }
            let is_asking = line.key == asking;
            if let Some(room) = self.take(&mut line, fair) {
                granted += u64::from(is_asking);
                if room.fits && slots(room.left, size) == 0 {
                    room.fits = false;
                    fitting -= 1;
                }
                if line.left > 0 {
                    turns.put_back(line);
                    continue;
                }
            } else {
                self.wait(&mut line);
            }
            if is_asking {
                break;
            }
            turns.put_back_next(line);
        }
        granted
    }

    /// Takes the room of one World of the order whose turn it is, and returns that room.
    fn take(&mut self, line: &mut Line<'_>, fair: u64) -> Option<&mut Room<'a>> {
        let size = line.order.size;
        let is_open = |index: usize, room: &Room<'_>| {
            !line.closed.get(index).copied().unwrap_or(false) && (!room.awaited || line.served < fair)
        };
        let found = self
            .rooms
            .iter()
            .enumerate()
            .skip(line.first_room)
            .find(|&(index, room)| {
                slots(room.left, size) > 0 && is_open(index, room) && matches(room.node, &line.order.placement)
            })
            .map(|(index, _)| index);
        line.first_room = found.unwrap_or(self.rooms.len());
        let room = self.rooms.get_mut(found?)?;
        room.left = room.left.minus(size);
        line.start_one();
        Some(room)
    }

    /// Has the order wait for the nodes that it could use.
    fn wait(&mut self, line: &mut Line<'_>) {
        line.closed.resize(self.rooms.len(), false);
        for (room, closed) in self.rooms.iter_mut().zip(&mut line.closed) {
            let could_use = slots(room.node.allocatable, line.order.size) > 0;
            if could_use && matches(room.node, &line.order.placement) {
                (room.awaited, *closed) = (true, true);
            }
        }
    }
}
