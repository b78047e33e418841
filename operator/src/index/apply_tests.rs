use manyworlds_planner::observation::ObservedPod;
use serde_json::Value;

use kube::core::ObjectMeta;
use manyworlds_api::{WorkOrder, World};

use super::changed_order::ChangedOrder;
use super::*;
use crate::index::fixtures;

fn as_of(mut metadata: ObjectMeta, uid: &str, version: u64) -> ObjectMeta {
    metadata.uid = Some(uid.to_owned());
    metadata.resource_version = Some(version.to_string());
    metadata
}

fn order(uid: &str, version: u64) -> WorkOrder {
    let order = fixtures::order(Value::Null);
    WorkOrder { metadata: as_of(order.metadata, uid, version), ..order }
}

fn world(uid: &str, version: u64) -> World {
    let world = fixtures::world("alpha", 0, Value::Null);
    World { metadata: as_of(world.metadata, uid, version), ..world }
}

fn pod(uid: &str, version: u64) -> ObservedPod {
    ObservedPod { uid: uid.to_owned(), resource_version: version, ..fixtures::at_work() }
}

fn key() -> OrderKey {
    OrderKey { namespace: "team".into(), name: "fix".into() }
}

fn order_uid(index: &Index) -> Option<String> {
    index.order(&key()).and_then(|order| order.metadata.uid.clone())
}

/// Uids and versions of everything that is known.
fn known(index: &Index) -> Vec<(String, u64)> {
    let Some(ChangedOrder { order, worlds, pods, .. }) = index.whole(&key()) else { return Vec::new() };
    let of = |metadata: &ObjectMeta| (metadata.uid.clone().unwrap_or_default(), version(metadata));
    let worlds = worlds.iter().map(|world| of(&world.metadata));
    let pods = pods.iter().map(|pod| (pod.uid.clone(), pod.resource_version));
    std::iter::once(of(&order.metadata)).chain(worlds).chain(pods).collect()
}

#[test]
fn a_late_answer_does_not_take_the_place_of_an_order_made_again() {
    let index = Index::default();
    index.order_seen(order("o1", 1));
    index.order_gone(&order("o1", 4).metadata);
    index.order_seen(order("o2", 5));
    index.order_written(order("o1", 3));
    assert_eq!(order_uid(&index).as_deref(), Some("o2"));
    assert!(index.has_order("o2") && !index.has_order("o1"));
}

#[test]
fn an_answer_is_known_before_the_watch_delivers_it_and_older_events_do_not_undo_it() {
    let index = Index::default();
    index.order_seen(order("o1", 1));
    index.world_seen(world("w1", 2));
    index.pod_seen(&key(), pod("p1", 3));
    index.order_written(order("o1", 11));
    index.world_written(world("w2", 12));
    index.pod_written(&key(), pod("p2", 13));
    let answered = [("o1", 11), ("w2", 12), ("p2", 13)].map(|(uid, version)| (uid.to_owned(), version));
    assert_eq!(known(&index), answered);
    index.order_seen(order("o1", 4));
    index.world_seen(world("w1", 5));
    index.pod_seen(&key(), pod("p1", 6));
    index.world_gone(&world("w1", 7).metadata);
    index.pod_gone(&key(), "fix-alpha-1", "p1", 8);
    assert_eq!(known(&index), answered);
}

#[test]
fn an_answer_about_what_has_gone_leaves_nothing_and_holds_no_slot() {
    let index = Index::default();
    index.order_seen(order("o1", 1));
    index.order_gone(&order("o1", 20).metadata);
    index.world_gone(&world("w1", 21).metadata);
    index.pod_gone(&key(), "fix-alpha-1", "p1", 22);
    index.order_written(order("o1", 10));
    index.world_written(world("w1", 11));
    index.pod_written(&key(), pod("p1", 12));
    assert!(index.order_keys().is_empty(), "{:?}", index.order_keys());
    assert_eq!(index.census().worlds, 0);
}
