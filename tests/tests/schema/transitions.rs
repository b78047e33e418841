//! What may change in an order that exists, and what may not.

use kube::api::{Api, DynamicObject, PostParams};
use manyworlds_tests::Result;
use serde_json::{Value, json};

use super::{all_rules, causes, cluster, complete, spec_schema, untyped, with};

/// A change of the complete order, and a part of the message with which it is refused.
fn refused() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("/spec/source/git/revision", json!("other"), "source cannot change"),
        ("/spec/task/title", json!("Another"), "task cannot change"),
        ("/spec/worlds/parallelism", json!(1), "worlds cannot change"),
        ("/spec/worker/image", Value::Null, "worker cannot change"),
        ("/spec/evaluation/acceptScore", json!(1), "evaluation cannot change"),
        ("/spec/council/quorum", json!(1), "council cannot change"),
        ("/spec/council", Value::Null, "council cannot change"),
        ("/spec/retry/maxAttempts", json!(4), "retry cannot change"),
        ("/spec/fallbacks/0", json!({"skip": {}}), "fallbacks cannot change"),
        ("/spec/fallbacks", Value::Null, "fallbacks cannot change"),
        ("/spec/earlyTermination/score", json!(1), "earlyTermination cannot change"),
        ("/spec/earlyTermination", Value::Null, "earlyTermination cannot change"),
        ("/spec/approval", json!("Required"), "approval cannot change"),
        ("/spec/delivery/mode", json!("Branch"), "delivery cannot change"),
        ("/spec/ttl/afterSuccess", json!("3h"), "ttl cannot change"),
        ("/spec/ttl", Value::Null, "ttl cannot change"),
        ("/spec/cancel", json!(false), "a cancelled order stays cancelled"),
        ("/spec/budget", Value::Null, "a budget can be raised but not removed"),
        ("/spec/budget/maxCost", json!("4.99"), "maxCost can only be raised"),
        ("/spec/budget/maxTokens", json!(999), "maxTokens can only be raised or removed"),
        ("/spec/deadlines", Value::Null, "deadlines can be raised but not removed"),
        ("/spec/deadlines/start", json!("59m"), "deadlines.start can only be raised"),
        ("/spec/deadlines/start", Value::Null, "deadlines.start can only be raised"),
        ("/spec/deadlines/active", json!("1h59m"), "deadlines.active can only be raised"),
        ("/spec/deadlines/active", Value::Null, "deadlines.active can only be raised"),
    ]
}

/// Changes of the complete order that are accepted.
fn allowed() -> Vec<(&'static str, Value)> {
    vec![
        ("/spec/priority", json!(5)),
        ("/spec/suspend", json!(true)),
        ("/spec/reevaluate", json!({"request": "another"})),
        ("/spec/reevaluate", Value::Null),
        ("/spec/budget/maxCost", json!("5.000001")),
        ("/spec/budget/maxCost", json!("10")),
        ("/spec/budget/maxTokens", json!(1001)),
        ("/spec/budget/maxTokens", Value::Null),
        ("/spec/budget/onExceeded", json!("Stop")),
        ("/spec/deadlines/start", json!("60m1s")),
        ("/spec/deadlines/active", json!("3h")),
        ("/metadata/labels", json!({"a": "b"})),
    ]
}

/// Stores a manifest and returns what the API server made of it.
async fn stored(api: &Api<DynamicObject>, manifest: &Value) -> Result<Value> {
    let object = serde_json::from_value(manifest.clone())?;
    Ok(serde_json::to_value(api.create(&PostParams::default(), &object).await?)?)
}

async fn complaints(api: &Api<DynamicObject>, changed: &Value) -> Result<Vec<(String, String)>> {
    let object: DynamicObject = serde_json::from_value(changed.clone())?;
    let name = object.metadata.name.clone().unwrap_or_default();
    causes(api.replace(&name, &PostParams { dry_run: true, ..PostParams::default() }, &object).await)
}

#[test]
fn every_rule_on_changes_has_a_case() {
    let refused = refused();
    let missed: Vec<_> = all_rules(&spec_schema("manyworlds.dev_workorders.yaml"))
        .into_iter()
        .filter(|(rule, message)| {
            rule.contains("oldSelf") && !refused.iter().any(|(_, _, expected)| message.contains(expected))
        })
        .collect();
    assert!(missed.is_empty(), "{missed:#?}");
}

#[tokio::test]
async fn an_order_changes_only_where_it_may() -> Result {
    let (cluster, namespace) = cluster("changes").await?;
    let mut manifest = complete::order("complete");
    manifest["spec"]["cancel"] = json!(true);
    let api = untyped(&cluster.client, &namespace.name, &manifest);
    let existing = stored(&api, &manifest).await?;
    let mut wrong = Vec::new();
    for (pointer, value, message) in refused() {
        let said = complaints(&api, &with(&existing, &[(pointer, value.clone())])).await?;
        if !said.iter().any(|(_, text)| text.contains(message)) {
            wrong.push(format!("{pointer} = {value} should be refused with {message:?}, but: {said:?}"));
        }
    }
    for (pointer, value) in allowed() {
        let said = complaints(&api, &with(&existing, &[(pointer, value.clone())])).await?;
        if !said.is_empty() {
            wrong.push(format!("{pointer} = {value} should be accepted, but: {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

#[tokio::test]
async fn what_an_order_did_not_have_can_be_limited_later_but_not_added_elsewhere() -> Result {
    let (cluster, namespace) = cluster("additions").await?;
    let complete = complete::order("complete");
    let manifest = manyworlds_tests::orders::smallest("smallest");
    let api = untyped(&cluster.client, &namespace.name, &manifest);
    let existing = stored(&api, &manifest).await?;
    for field in ["budget", "deadlines"] {
        let added = with(&existing, &[(&format!("/spec/{field}"), complete["spec"][field].clone())]);
        assert_eq!(complaints(&api, &added).await?, [], "{field} can be added");
    }
    for field in ["council", "earlyTermination", "ttl", "fallbacks"] {
        let added = with(&existing, &[(&format!("/spec/{field}"), complete["spec"][field].clone())]);
        let said = complaints(&api, &added).await?;
        assert!(said.iter().any(|(_, text)| text.contains("cannot change")), "{field}: {said:?}");
    }
    Ok(())
}

/// A null must not be a way round the rules: the API server drops it, or refuses it.
#[tokio::test]
async fn null_removes_no_limit() -> Result {
    let (cluster, namespace) = cluster("null").await?;
    let manifest = complete::order("complete");
    let api = untyped(&cluster.client, &namespace.name, &manifest);
    let mut existing = stored(&api, &manifest).await?;
    existing["spec"]["budget"] = Value::Null;
    let said = complaints(&api, &existing).await?;
    assert!(said.iter().any(|(_, text)| text.contains("a budget can be raised but not removed")), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn a_world_never_changes() -> Result {
    let (cluster, namespace) = cluster("world").await?;
    let manifest = complete::world("complete");
    let api = untyped(&cluster.client, &namespace.name, &manifest);
    let existing = stored(&api, &manifest).await?;
    let changed = with(&existing, &[("/spec/blueprint/image", json!("docker.io/evil:1"))]);
    let said = complaints(&api, &changed).await?;
    assert!(said.iter().any(|(_, text)| text.contains("a World never changes")), "{said:?}");
    let labelled = with(&existing, &[("/metadata/labels", json!({"a": "b"}))]);
    assert_eq!(complaints(&api, &labelled).await?, []);
    Ok(())
}
