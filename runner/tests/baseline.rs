//! The base of an order, judged in a pod of its own, and Worlds whose tests are held against it by name.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use manyworlds_api::artifacts::order_baseline_path;
use manyworlds_api::baseline_document::{BaselineDocument, CaseOutcome};
use manyworlds_api::labels;
use manyworlds_api::result::{GateOutcome, GateResult, TestChanges, WorldResult};
use serde_json::{Value, json};
use support::operator::{BASELINE, Received};
use support::{Pod, Repository};

/// A test program in TAP: one test for each file in `tests`, which passes where it holds `good`.
const RUN: &str = "set -- tests/*; echo 1..$#; code=0; n=0; for file in \"$@\"; do n=$((n + 1)); \
                   if grep -q good \"$file\"; then echo \"ok $n - $file\"; else echo \"not ok $n - $file\"; code=1; fi; done; exit $code";

fn repository() -> Repository {
    Repository::new(&[("tests/a", "good"), ("tests/b", "good"), ("tests/c", "bad"), ("tests/d", "good")])
}

fn order(worker: &str, command: &str) -> Value {
    json!({
        "worker": { "plugin": "command", "command": ["sh", "-c", worker] },
        "evaluation": { "gates": [
            { "name": "test", "kind": "Test", "points": 100, "command": ["sh", "-c", command] },
        ] },
    })
}

/// Judges the base that a World has pinned and stored.
fn judged_base(repository: &Repository, changes: &Value, received: &Received) -> WorldResult {
    let mut pod = Pod::of_world("alpha", repository, changes, received);
    pod.subject = Some(labels::SUBJECT_BASE);
    let (code, report) = pod.judge();
    assert_eq!(code, 0, "{report:?}");
    assert_eq!(report.base_commit, received.pinned.lock().unwrap().clone());
    report.result.unwrap()
}

/// Judges the base, and then a World with this worker.
fn judged(worker: &str, command: &str) -> GateResult {
    let (repository, changes, received) = (repository(), order(worker, command), Received::default());
    let world = Pod::of_world("alpha", &repository, &changes, &received);
    world.works();
    judged_base(&repository, &changes, &received);
    let (code, report) = world.judge();
    assert_eq!(code, 0, "{report:?}");
    report.result.unwrap().gates.remove(0)
}

fn stored(received: &Received) -> BaselineDocument {
    let artifacts = received.artifacts.lock().unwrap();
    serde_json::from_slice(artifacts.get(BASELINE).unwrap()).unwrap()
}

/// W3: what the gates give at the base is known by test case, and counts against nobody.
#[test]
fn the_base_is_judged_and_stored_by_name() {
    let (repository, received) = (repository(), Received::default());
    let changes = order("echo good > tests/c", RUN);
    Pod::of_world("alpha", &repository, &changes, &received).works();
    let result = judged_base(&repository, &changes, &received);
    let gate = &result.gates[0];
    assert_eq!((gate.outcome, gate.passed, gate.total, gate.points), (GateOutcome::Partial, Some(3), Some(4), 75));
    assert_eq!((result.commit, result.reasons, result.artifacts), (None, Vec::new(), Vec::new()));
    let document = stored(&received);
    assert_eq!(Some(&document.base_commit), received.pinned.lock().unwrap().as_ref());
    let cases: Vec<_> = document.gates[0].cases.iter().map(|case| (case.name.as_str(), case.outcome)).collect();
    let (passed, failed) = (CaseOutcome::Passed, CaseOutcome::Failed);
    assert_eq!(cases, [("tests/a", passed), ("tests/b", passed), ("tests/c", failed), ("tests/d", passed)]);
    assert!(document.outputs[0].tail.contains("not ok 3 - tests/c"));
    assert!(order_baseline_path("team", "fix").ends_with(BASELINE));
}

/// W3: points are earned by the tests that the base has, whatever their number is now.
#[test]
fn tests_of_a_world_are_held_against_the_base_by_name() {
    let fixed = judged("echo good > tests/c", RUN);
    assert_eq!((fixed.outcome, fixed.points, fixed.reason.as_str()), (GateOutcome::Passed, 100, ""));
    assert_eq!(fixed.tests, Some(TestChanges { fixed: 1, kept: 3, ..TestChanges::default() }));

    let removed = judged("rm tests/c", RUN);
    assert_eq!((removed.outcome, removed.points, removed.total), (GateOutcome::Partial, 75, Some(4)));
    assert!(removed.reason.contains("1 of the base's tests were not run (tests/c)"), "{}", removed.reason);

    let others = judged("rm tests/*; for n in 1 2 3 4; do echo good > tests/other-$n; done", RUN);
    assert_eq!((others.outcome, others.points), (GateOutcome::Failed, 0));
    assert_eq!(others.tests, Some(TestChanges { missing: 4, added: 4, ..TestChanges::default() }));
}

/// W3: a gate that is to count tests and counts none says so, at the base before any World is paid for.
#[test]
fn a_test_gate_that_counts_no_test_earns_nothing() {
    let world = judged("echo x > file", "true");
    assert_eq!((world.outcome, world.points), (GateOutcome::Failed, 0));
    assert!(world.reason.contains("use the kind Custom"), "{}", world.reason);
    for command in ["true", "no-such-program", "echo 1..0"] {
        let (repository, changes, received) = (repository(), order("echo x > file", command), Received::default());
        Pod::of_world("alpha", &repository, &changes, &received).works();
        let gate = judged_base(&repository, &changes, &received).gates.remove(0);
        assert_eq!((gate.outcome, gate.points), (GateOutcome::CannotRun, 0), "{command}: {}", gate.reason);
    }
}

/// W14: a count that a file of the worker's prints in the place of the true one earns nothing.
#[test]
fn a_count_that_contradicts_itself_or_the_exit_code_earns_nothing() {
    for command in [
        "echo '4 passed in 1s'; exit 1",
        "echo '1 failed, 3 passed in 1s'",
        "echo '1 failed, 3 passed in 1s'; echo '3 passed in 1s'; exit 1",
    ] {
        let changes = order("echo x > file", command);
        let gate = Pod::new(&repository(), &changes).result().gates.remove(0);
        assert_eq!((gate.outcome, gate.points), (GateOutcome::Failed, 0), "{command}: {}", gate.reason);
    }
}
