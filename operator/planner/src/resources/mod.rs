//! The objects that the operator makes, in full.

mod common;
mod evaluation;
mod network_policy;
mod pod;
mod work;
mod world;
mod world_pod;

#[cfg(test)]
pub(crate) use pod::{Attempt, Parts, container, pod_of};

pub use evaluation::{BaseEvaluation, Evaluation, Subject, baseline, evaluation};
pub use network_policy::{WorldNetwork, WorldPolicy, network_policy};
pub use pod::OwnerlessPod;
pub use work::pod;
pub use world::world;
