//! The queue for slots: which order comes next, of which namespace.
//!
//! Each namespace has a queue of its own. The namespace that is served worst has the next turn; among equals the one
//! whose first order comes first.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap, HashMap, btree_map};
use std::sync::Arc;

use jiff::Timestamp;
use manyworlds_api::object::OrderUid;

use super::shares::{Holding, NamespaceShare};
use crate::node_resources::Resources;
use crate::observation::Placement;

/// Place of an order among those of its namespace: higher priority first, then the older one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct QueueKey {
    pub(super) priority: Reverse<i32>,
    pub(super) created: Timestamp,
    pub(super) uid: OrderUid,
}

/// An order that waits, with what it wants.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) want: u64,
    pub(super) size: Resources,
    pub(super) placement: Arc<Placement>,
}

/// The orders that wait, by namespace.
#[derive(Debug, Default)]
pub(super) struct Queue {
    namespaces: BTreeMap<Arc<str>, BTreeMap<QueueKey, Waiting>>,
    places: HashMap<OrderUid, (Arc<str>, QueueKey)>,
}

impl Queue {
    /// Returns how many orders wait.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Returns whether an order of a namespace waits.
    pub(super) fn has(&self, namespace: &str) -> bool {
        self.namespaces.contains_key(namespace)
    }

    /// Returns the namespaces whose orders wait.
    pub(super) fn namespaces(&self) -> impl Iterator<Item = &Arc<str>> {
        self.namespaces.keys()
    }

    /// Puts an order in. It must not be in the queue already.
    pub(super) fn insert(&mut self, namespace: &Arc<str>, key: QueueKey, waiting: Waiting) {
        self.places.insert(key.uid.clone(), (namespace.clone(), key.clone()));
        self.namespaces.entry(namespace.clone()).or_default().insert(key, waiting);
    }

    /// Takes an order out.
    pub(super) fn remove(&mut self, uid: &OrderUid) {
        let Some((namespace, key)) = self.places.remove(uid) else { return };
        if let btree_map::Entry::Occupied(mut orders) = self.namespaces.entry(namespace) {
            orders.get_mut().remove(&key);
            if orders.get().is_empty() {
                orders.remove();
            }
        }
    }

    /// Returns the turns of the orders that wait.
    ///
    /// - **Shape:** `holds` says what a namespace holds and may hold; `cluster` is what all nodes have together.
    pub(super) fn turns(
        &self,
        cluster: Resources,
        holds: impl Fn(&Arc<str>) -> (NamespaceShare, Holding),
    ) -> Turns<'_> {
        let lines = self.namespaces.iter().filter_map(|(namespace, orders)| {
            let ((share, held), mut rest) = (holds(namespace), orders.iter());
            let (key, order) = rest.next()?;
            Some(Reverse(Line {
                at_limit: held.is_at_limit(share),
                served: held.served(share, cluster),
                key,
                order,
                left: order.want,
                rest,
                share,
                held,
                cluster,
                closed: Vec::new(),
                first_room: 0,
            }))
        });
        Turns(lines.collect())
    }
}

/// The orders of one namespace that have not had their turn yet.
#[derive(Debug)]
pub(super) struct Line<'a> {
    /// Whether the namespace holds as much as it may.
    pub(super) at_limit: bool,
    /// How well it is served.
    pub(super) served: u64,
    /// The order whose turn it is.
    pub(super) key: &'a QueueKey,
    /// What that order wants.
    pub(super) order: &'a Waiting,
    /// The number of Worlds that it still wants.
    pub(super) left: u64,
    /// The nodes that an earlier order of the namespace waits for, by the index of their rooms; false where it is shorter.
    pub(super) closed: Vec<bool>,
    /// The first room that may still hold a World of the order: those before it were looked at, and rooms only shrink.
    pub(super) first_room: usize,
    rest: btree_map::Iter<'a, QueueKey, Waiting>,
    share: NamespaceShare,
    held: Holding,
    cluster: Resources,
}

impl Line<'_> {
    /// Counts one more World of the order.
    pub(super) fn start_one(&mut self) {
        self.left = self.left.saturating_sub(1);
        self.hold_one();
    }

    fn hold_one(&mut self) {
        self.held = self.held.plus(self.order.size, 1);
        self.at_limit = self.held.is_at_limit(self.share);
        self.served = self.held.served(self.share, self.cluster);
    }

    /// Goes on to the next order of the namespace.
    fn next_order(mut self) -> Option<Self> {
        (self.key, self.order) = self.rest.next()?;
        self.left = self.order.want;
        self.first_room = 0;
        Some(self)
    }

    fn rank(&self) -> (bool, u64, &QueueKey) {
        (self.at_limit, self.served, self.key)
    }
}

impl PartialEq for Line<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Line<'_> {}

impl PartialOrd for Line<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Line<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

/// The turns of the namespaces whose orders wait.
///
/// As an iterator it gives every order that waits once, as if each got one World when its turn comes.
#[derive(Debug)]
pub(super) struct Turns<'a>(BinaryHeap<Reverse<Line<'a>>>);

impl<'a> Turns<'a> {
    /// Takes out the namespace whose turn it is.
    pub(super) fn take_next(&mut self) -> Option<Line<'a>> {
        self.0.pop().map(|Reverse(line)| line)
    }

    /// Puts a namespace back, with the same order.
    pub(super) fn put_back(&mut self, line: Line<'a>) {
        self.0.push(Reverse(line));
    }

    /// Puts a namespace back with its next order, where it has one.
    pub(super) fn put_back_next(&mut self, line: Line<'a>) {
        if let Some(line) = line.next_order() {
            self.put_back(line);
        }
    }
}

impl<'a> Iterator for Turns<'a> {
    type Item = &'a QueueKey;

    fn next(&mut self) -> Option<&'a QueueKey> {
        let mut line = self.take_next()?;
        let key = line.key;
        // Alone, it has every turn; the long queue of one namespace is counted for little.
        if !self.0.is_empty() {
            line.hold_one();
        }
        self.put_back_next(line);
        Some(key)
    }
}
