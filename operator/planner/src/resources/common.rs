//! The parts that the objects of an order share.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use manyworlds_api::object::Uid;
use manyworlds_api::{Duration, GROUP, VERSION, WorkOrder, labels};

use crate::role::OwnerKind;

/// The longest fetch of a repository.
const PREPARE_TIMEOUT: Duration = Duration::from_minutes(10);
/// The time that a pod has beyond the time-outs of its stages before the kubelet ends it.
const SLACK: Duration = Duration::from_minutes(2);

/// Returns after how many seconds the kubelet ends a pod of an order, whatever it does.
pub(super) fn longest_life(order: &WorkOrder) -> i64 {
    let timeouts = &order.spec.worker.phase_timeouts;
    let most = [PREPARE_TIMEOUT, timeouts.coding, timeouts.testing, SLACK].into_iter().map(Duration::milliseconds);
    i64::try_from(most.sum::<u64>().div_ceil(1000)).unwrap_or(i64::MAX)
}

/// Returns the reference to the owner of a World or a pod.
pub(super) fn owner_reference<K>(kind: OwnerKind, name: &str, uid: &Uid<K>) -> OwnerReference {
    OwnerReference {
        api_version: format!("{GROUP}/{VERSION}"),
        kind: kind.as_str().to_owned(),
        name: name.to_owned(),
        uid: uid.to_string(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

/// Returns the labels of a World and of its pods.
pub(super) fn common_labels(order: &str, variant: &str) -> BTreeMap<String, String> {
    let mut labels = labels_of_order(order);
    labels.insert(labels::WORLD.to_owned(), variant.to_owned());
    labels
}

/// Returns the labels of every object of an order.
pub(super) fn labels_of_order(order: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (labels::MANAGED_BY.to_owned(), labels::MANAGER.to_owned()),
        (labels::WORK_ORDER.to_owned(), order.to_owned()),
    ])
}
