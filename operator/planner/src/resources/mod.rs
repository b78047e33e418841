//! The objects that the operator makes, in full.

mod network_policy;
mod pod;
mod world;

pub use network_policy::{NETWORK_POLICY, network_policy};
pub use pod::pod;
pub use world::world;

use std::collections::BTreeMap;

use manyworlds_api::labels;

/// Returns the labels of a World and of its pods.
fn common_labels(order: &str, variant: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (labels::MANAGED_BY.to_owned(), labels::MANAGER.to_owned()),
        (labels::WORK_ORDER.to_owned(), order.to_owned()),
        (labels::WORLD.to_owned(), variant.to_owned()),
    ])
}
