//! `workorder@1` and `report@1`: nothing is lost on the way, and what is written is what the schemas say.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

mod support;

use manyworlds_api::artifacts::{ArtifactDigest, ArtifactName};
use manyworlds_api::generate::{order_schema, report_schema};
use manyworlds_api::order_document::{OrderDocument, OrderIdentity};
use manyworlds_api::report_document::{self, ReportDocument, ReportStatus, WorkerSummary};
use manyworlds_api::result::{DiffStatistics, GateOutcome, GateResult, WorldResult};
use manyworlds_api::{Duration, WorkOrderSpec};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::specification;

fn identity() -> OrderIdentity {
    OrderIdentity { namespace: "team-a".to_owned(), name: "fix-270".to_owned(), uid: "0b9c".to_owned() }
}

fn validator(schema: schemars::Schema) -> jsonschema::Validator {
    jsonschema::validator_for(&schema.to_value()).unwrap()
}

fn complaints(validator: &jsonschema::Validator, document: &Value) -> Vec<String> {
    validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn smallest_document() -> Value {
    json!({
        "schema": "workorder@1",
        "schema_version": "1.1",
        "identity": {"namespace": "team-a", "name": "fix-270"},
        "source": {"git": {"url": "https://example.com/a.git", "revision": "HEAD"}},
        "task": {"title": "Fix it"},
        "agents": [{"name": "alpha"}],
    })
}

fn report() -> ReportDocument {
    let gate = GateResult {
        name: "tests".to_owned(),
        outcome: GateOutcome::Partial,
        points: 40,
        passed: Some(4),
        total: Some(5),
        tests: None,
        milliseconds: 1200,
        reason: "1 of 5 tests failed".to_owned(),
    };
    ReportDocument {
        schema: report_document::SCHEMA.to_owned(),
        schema_version: report_document::SCHEMA_VERSION.to_owned(),
        identity: identity(),
        world: "alpha".to_owned(),
        attempt: 1,
        status: ReportStatus::Success,
        score: 40,
        base_commit: "a".repeat(40),
        result: WorldResult {
            commit: Some("b".repeat(40)),
            sealed: true,
            landlock: Some(6),
            attack: None,
            gates: vec![gate],
            diff: DiffStatistics { files: 1, insertions: 2, deletions: 3 },
            artifacts: vec![ArtifactDigest { name: ArtifactName::Patch, sha256: "f".repeat(64), bytes: 12 }],
            reasons: vec!["protected files were restored".to_owned()],
        },
        worker: WorkerSummary { exit_code: Some(0), timed_out: false, milliseconds: 900, summary: "done".to_owned() },
        outputs: Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn an_order_becomes_a_document_and_back_without_loss(spec in specification::specification()) {
        let document = OrderDocument::new(identity(), spec.clone());
        let text = serde_json::to_string(&document).unwrap();
        let read: OrderDocument = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&read.identity, &identity());
        prop_assert_eq!(read.into_spec(), spec);
    }

    #[test]
    fn an_order_is_the_same_after_the_api_server_has_stored_it(spec in specification::specification()) {
        let stored = serde_json::to_value(&spec).unwrap();
        prop_assert_eq!(serde_json::from_value::<WorkOrderSpec>(stored).unwrap(), spec);
    }

    #[test]
    fn every_document_is_what_its_schema_says(spec in specification::specification()) {
        let validator = validator(order_schema());
        let document = serde_json::to_value(OrderDocument::new(identity(), spec)).unwrap();
        let complaints = complaints(&validator, &document);
        prop_assert!(complaints.is_empty(), "{:#?}\n{:#}", complaints, document);
    }

    /// Otherwise an object that the API server accepts would stop the operator from reading it.
    #[test]
    fn every_length_of_time_that_the_schema_allows_can_be_read(text in r"([0-9]{1,3}(\.[0-9]{1,3})?(ms|s|m|h)){1,4}") {
        prop_assert!(text.parse::<Duration>().is_ok(), "{text}");
    }
}

#[test]
fn the_smallest_document_gets_the_defaults_of_the_resource() {
    let complaints = complaints(&validator(order_schema()), &smallest_document());
    assert!(complaints.is_empty(), "{complaints:#?}");
    let document: OrderDocument = serde_json::from_value(smallest_document()).unwrap();
    let spec = document.into_spec();
    assert_eq!(spec.evaluation, manyworlds_api::work_order::Evaluation::default());
    assert_eq!(spec.worker, manyworlds_api::work_order::Worker::default());
    assert_eq!(spec.retry, manyworlds_api::work_order::Retry::default());
}

#[test]
fn a_document_that_is_wrong_is_refused_by_schema_and_reader_alike() {
    let validator = validator(order_schema());
    for (what, path, value) in [
        ("another document", "/schema", json!("workorder@2")),
        ("a version to come", "/schema_version", json!("2.0")),
        ("no agent", "/agents", json!([])),
        ("no title", "/task", json!({})),
        ("an agent without a name", "/agents", json!([{}])),
    ] {
        let mut document = smallest_document();
        *document.pointer_mut(path).unwrap() = value;
        assert!(!validator.is_valid(&document), "{what}");
    }
    let mut surprise = smallest_document();
    surprise["surprise"] = json!(1);
    assert!(!validator.is_valid(&surprise));
    assert!(serde_json::from_value::<OrderDocument>(surprise).is_err());
}

#[test]
fn a_report_is_what_its_schema_says() {
    let validator = validator(report_schema());
    let document = serde_json::to_value(report()).unwrap();
    assert_eq!(complaints(&validator, &document), Vec::<String>::new());
    assert_eq!(serde_json::from_value::<ReportDocument>(document.clone()).unwrap(), report());
    let mut wrong = document;
    wrong["score"] = json!(101);
    assert!(!validator.is_valid(&wrong));
}
