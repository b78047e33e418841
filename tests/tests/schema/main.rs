//! The resources on a real API server: what it accepts, refuses, fills in and shows.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails as the test does")]

mod bounds;
mod complete;
mod discovery;
mod models;
mod rules;
mod transitions;

use kube::Client;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::ApiResource;
use manyworlds_api::{Budget, Provider, WorkOrder, World, generate};
use manyworlds_tests::{Cluster, Namespace, Result, definitions};
use serde_json::Value;

/// Returns a cluster that serves the definitions, and a namespace in it.
async fn cluster(purpose: &str) -> Result<(Cluster, Namespace)> {
    let cluster = Cluster::fake().await?;
    definitions::install(&cluster.client).await?;
    let namespace = Namespace::new(&cluster, purpose).await?;
    Ok((cluster, namespace))
}

/// Returns the interface to objects of a manifest's kind, untyped, so that what is wrong can be sent too.
fn untyped(client: &Client, namespace: &str, manifest: &Value) -> Api<DynamicObject> {
    let resource = match manifest["kind"].as_str() {
        Some("Budget") => ApiResource::erase::<Budget>(&()),
        Some("Provider") => ApiResource::erase::<Provider>(&()),
        Some("World") => ApiResource::erase::<World>(&()),
        _ => ApiResource::erase::<WorkOrder>(&()),
    };
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// What the API server has against a manifest: field and complaint of each cause; nothing when it takes it.
async fn complaints(api: &Api<DynamicObject>, manifest: &Value) -> Result<Vec<(String, String)>> {
    let object: DynamicObject = serde_json::from_value(manifest.clone())?;
    causes(api.create(&PostParams { dry_run: true, ..PostParams::default() }, &object).await)
}

fn causes(answer: std::result::Result<DynamicObject, kube::Error>) -> Result<Vec<(String, String)>> {
    let status = match answer {
        Ok(_) => return Ok(Vec::new()),
        Err(kube::Error::Api(status)) if status.code == 422 => status,
        Err(other) => return Err(other.into()),
    };
    let causes = status.details.map(|details| details.causes).unwrap_or_default();
    let mut found: Vec<_> = causes.into_iter().map(|cause| (cause.field, cause.message)).collect();
    // A cause without details is still a refusal.
    if found.is_empty() {
        found.push((String::new(), status.message));
    }
    Ok(found)
}

/// Returns a manifest with values put at JSON pointers; null takes a field away.
fn with(manifest: &Value, changes: &[(&str, Value)]) -> Value {
    let mut result = manifest.clone();
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let key = key.replace("~1", "/");
        match result.pointer_mut(parent).unwrap_or_else(|| panic!("there is no {parent}")) {
            Value::Object(fields) if value.is_null() => drop(fields.remove(&key)),
            Value::Object(fields) => drop(fields.insert(key, value.clone())),
            Value::Array(items) if key == "-" => items.push(value.clone()),
            Value::Array(items) => items[key.parse::<usize>().unwrap()] = value.clone(),
            other => panic!("{pointer} lies in {other}"),
        }
    }
    result
}

/// Returns the schema of a kind's spec, as it is generated.
fn spec_schema(file: &str) -> Value {
    let content = generate::files().unwrap().into_iter().find(|found| found.path == file).unwrap().content;
    let definition: Value = serde_saphyr::from_str(&content).unwrap();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// Returns every validation rule below a schema, as its expression and its message.
fn all_rules(schema: &Value) -> Vec<(String, String)> {
    let text = |rule: &Value, key: &str| rule[key].as_str().unwrap_or_default().to_owned();
    match schema {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| match value {
                Value::Array(rules) if key == "x-kubernetes-validations" => {
                    rules.iter().map(|rule| (text(rule, "rule"), text(rule, "message"))).collect()
                }
                other => all_rules(other),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(all_rules).collect(),
        _ => Vec::new(),
    }
}
