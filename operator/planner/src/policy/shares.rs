//! Shares of namespaces: what each may hold of the slots, and what it holds.

use std::collections::HashMap;
use std::num::NonZero;

use crate::node_resources::{Resources, WHOLE};

/// What a namespace may hold of the slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamespaceShare {
    /// Its weight against the others: with three times the weight it gets three times as much, where both want it.
    pub weight: NonZero<u16>,
    /// The most slots that it holds at once; absent where there is no limit.
    pub limit: Option<u64>,
    /// The highest priority that counts for its orders. A higher one counts as this.
    pub max_priority: i32,
}

impl Default for NamespaceShare {
    fn default() -> Self {
        Self { weight: NonZero::<u16>::MIN, limit: None, max_priority: i32::MAX }
    }
}

/// The shares of all namespaces.
#[derive(Clone, Debug, Default)]
pub struct NamespaceShares {
    others: NamespaceShare,
    named: HashMap<String, NamespaceShare>,
}

impl NamespaceShares {
    /// Makes the shares of some namespaces, and that of each of the others.
    pub fn new(others: NamespaceShare, named: HashMap<String, NamespaceShare>) -> Self {
        Self { others, named }
    }

    /// Returns the share of a namespace.
    pub fn of(&self, namespace: &str) -> NamespaceShare {
        self.named.get(namespace).copied().unwrap_or(self.others)
    }
}

/// What the Worlds of a namespace hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Holding {
    resources: Resources,
    slots: u64,
}

impl Holding {
    /// Returns the same with some more slots of a size.
    pub(super) fn plus(self, size: Resources, count: u64) -> Self {
        let resources = self.resources.plus(size.times(count));
        Self { resources, slots: self.slots.saturating_add(count) }
    }

    /// Returns the same without some slots of a size.
    pub(super) fn minus(self, size: Resources, count: u64) -> Self {
        let resources = self.resources.minus(size.times(count));
        Self { resources, slots: self.slots.saturating_sub(count) }
    }

    /// Returns whether it is as much as the share allows.
    pub(super) fn is_at_limit(self, share: NamespaceShare) -> bool {
        share.limit.is_some_and(|limit| self.slots >= limit)
    }

    /// Returns how well the namespace is served: its part of the cluster, for each unit of its weight.
    ///
    /// - **Units:** [`WHOLE`] is the whole cluster at weight 1.
    pub(super) fn served(self, share: NamespaceShare, cluster: Resources) -> u64 {
        self.resources.largest_part(cluster) / u64::from(share.weight.get())
    }
}

/// Returns how well every namespace is served when the cluster is full and each has its fair share.
///
/// - **Shape:** `weights` are those of the namespaces that hold or want something.
/// - **Units:** those of [`Holding::served`].
pub(super) fn fair(weights: impl Iterator<Item = NonZero<u16>>) -> u64 {
    WHOLE / weights.map(|weight| u64::from(weight.get())).sum::<u64>().max(1)
}
