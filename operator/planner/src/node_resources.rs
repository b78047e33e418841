//! Amounts of a node's processor, memory, disk and pods, and how many Worlds fit into them (W7).

use manyworlds_api::work_order::ResourceAmounts;

use crate::quantity::{QuantityError, thousandths};

/// The whole of something that parts are counted of: fine enough for one small World in a cluster of thousands of nodes.
pub(crate) const WHOLE: u64 = 1_000_000_000_000;

/// Amounts that a node has or a World needs.
///
/// - **Units:** thousandths of a processor, bytes of memory, bytes of disk, pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resources {
    /// Thousandths of a processor.
    pub processor: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of disk.
    pub storage: u64,
    /// Pods.
    pub pods: u64,
}

impl Resources {
    /// Reads the amounts that one World needs.
    ///
    /// # Errors
    ///
    /// [`QuantityError`] (class: spec) when one of them is no quantity.
    pub fn of_world(amounts: &ResourceAmounts) -> Result<Self, QuantityError> {
        let ResourceAmounts { cpu, memory, ephemeral_storage } = amounts;
        Ok(Self {
            processor: narrowed(thousandths(cpu)?),
            memory: narrowed(thousandths(memory)?.div_ceil(1000)),
            storage: narrowed(thousandths(ephemeral_storage)?.div_ceil(1000)),
            pods: 1,
        })
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            processor: self.processor.saturating_sub(other.processor),
            memory: self.memory.saturating_sub(other.memory),
            storage: self.storage.saturating_sub(other.storage),
            pods: self.pods.saturating_sub(other.pods),
        }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            processor: self.processor.saturating_add(other.processor),
            memory: self.memory.saturating_add(other.memory),
            storage: self.storage.saturating_add(other.storage),
            pods: self.pods.saturating_add(other.pods),
        }
    }

    /// Returns the largest of the parts that these amounts are of others.
    ///
    /// - **Units:** [`WHOLE`] is all of them.
    pub(crate) fn largest_part(self, of: Self) -> u64 {
        let part = |has: u64, of: u64| {
            let none = if has == 0 { 0 } else { u128::MAX };
            (u128::from(has) * u128::from(WHOLE)).checked_div(u128::from(of)).unwrap_or(none)
        };
        let parts = part(self.processor, of.processor)
            .max(part(self.memory, of.memory))
            .max(part(self.storage, of.storage))
            .max(part(self.pods, of.pods));
        narrowed(parts)
    }

    pub(crate) fn times(self, count: u64) -> Self {
        Self {
            processor: self.processor.saturating_mul(count),
            memory: self.memory.saturating_mul(count),
            storage: self.storage.saturating_mul(count),
            pods: self.pods.saturating_mul(count),
        }
    }
}

fn narrowed(amount: u128) -> u64 {
    u64::try_from(amount).unwrap_or(u64::MAX)
}

/// Returns how many Worlds fit into the given room: the smallest of the quotients.
///
/// - **Source:** W7; 32 GB, 8 cores and 500 GB hold 4 Worlds of 8 GB, 2 cores and 100 GB.
pub fn slots(room: Resources, world: Resources) -> u64 {
    let quotient = |has: u64, needs: u64| has.checked_div(needs).unwrap_or(u64::MAX);
    quotient(room.processor, world.processor)
        .min(quotient(room.memory, world.memory))
        .min(quotient(room.storage, world.storage))
        .min(quotient(room.pods, world.pods))
}
