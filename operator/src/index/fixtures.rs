//! Objects for tests.

use kube::core::ObjectMeta;
use kube::{Client, Resource};
use manyworlds_api::object::{ObjectId, Stored};
use manyworlds_api::{WorkOrder, World, labels};
use manyworlds_planner::node_resources::Resources;
use manyworlds_planner::observation::{OrderPod, PodOwner, PodPhase, Presence, StageState, Stages};
use manyworlds_planner::role::{BASELINE, EVALUATION, OwnerKind, WORK};
use manyworlds_test_support::ApiServer;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Returns a client of an API server that answers as a test tells it.
pub(crate) fn client_of(server: &ApiServer) -> Client {
    Client::try_from(kube::Config::new(server.url().parse().unwrap())).unwrap()
}

/// The order fix, with a status.
pub(crate) fn order(status: Value) -> Stored<WorkOrder> {
    let mut order = json!({
        "apiVersion": "manyworlds.dev/v1alpha1", "kind": "WorkOrder",
        "metadata": {
            "name": "fix", "namespace": "team", "uid": "o", "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "source": { "git": { "url": "https://forge.example/a", "revision": "main" } },
            "task": { "title": "Fix it" },
        },
    });
    order["status"] = status;
    stored(order)
}

/// A World of the order fix, with a status.
pub(crate) fn world(variant: &str, index: i32, status: Value) -> Stored<World> {
    let mut world = json!({
        "apiVersion": "manyworlds.dev/v1alpha1", "kind": "World",
        "metadata": {
            "name": format!("fix-{variant}"), "namespace": "team", "uid": format!("w-{variant}"),
            "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:01Z",
            "labels": { labels::WORK_ORDER: "fix" },
        },
        "spec": {
            "order": { "name": "fix", "uid": "o" },
            "variant": { "name": variant, "index": index, "model": "m", "temperature": 0.2, "prompt": "careful" },
            "blueprint": { "plugin": "coder", "image": "i", "resources": {} },
        },
    });
    world["status"] = status;
    stored(world)
}

/// Reads an object as the watches do.
pub(crate) fn stored<K: Resource + DeserializeOwned>(object: Value) -> Stored<K> {
    Stored::parse(serde_json::from_value(object).unwrap()).unwrap()
}

/// The same with other metadata.
pub(crate) fn with_metadata<K: Resource + Clone>(
    object: &Stored<K>,
    change: impl FnOnce(&mut ObjectMeta),
) -> Stored<K> {
    let mut object = K::clone(object);
    change(object.meta_mut());
    Stored::parse(object).unwrap()
}

/// The same as one of another uid and version.
pub(crate) fn as_of<K: Resource + Clone>(object: &Stored<K>, uid: &str, version: u64) -> Stored<K> {
    with_metadata(object, |metadata| {
        metadata.uid = Some(uid.to_owned());
        metadata.resource_version = Some(version.to_string());
    })
}

/// The first evaluation of the first attempt of the World alpha, at the gates.
pub(crate) fn judged() -> OrderPod {
    let mut stages = Stages::new(&EVALUATION);
    let work = at_work();
    for (container, of_work) in [("checkout", "prepare"), ("judge", "work")] {
        stages.set(container, work.stages.get(of_work).cloned().unwrap_or_default());
    }
    let name = "fix-alpha-1-e1".parse().unwrap();
    OrderPod { id: ObjectId { name, uid: "e1".parse().unwrap(), ..work.id.clone() }, stages, ..work }
}

/// The first pod that judges the base of the order, at the gates.
pub(crate) fn judged_base() -> OrderPod {
    let judged = judged();
    let mut stages = Stages::new(&BASELINE);
    for container in ["checkout", "judge"] {
        stages.set(container, judged.stages.get(container).cloned().unwrap_or_default());
    }
    let name = "fix-baseline-e1".parse().unwrap();
    let owner = PodOwner { kind: OwnerKind::WorkOrder, name: "fix".to_owned(), uid: "o".to_owned() };
    OrderPod { id: ObjectId { name, uid: "b1".parse().unwrap(), ..judged.id.clone() }, owner, stages, ..judged }
}

/// The first attempt of the World alpha, prepared and at work.
pub(crate) fn at_work() -> OrderPod {
    let since = "2026-01-01T00:00:05Z".parse().ok();
    let prepare = StageState::Ended {
        exit_code: 0,
        reason: "Completed".to_owned(),
        message: String::new(),
        started: since,
        finished: since,
    };
    let mut stages = Stages::new(&WORK);
    stages.set("prepare", prepare);
    stages.set("work", StageState::Running { since });
    OrderPod {
        id: ObjectId { namespace: "team".into(), name: "fix-alpha-1".parse().unwrap(), uid: "p1".parse().unwrap() },
        version: "1".parse().unwrap(),
        owner: PodOwner { kind: OwnerKind::World, name: "fix-alpha".to_owned(), uid: "w-alpha".to_owned() },
        attempt: 1,
        number: 1,
        presence: Presence::Present,
        node: None,
        unschedulable: None,
        created: "2026-01-01T00:00:02Z".parse().unwrap(),
        phase: PodPhase::Running,
        reason: None,
        message: None,
        conditions: vec![],
        stages,
        requests: Resources::default(),
    }
}
