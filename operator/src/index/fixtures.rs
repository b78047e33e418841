//! What tests let the index see.

use manyworlds_api::{WorkOrder, World, labels};
use manyworlds_planner::node_resources::Resources;
use manyworlds_planner::observation::{ObservedPod, PodOwner, PodPhase, Presence, StageState, Stages};
use manyworlds_planner::role::{OwnerKind, WORK};
use serde_json::{Value, json};

pub(crate) fn order(status: Value) -> WorkOrder {
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
    serde_json::from_value(order).unwrap()
}

pub(crate) fn world(variant: &str, index: i32, status: Value) -> World {
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
    serde_json::from_value(world).unwrap()
}

/// The first attempt of the World alpha, prepared and at work.
pub(crate) fn at_work() -> ObservedPod {
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
    ObservedPod {
        name: "fix-alpha-1".to_owned(),
        uid: "p1".to_owned(),
        resource_version: 1,
        owner: PodOwner { kind: OwnerKind::World, name: "fix-alpha".to_owned(), uid: "w-alpha".to_owned() },
        attempt: 1,
        presence: Presence::Present,
        node: None,
        unschedulable: None,
        created: "2026-01-01T00:00:02Z".parse().ok(),
        phase: PodPhase::Running,
        reason: None,
        message: None,
        conditions: vec![],
        stages,
        requests: Resources::default(),
    }
}
