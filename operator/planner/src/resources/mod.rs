//! The objects that the operator makes, in full.

mod common;
mod network_policy;
mod pod;
mod work;
mod world;

#[cfg(test)]
pub(crate) use pod::{Attempt, Parts, container, pod_of};

pub use network_policy::{NETWORK_POLICY, WorldNetwork, network_policy};
pub use pod::OwnerlessPod;
pub use work::pod;
pub use world::world;
