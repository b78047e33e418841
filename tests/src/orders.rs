//! Orders for tests.

use std::collections::BTreeMap;

use kube::Api;
use kube::api::PostParams;
use manyworlds_api::WorkOrder;
use manyworlds_api::result::{
    Collection, DiffStatistics, GateOutcome, GateResult, StageReport, WorkerReport, WorldResult,
};
use serde_json::{Value, json};

use crate::Result;

/// Annotation with which kwok fills a fake pod's termination message.
pub const FAKE_MESSAGE: &str = "fake/message";
/// The same for a fake pod that judges, where it is another one.
pub const FAKE_EVALUATION_MESSAGE: &str = "fake/evaluation-message";
/// The same for a fake pod that judges the base of an order, where it is another one.
pub const FAKE_BASELINE_MESSAGE: &str = "fake/baseline-message";
/// Name of the only gate of a fake order. It has a command, so that the order has a baseline as ordinary orders have.
const GATE: &str = "checks";
/// Fake nodes have no kernel to confine gates with, so fake results cannot be required to be sealed.
const SEALED: bool = true;

/// Returns the smallest manifest of a WorkOrder.
pub fn smallest(name: &str) -> Value {
    json!({
        "apiVersion": "manyworlds.dev/v1alpha1",
        "kind": "WorkOrder",
        "metadata": {"name": name},
        "spec": {
            "source": {"git": {"url": "https://example.com/repository.git"}},
            "task": {"title": "Fix the bug"},
        },
    })
}

/// Returns an order of as many Worlds whose fake pods all end at once: with work to judge, and then with a full score, at the base
/// too.
///
/// - **Shape:** the Worlds are `w1`, `w2` and so on; each asks for little, so that all fit the fake nodes.
///
/// # Errors
///
/// When the report cannot be written (class: bug).
pub fn fake(name: &str, worlds: usize) -> Result<WorkOrder> {
    let variants: Vec<_> = (1..=worlds).map(|number| json!({"name": format!("w{number}")})).collect();
    let mut order = smallest(name);
    order["spec"]["worlds"] = json!({
        "min": 1,
        "parallelism": worlds,
        "sizing": {"perWorld": {"cpu": "10m", "memory": "16Mi", "ephemeralStorage": "16Mi"}},
        "variants": variants,
    });
    order["spec"]["worker"] = json!({"podTemplate": {"annotations": annotations()?}});
    let gate = json!({"name": GATE, "kind": "Custom", "command": ["true"], "points": 100, "required": true});
    order["spec"]["evaluation"] = json!({"gates": [gate]});
    Ok(serde_json::from_value(order)?)
}

/// Returns the annotations that make the fake pods of a World end with a full score.
///
/// # Errors
///
/// When the report cannot be written (class: bug).
pub fn annotations() -> Result<BTreeMap<String, String>> {
    Ok(BTreeMap::from([(FAKE_MESSAGE.to_owned(), full_score().to_message()?)]))
}

/// Returns the report of a World whose gate passed, the only one of a fake order. The same text is that of the pod that works, and
/// of the one that judges the base: what each pod is believed is told by its role.
pub fn full_score() -> StageReport {
    let gate = GateResult {
        name: GATE.to_owned(),
        outcome: GateOutcome::Passed,
        points: 100,
        passed: None,
        total: None,
        tests: None,
        milliseconds: 12,
        reason: String::new(),
    };
    let result = WorldResult {
        commit: Some("b".repeat(40)),
        sealed: SEALED,
        landlock: None,
        attack: None,
        gates: vec![gate],
        diff: DiffStatistics { files: 1, insertions: 3, deletions: 1 },
        artifacts: Vec::new(),
        reasons: Vec::new(),
    };
    let worker = WorkerReport { exit_code: Some(0), timed_out: false, milliseconds: 12, summary: String::new() };
    StageReport {
        base_commit: Some("a".repeat(40)),
        worker: Some(worker),
        collection: Some(Collection::default()),
        result: Some(result),
        ..StageReport::done()
    }
}

/// Makes an order.
///
/// # Errors
///
/// Whatever the API server says.
pub async fn create(orders: &Api<WorkOrder>, order: &WorkOrder) -> Result<WorkOrder> {
    Ok(orders.create(&PostParams::default(), order).await?)
}
