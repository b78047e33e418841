use jiff::Timestamp;
use manyworlds_api::object::ObjectId;
use serde_json::json;

use super::*;
use crate::node_resources::Resources;
use crate::observation::{PodOwner, Stages};
use crate::role::{EVALUATION, OwnerKind, PodRole, WORK};

fn pod(role: &'static PodRole, number: i32, phase: PodPhase) -> OrderPod {
    let name = format!("fix-alpha-1-{}{number}", role.name);
    OrderPod {
        id: ObjectId { namespace: "team".into(), name: name.parse().unwrap(), uid: name.parse().unwrap() },
        version: "1".parse().unwrap(),
        owner: PodOwner { kind: OwnerKind::World, name: "fix-alpha".to_owned(), uid: "w".to_owned() },
        attempt: 1,
        number,
        presence: Presence::Present,
        node: None,
        unschedulable: None,
        created: Timestamp::UNIX_EPOCH,
        phase,
        reason: None,
        message: None,
        conditions: Vec::new(),
        stages: Stages::new(role),
        requests: Resources::default(),
    }
}

/// One that was over has given its slot back, and asks for another one; so its pods hold none until the next one is there.
#[test]
fn a_world_that_is_to_be_judged_again_holds_nothing() {
    let status = |attempt: i32| {
        world(&json!({
            "stage": "Waiting",
            "reevaluation": { "request": "one", "count": 1, "attempt": attempt, "afterEvaluation": 1 },
        }))
    };
    let worked = [pod(&WORK, 1, PodPhase::Succeeded)];
    let judged = [worked[0].clone(), pod(&EVALUATION, 1, PodPhase::Failed)];
    assert_eq!(held(&worked, Some(&status(1))), [false]);
    assert_eq!(held(&judged, Some(&status(1))), [false, false]);
    assert_eq!(held(&worked, Some(&status(2))), [true], "another attempt is meant");
    let next = [worked[0].clone(), pod(&EVALUATION, 2, PodPhase::Running)];
    assert_eq!(held(&next, Some(&status(1))), [false, true]);
}

fn gone(pod: OrderPod) -> OrderPod {
    OrderPod { presence: Presence::Gone, ..pod }
}

fn world(status: &serde_json::Value) -> World {
    serde_json::from_value(json!({
        "apiVersion": "manyworlds.dev/v1alpha1", "kind": "World", "metadata": { "name": "fix-alpha" },
        "spec": {
            "order": { "name": "fix", "uid": "o" },
            "variant": { "name": "alpha", "index": 0 },
            "blueprint": { "plugin": "echo", "image": "i", "resources": {} },
        },
        "status": status,
    }))
    .unwrap()
}

/// Returns which of the pods of an attempt hold a slot.
fn held(pods: &[OrderPod], world: Option<&World>) -> Vec<bool> {
    pods.iter().map(|pod| holds_slot(pod, world, pods)).collect()
}

#[test]
fn the_slot_goes_from_the_pod_that_works_to_those_that_judge_and_is_never_held_twice() {
    use PodPhase::{Failed, Pending, Running, Succeeded};
    let work = |phase| pod(&WORK, 1, phase);
    let judge = |number, phase| pod(&EVALUATION, number, phase);
    let cases: [(&str, Vec<OrderPod>, &[bool]); 9] = [
        ("it works", vec![work(Running)], &[true]),
        ("its work is stored", vec![work(Succeeded)], &[true]),
        ("its work has failed", vec![work(Failed)], &[false]),
        ("it is judged", vec![work(Succeeded), judge(1, Pending)], &[false, true]),
        ("it has a result", vec![work(Succeeded), judge(1, Succeeded)], &[false, false]),
        ("it is judged again soon", vec![work(Succeeded), judge(1, Failed)], &[false, true]),
        ("it is judged again", vec![work(Succeeded), judge(1, Failed), judge(2, Running)], &[false, false, true]),
        ("the pod that judged was deleted", vec![work(Succeeded), gone(judge(1, Running))], &[true, false]),
        ("all were deleted", vec![gone(work(Succeeded)), gone(judge(1, Failed))], &[false, false]),
    ];
    let open = world(&json!({}));
    for (what, pods, expected) in cases {
        assert_eq!(held(&pods, Some(&open)), expected, "{what}");
        let backwards: Vec<_> = pods.iter().rev().cloned().collect();
        let mut found = held(&backwards, Some(&open));
        found.reverse();
        assert_eq!(found, expected, "{what}: in whatever order they are seen");
    }
}

/// W7: nobody waits for a slot that no pod will come into.
#[test]
fn an_attempt_that_is_over_or_suspended_holds_no_slot() {
    let finished = json!({ "conditions": [{
        "type": "Finished", "status": "True", "reason": "Cut", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
    }] });
    let pods = [pod(&WORK, 1, PodPhase::Succeeded)];
    for status in [json!({ "attemptCount": 1 }), json!({ "stage": "Suspended" }), finished] {
        assert_eq!(held(&pods, Some(&world(&status))), [false], "{status}");
        let running = [pod(&WORK, 1, PodPhase::Running)];
        assert_eq!(held(&running, Some(&world(&status))), [true], "what runs holds its slot: {status}");
    }
    assert_eq!(held(&pods, None), [false], "its World is gone");
}
