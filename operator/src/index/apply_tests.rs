use k8s_openapi::api::core::v1::Pod;
use manyworlds_api::conditions::Reason;
use manyworlds_api::object::{ObjectId, ResourceVersion, Stored};
use manyworlds_api::{WorkOrder, World};
use manyworlds_planner::observation::{OrderPod, PodPhase};
use serde_json::{Value, json};

use super::changed_order::ChangedOrder;
use super::*;
use crate::index::fixtures;

fn order(uid: &str, version: u64) -> Stored<WorkOrder> {
    fixtures::as_of(&fixtures::order(Value::Null), uid, version)
}

fn world(uid: &str, version: u64) -> Stored<World> {
    fixtures::as_of(&fixtures::world("alpha", 0, Value::Null), uid, version)
}

fn at(version: u64) -> ResourceVersion {
    version.to_string().parse().unwrap()
}

fn pod(uid: &str, version: u64) -> OrderPod {
    let pod = fixtures::at_work();
    OrderPod { id: ObjectId { uid: uid.parse().unwrap(), ..pod.id }, version: at(version), ..pod }
}

fn pod_id(uid: &str) -> ObjectId<Pod> {
    pod(uid, 1).id
}

fn key() -> OrderKey {
    OrderKey { namespace: "team".into(), name: "fix".into() }
}

fn order_uid(index: &Index) -> Option<String> {
    index.order(&key()).map(|order| order.uid().to_string())
}

/// Uids and versions of everything that is known.
fn known(index: &Index) -> Vec<(String, ResourceVersion)> {
    let Some(ChangedOrder { order, worlds, pods, .. }) = index.whole(&key()) else { return Vec::new() };
    let worlds = worlds.iter().map(|world| (world.uid().to_string(), world.version()));
    let pods = pods.iter().map(|pod| (pod.uid().to_string(), pod.version));
    std::iter::once((order.uid().to_string(), order.version())).chain(worlds).chain(pods).collect()
}

#[test]
fn a_late_answer_does_not_take_the_place_of_an_order_made_again() {
    let index = Index::default();
    index.order_seen(order("o1", 1));
    index.order_gone(order("o1", 1).id(), at(4));
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
    let answered = [("o1", 11), ("w2", 12), ("p2", 13)].map(|(uid, version)| (uid.to_owned(), at(version)));
    assert_eq!(known(&index), answered);
    index.order_seen(order("o1", 4));
    index.world_seen(world("w1", 5));
    index.pod_seen(&key(), pod("p1", 6));
    index.world_gone(key(), world("w1", 1).id(), at(7));
    index.pod_gone(&key(), &pod_id("p1"), at(8));
    assert_eq!(known(&index), answered);
}

/// A process without the controller writes no status, and sees what another one has written.
#[test]
fn a_pod_that_is_gone_is_kept_until_its_end_is_recorded_by_whoever_that_is() {
    let index = Index::default();
    let pods = || index.whole(&key()).map_or(0, |order| order.pods.len());
    let status = json!({ "attemptCount": 1 });
    let recorded = fixtures::as_of(&fixtures::world("alpha", 0, status), "w-alpha", 4);
    index.order_seen(order("o", 1));
    index.world_seen(world("w-alpha", 1));
    index.pod_seen(&key(), pod("p1", 2));
    index.pod_gone(&key(), &pod_id("p1"), at(3));
    assert_eq!(pods(), 1, "nobody has recorded how it ended");
    index.world_seen(recorded);
    assert_eq!(pods(), 0);
    // The World goes before anybody has recorded anything.
    index.world_seen(world("w-alpha", 5));
    index.pod_seen(&key(), pod("p2", 6));
    index.pod_gone(&key(), &pod_id("p2"), at(7));
    assert_eq!(pods(), 1);
    index.world_gone(key(), world("w-alpha", 1).id(), at(8));
    assert_eq!(pods(), 0);
}

#[test]
fn an_answer_about_what_has_gone_leaves_nothing_and_holds_no_slot() {
    let index = Index::default();
    index.order_seen(order("o1", 1));
    index.order_gone(order("o1", 1).id(), at(20));
    index.world_gone(key(), world("w1", 1).id(), at(21));
    index.pod_gone(&key(), &pod_id("p1"), at(22));
    index.order_written(order("o1", 10));
    index.world_written(world("w1", 11));
    index.pod_written(&key(), pod("p1", 12));
    assert!(index.order_keys().is_empty(), "{:?}", index.order_keys());
    assert_eq!(index.census().worlds, 0);
}

/// W7: the pod that judges is made without asking for a slot, so nobody else is given that of the pod that worked.
#[test]
fn the_slot_of_a_world_is_kept_until_it_is_judged_and_then_wakes_who_waits() {
    let index = Index::default();
    let occupied = || index.census().worlds;
    let as_of = |pod: OrderPod, version, phase| OrderPod { version: at(version), phase, ..pod };
    index.order_seen(order("o", 1));
    index.world_seen(world("w-alpha", 2));
    let worked = as_of(fixtures::at_work(), 4, PodPhase::Succeeded);
    index.pod_seen(&key(), as_of(fixtures::at_work(), 3, PodPhase::Running));
    index.pod_seen(&key(), worked.clone());
    assert_eq!(occupied(), 1, "its work is stored");
    index.pod_written(&key(), as_of(fixtures::judged(), 5, PodPhase::Pending));
    assert_eq!(occupied(), 1, "the pod that judges has taken its place");
    index.pod_gone(&key(), &fixtures::judged().id, at(6));
    assert_eq!(occupied(), 1, "it is judged again");
    let recorded = json!({ "attemptCount": 1 });
    index.world_written(fixtures::as_of(&fixtures::world("alpha", 0, recorded), "w-alpha", 7));
    assert_eq!(occupied(), 0, "the attempt is recorded");

    // The same pods, seen anew by a process that has just started, in whatever order the lists come.
    let index = Index::default();
    index.order_seen(order("o", 1));
    index.pod_seen(&key(), worked);
    assert_eq!(index.census().worlds, 0, "its World is not known yet");
    index.world_seen(world("w-alpha", 2));
    assert_eq!(index.census().worlds, 1);
    index.world_gone(key(), world("w-alpha", 2).id(), at(8));
    assert_eq!(index.census().worlds, 0);
}

/// W7: what a refused order had is for others, and what has gone of it may have left room for its next try.
#[test]
fn a_refused_order_has_no_place_and_tries_again_once_a_pod_of_it_has_gone() {
    let (index, now) = (Index::default(), Timestamp::UNIX_EPOCH);
    let settings = Arc::new(Settings::new("runner".to_owned(), "http://operator".to_owned()));
    let most = || {
        let snapshot = index.snapshot(&key(), now, &settings).unwrap();
        snapshot.refusal.map(|refusal| refusal.most(now))
    };
    let resources = |pods| Resources { processor: pods, memory: pods, storage: pods, pods };
    index.node_seen(ObservedNode {
        name: "node".into(),
        schedulable: true,
        readiness: Readiness::Ready,
        allocatable: resources(4),
        ..ObservedNode::default()
    });
    let order = order("o", 1);
    let request = Request {
        uid: order.uid().clone(),
        namespace: "team".into(),
        priority: 0,
        created: order.created(),
        want: 50,
        size: resources(1),
        placement: Arc::default(),
    };
    index.order_seen(order);
    assert_eq!(index.reserve(&request).0.slots, 4);
    let refusal = Refusal::new(Reason::PermissionDenied, "exceeded quota".to_owned(), 1, Timestamp::MAX);
    index.gave_up(&key(), &request.uid, Some(refusal));
    assert_eq!((index.census().waiting, most()), (0, Some(0)));
    let other = Request { uid: "other".parse().unwrap(), want: 4, ..request };
    assert_eq!(index.reserve(&other).0.slots, 4);
    index.pod_seen(&key(), pod("p1", 2));
    index.pod_gone(&key(), &pod_id("p1"), at(3));
    assert_eq!(most(), Some(1));
    index.succeeded(&key(), 2);
    assert_eq!(most(), None);
}
