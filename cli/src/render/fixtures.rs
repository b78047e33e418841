//! Orders for the tests of the views.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::order_view::OrderView;

/// The time at which the tests look at these orders.
pub fn now() -> Timestamp {
    "2026-11-20T12:02:00Z".parse().unwrap()
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-11-20T12:01:00Z",
    })
}

fn order(status: &Value) -> Value {
    let variants: Vec<Value> =
        ["alpha", "beta", "gamma", "delta", "epsilon"].iter().map(|name| json!({ "name": name })).collect();
    json!({
        "apiVersion": "manyworlds.dev/v1alpha1",
        "kind": "WorkOrder",
        "metadata": {
            "name": "fix-270", "namespace": "team", "uid": "order-uid", "creationTimestamp": "2026-11-20T12:00:00Z",
        },
        "spec": {
            "source": { "git": { "url": "https://forge.example/team/code", "revision": "main" } },
            "task": { "title": "Fix issue 270" },
            "worlds": { "variants": variants },
        },
        "status": status,
    })
}

fn world(name: &str, status: &Value) -> Value {
    json!({
        "apiVersion": "manyworlds.dev/v1alpha1",
        "kind": "World",
        "metadata": { "name": format!("fix-270-{name}"), "uid": format!("{name}-uid") },
        "spec": {
            "order": { "name": "fix-270", "uid": "order-uid" },
            "variant": { "name": name, "index": 0 },
            "blueprint": { "plugin": "echo", "image": "x", "resources": {} },
        },
        "status": status,
    })
}

fn pod(name: &str, attempt: i32, start: &str, states: &[Value]) -> Value {
    let container = |index: usize, state: &Value| {
        json!({
            "name": (["prepare", "work", "collect"][index]), "image": "", "imageID": "", "ready": false,
            "restartCount": 0, "state": state,
        })
    };
    let statuses: Vec<Value> = states.iter().enumerate().map(|(index, state)| container(index, state)).collect();
    json!({
        "metadata": {
            "name": format!("fix-270-{name}-{attempt}"),
            "labels": {
                "manyworlds.dev/work-order": "fix-270", "manyworlds.dev/world": name,
                "manyworlds.dev/attempt": attempt.to_string(),
            },
            "ownerReferences": [{
                "apiVersion": "manyworlds.dev/v1alpha1", "kind": "World", "name": format!("fix-270-{name}"),
                "uid": format!("{name}-uid"),
            }],
        },
        "status": { "phase": "Pending", "startTime": start, "initContainerStatuses": statuses },
    })
}

fn with_phase(mut pod: Value, phase: &str) -> Value {
    pod["status"]["phase"] = json!(phase);
    pod
}

/// The first pod that judges an attempt.
fn judge(name: &str, attempt: i32, start: &str, state: &Value) -> Value {
    let mut judge = pod(name, attempt, start, &[]);
    judge["metadata"]["name"] = json!(format!("fix-270-{name}-{attempt}-e1"));
    judge["metadata"]["labels"]["manyworlds.dev/evaluation"] = json!("1");
    let container = |name: &str, state: &Value| json!({ "name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state });
    judge["status"]["initContainerStatuses"] =
        json!([container("checkout", &json!({ "terminated": { "exitCode": 0 } }))]);
    judge["status"]["containerStatuses"] = json!([container("judge", state)]);
    judge
}

fn attempt(number: i32, class: &Value, reason: &str, message: &str) -> Value {
    json!({
        "number": number, "pod": format!("pod-{number}"), "reason": reason, "message": message, "class": class,
        "exitCode": if class.is_null() { 0 } else { 12 }, "counted": true,
        "startTime": "2026-11-20T12:00:03Z", "finishTime": "2026-11-20T12:01:05Z",
    })
}

fn part(gate: &str, points: i32, out_of: i32, outcome: &str, reason: &str) -> Value {
    json!({ "gate": gate, "points": points, "outOf": out_of, "outcome": outcome, "reason": reason })
}

fn alpha() -> Value {
    let mut tests = part("tests", 56, 60, "Partial", "28 of 30 tests passed");
    tests["tests"] = json!({ "fixed": 4, "kept": 24, "failing": 2 });
    json!({
        "stage": "Scored", "message": "96 of 100 points", "eligible": true, "sealed": true, "attemptCount": 1,
        "diff": { "files": 2, "insertions": 12, "deletions": 3 },
        "score": { "total": 96, "parts": [
            part("build", 40, 40, "Passed", ""), tests,
        ] },
        "attempts": [attempt(1, &Value::Null, "Completed", "")],
    })
}

fn view(order: Value, worlds: Vec<Value>, pods: Vec<Value>) -> OrderView {
    let pods = pods.into_iter().map(|pod| serde_json::from_value(pod).unwrap()).collect();
    let worlds = worlds.into_iter().map(|world| serde_json::from_value(world).unwrap()).collect();
    OrderView::new(serde_json::from_value(order).unwrap(), worlds, pods)
}

/// An order that no operator has seen.
pub fn submitted() -> OrderView {
    view(order(&Value::Null), Vec::new(), Vec::new())
}

/// An order that waits for capacity.
pub fn waiting() -> OrderView {
    let message = "No node has a free slot; place 3 in the queue.";
    let status = json!({
        "summary": "AwaitingCapacity", "message": message, "worlds": { "summary": "0/5", "pending": 5 },
        "conditions": [condition("Admitted", "False", "AwaitingCapacity", message)],
    });
    view(order(&status), Vec::new(), Vec::new())
}

/// An order whose Worlds are in all kinds of states.
pub fn running() -> OrderView {
    let status = json!({
        "summary": "Running", "message": "4 Worlds at work or waiting.", "startTime": "2026-11-20T12:00:30Z",
        "worlds": { "pending": 1, "running": 3, "scored": 1 }, "usage": { "cost": "0.42", "calls": 13 },
        "conditions": [condition("Admitted", "True", "Admitted", "admitted")],
    });
    let ended = json!({ "terminated": { "exitCode": 0 } });
    let running = json!({ "running": {} });
    let pull = json!({ "waiting": { "reason": "ImagePullBackOff", "message": "no such image" } });
    let failed = attempt(1, &json!("Worker"), "WorkerFailed", "the worker ended with exit code 3");
    let worlds = vec![
        world("alpha", &alpha()),
        world("beta", &json!({ "stage": "Working", "message": "gate tests runs", "attemptCount": 1 })),
        world("gamma", &json!({ "stage": "Waiting", "attemptCount": 1, "attempts": [failed] })),
        world("delta", &Value::Null),
    ];
    let pods = vec![
        with_phase(pod("beta", 1, "2026-11-20T12:00:35Z", &[ended.clone(), ended.clone(), ended.clone()]), "Succeeded"),
        judge("beta", 1, "2026-11-20T12:01:40Z", &running),
        pod("gamma", 1, "2026-11-20T12:00:35Z", &[ended.clone(), ended.clone()]),
        pod("gamma", 2, "2026-11-20T12:01:50Z", &[ended, running]),
        pod("delta", 1, "", &[pull]),
    ];
    let pods = pods.into_iter().map(without_empty_start).collect();
    view(order(&status), worlds, pods)
}

fn without_empty_start(mut pod: Value) -> Value {
    if pod["status"]["startTime"] == "" {
        pod["status"]["startTime"] = Value::Null;
    }
    pod
}

/// An order that alpha won.
pub fn finished() -> OrderView {
    let ranked = |world: &str, score: Value, eligible: bool, reason: &str| json!({ "world": world, "score": score, "eligible": eligible, "reason": reason });
    let status = json!({
        "summary": "Succeeded", "message": "alpha won with 96 points.", "winner": "alpha", "attempts": 6,
        "startTime": "2026-11-20T12:00:00Z", "completionTime": "2026-11-20T12:02:00Z",
        "baseCommit": "0123456789abcdef0123456789abcdef01234567",
        "baseline": { "state": "Judged", "gates": [
            { "gate": "build", "outcome": "Passed" },
            { "gate": "tests", "outcome": "Partial", "passed": 24, "total": 30, "reason": "6 tests failed" },
        ] },
        "worlds": { "summary": "5/5", "scored": 3, "failed": 1, "cut": 1 }, "best": { "world": "alpha", "score": 96 },
        "usage": { "cost": "0.42", "calls": 13 },
        "conditions": [
            condition("Admitted", "True", "Admitted", "admitted"),
            condition("Succeeded", "True", "HighestScore", "alpha won with 96 points."),
            condition("Finished", "True", "HighestScore", "alpha won with 96 points."),
        ],
        "ranking": [
            ranked("alpha", json!(96), true, "Highest score."),
            ranked("beta", json!(82), true, "Eligible."),
            ranked("gamma", json!(40), false, "Required gate tests failed."),
            ranked("delta", Value::Null, false, ""),
            ranked("epsilon", Value::Null, false, ""),
        ],
    });
    view(order(&status), vec![world("alpha", &alpha()), beta(), gamma(), delta()], Vec::new())
}

/// A finished order of which the World of a variant has a stored change, and beta has none.
pub fn with_stored_change(variant: &str) -> OrderView {
    let over = condition("Finished", "True", "Completed", "");
    let mut status = alpha();
    status["conditions"] = json!([over]);
    status["baseCommit"] = json!("b".repeat(40));
    status["artifacts"] = json!([{ "name": "change", "sha256": "c".repeat(64), "bytes": 1 }]);
    let mut without = beta();
    without["status"]["conditions"] = json!([over]);
    view(order(&Value::Null), vec![world(variant, &status), without], Vec::new())
}

fn beta() -> Value {
    let parts = [part("build", 40, 40, "Passed", ""), part("tests", 42, 60, "Partial", "21 of 30 tests passed")];
    world(
        "beta",
        &json!({
            "stage": "Scored", "message": "82 of 100 points", "eligible": true, "sealed": true, "attemptCount": 1,
            "diff": { "files": 1, "insertions": 4, "deletions": 1 }, "score": { "total": 82, "parts": parts },
            "attempts": [attempt(1, &Value::Null, "Completed", "")],
        }),
    )
}

fn gamma() -> Value {
    let parts = [part("build", 40, 40, "Passed", ""), part("tests", 0, 60, "Failed", "exit code 1")];
    world(
        "gamma",
        &json!({
            "stage": "Scored", "message": "required gate tests failed", "eligible": false, "sealed": true,
            "attemptCount": 1, "score": { "total": 40, "parts": parts },
            "reasons": ["protected file tests/test_code.py was restored"],
            "attempts": [attempt(1, &Value::Null, "Completed", "")],
        }),
    )
}

fn delta() -> Value {
    let attempts = [
        attempt(1, &json!("Infrastructure"), "Evicted", "the node was low on memory"),
        attempt(2, &json!("Worker"), "WorkerTimedOut", "the worker ran out of time and changed nothing"),
    ];
    world(
        "delta",
        &json!({
            "stage": "Failed", "message": "the worker ran out of time and changed nothing", "attemptCount": 2,
            "countedAttempts": 2, "attempts": attempts,
        }),
    )
}
