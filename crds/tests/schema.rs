//! The rules for every field of every kind: a text that `kubectl explain` shows, and a bound on everything that can grow.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

use std::collections::BTreeMap;

use manyworlds_api::generate::files;
use serde_json::{Value, json};

/// Returns the schema of each kind by the file that it is in.
fn schemas() -> BTreeMap<&'static str, Value> {
    files()
        .unwrap()
        .into_iter()
        .filter(|file| file.path.starts_with("manyworlds.dev_"))
        .map(|file| {
            let definition: Value = serde_saphyr::from_str(&file.content).unwrap();
            (file.path, definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone())
        })
        .collect()
}

/// Calls `visit` with the path and the schema of every field, items and values of maps included.
fn walk(path: &str, schema: &Value, visit: &mut dyn FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), field, visit);
    }
    if schema["items"].is_object() {
        walk(&format!("{path}[]"), &schema["items"], visit);
    }
    if schema["additionalProperties"].is_object() {
        walk(&format!("{path}{{}}"), &schema["additionalProperties"], visit);
    }
}

/// Returns the paths of all fields about which `complaint` has something to say, with what it says.
fn complaints(complaint: impl Fn(&str, &Value) -> Option<&'static str>) -> Vec<String> {
    let mut found = Vec::new();
    for (file, schema) in schemas() {
        walk("", &schema, &mut |path, field| {
            if let Some(text) = complaint(path, field) {
                found.push(format!("{file}: {path} {text}"));
            }
        });
    }
    found
}

fn unbounded(_: &str, schema: &Value) -> Option<&'static str> {
    let has = |key: &str| !schema[key].is_null();
    match schema["type"].as_str() {
        Some("string") if !has("maxLength") && !has("enum") && schema["format"] != "date-time" => {
            Some("is a string without maxLength")
        }
        Some("array") if !has("maxItems") => Some("is a list without maxItems"),
        Some("object") if has("additionalProperties") && !has("maxProperties") => {
            Some("is a map without maxProperties")
        }
        _ => None,
    }
}

#[test]
fn every_field_has_a_text() {
    let silent = complaints(|path, schema| {
        let named = path.rsplit('.').next().is_some_and(|name| !name.ends_with("[]") && !name.ends_with("{}"));
        (named && schema["description"].as_str().is_none_or(str::is_empty)).then_some("has no description")
    });
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn everything_that_can_grow_is_bounded() {
    let found = complaints(unbounded);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_check_of_bounds_sees_what_is_unbounded() {
    for schema in [
        json!({"type": "string"}),
        json!({"type": "array", "items": {}}),
        json!({"type": "object", "additionalProperties": {}}),
    ] {
        assert!(unbounded("", &schema).is_some(), "{schema}");
    }
}

#[test]
fn no_integer_has_a_format_that_the_api_server_does_not_know() {
    let found = complaints(|_, schema| {
        let format = schema["format"].as_str().unwrap_or_default();
        format.starts_with("uint").then_some("has an unsigned format")
    });
    assert!(found.is_empty(), "{found:#?}");
}

/// A null that the API server keeps is a field that `has()` sees and the operator does not.
#[test]
fn no_field_can_be_null() {
    let found = complaints(|_, schema| (schema["nullable"] == true).then_some("can be null"));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn only_affinity_is_taken_as_it_comes() {
    let found = complaints(|path, schema| {
        let free = schema["x-kubernetes-preserve-unknown-fields"] == true;
        (free && path != ".spec.worker.podTemplate.affinity").then_some("keeps unknown fields")
    });
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn an_order_that_names_no_worlds_gets_five() {
    let schemas = schemas();
    let worlds = &schemas["manyworlds.dev_workorders.yaml"]["properties"]["spec"]["properties"]["worlds"];
    let names = |variants: &Value| -> Vec<String> {
        let variants = variants.as_array().cloned().unwrap_or_default();
        variants.iter().filter_map(|variant| variant["name"].as_str().map(str::to_owned)).collect()
    };
    let expected = ["alpha", "beta", "gamma", "delta", "epsilon"];
    assert_eq!(names(&worlds["default"]["variants"]), expected, "when `worlds` is absent");
    assert_eq!(names(&worlds["properties"]["variants"]["default"]), expected, "when `variants` is absent");
}

/// With a default, the API server would fill it in and the price table would never be asked.
#[test]
fn whether_a_model_takes_a_temperature_is_said_or_left_open() {
    let schemas = schemas();
    let provider = &schemas["manyworlds.dev_providers.yaml"];
    let field = &provider["properties"]["spec"]["properties"]["models"]["items"]["properties"]["temperature"];
    assert_eq!(field["enum"], json!(["Settable", "Fixed"]));
    assert!(field.get("default").is_none(), "{field}");
}

#[test]
fn every_rule_has_a_message_that_is_a_sentence_for_people() {
    let found = complaints(|_, schema| {
        let rules = schema["x-kubernetes-validations"].as_array()?;
        let mute = |rule: &Value| rule["message"].as_str().is_none_or(|message| message.split(' ').count() < 4);
        rules.iter().any(mute).then_some("has a rule without a message")
    });
    assert!(found.is_empty(), "{found:#?}");
}
