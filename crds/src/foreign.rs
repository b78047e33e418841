//! Schemas of Kubernetes types, with bounds that the API server enforces and the types omit.

use k8s_openapi::api::core::v1::{Affinity, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// The most conditions that a status has.
const MOST_CONDITIONS: usize = 16;
/// The most tolerations that a pod template has.
const MOST_TOLERATIONS: usize = 32;
/// The most items of each list of an affinity, and the most characters of each word.
const MOST_OF_AFFINITY: (usize, usize) = (16, 317);

/// Returns the schema of a status's conditions: a map by type.
pub fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let items = bounded(Condition::json_schema(generator), |field| match field {
        "type" => Some(json!({"minLength": 1, "maxLength": 316})),
        "status" => Some(json!({"enum": ["True", "False", "Unknown"]})),
        "reason" => Some(json!({"maxLength": 1024})),
        "message" => Some(json!({"maxLength": 4096})),
        _ => None,
    });
    json_schema!({
        "type": "array",
        "items": items,
        "maxItems": MOST_CONDITIONS,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
}

/// Returns the schema of a pod's tolerations.
pub fn tolerations(generator: &mut SchemaGenerator) -> Schema {
    let items = bounded(Toleration::json_schema(generator), |field| match field {
        "key" => Some(json!({"maxLength": 317})),
        "operator" | "effect" => Some(json!({"maxLength": 32})),
        "value" => Some(json!({"maxLength": 63})),
        _ => None,
    });
    json_schema!({"type": "array", "items": items, "maxItems": MOST_TOLERATIONS})
}

/// Returns the schema of a pod's affinity.
pub fn affinity(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = Affinity::json_schema(generator).to_value();
    bound_all(&mut schema);
    // What is an object stays one.
    Schema::try_from(schema).unwrap_or_default()
}

/// Bounds every list, map and word in a schema, and leaves the first sentence of each description.
fn bound_all(schema: &mut Value) {
    let (items, length) = MOST_OF_AFFINITY;
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get_mut("description") {
                let mut ends = text.match_indices(". ").map(|(end, _)| end + 1);
                let end = ends.find(|end| text[end + 1..].starts_with(char::is_uppercase));
                text.truncate(end.unwrap_or(text.len()));
            }
            let keyword = match fields.get("type").and_then(Value::as_str) {
                Some("array") => Some(("maxItems", items)),
                Some("string") => Some(("maxLength", length)),
                Some("object") if fields.contains_key("additionalProperties") => Some(("maxProperties", items)),
                _ => None,
            };
            fields.extend(keyword.map(|(keyword, most)| (keyword.to_owned(), json!(most))));
            fields.values_mut().for_each(bound_all);
        }
        Value::Array(items) => items.iter_mut().for_each(bound_all),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Adds the keywords that `keywords` returns for a field.
fn bounded(mut schema: Schema, keywords: impl Fn(&str) -> Option<Value>) -> Schema {
    let Some(Value::Object(fields)) = schema.get_mut("properties") else { return schema };
    for (name, field) in fields {
        if let (Some(Value::Object(added)), Value::Object(field)) = (keywords(name), field) {
            field.extend(added);
        }
    }
    schema
}
