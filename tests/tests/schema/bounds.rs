//! Every bound of the schema, taken from the schema itself: the value at the bound is accepted, the one beyond is not.

use std::collections::BTreeMap;

use manyworlds_tests::Result;
use serde_json::{Map, Value, json};

use super::{cluster, complaints, complete, spec_schema, untyped, with};

/// One bound of one field.
struct Bound {
    /// JSON pointer to the field in the complete manifest.
    pointer: String,
    /// Keyword of the schema.
    keyword: &'static str,
    /// What the API server says when the bound is passed.
    complaint: &'static str,
    /// A value that is just allowed.
    allowed: Value,
    /// A value that is just not.
    refused: Value,
}

/// The bounds by keyword and place in the schema, so that a field that occurs twice is tried once.
type Bounds = BTreeMap<(String, &'static str), Bound>;

fn visit(place: &str, pointer: &str, schema: &Value, value: &Value, found: &mut Bounds) {
    for (keyword, complaint, values) in [
        ("maxLength", "may not be more than", text(schema, "maxLength", 1)),
        ("minLength", "should be at least", text(schema, "minLength", -1)),
        ("maxItems", "must have at most", list(schema, value, "maxItems", 1)),
        ("minItems", "should have at least", list(schema, value, "minItems", -1)),
        ("maxProperties", "must have at most", map(schema, value)),
        ("maximum", "should be less than or equal to", number(schema, "maximum", 1.0)),
        ("minimum", "should be greater than or equal to", number(schema, "minimum", -1.0)),
        ("pattern", "should match", pattern(schema, value)),
        ("enum", "supported values", words(schema, value)),
    ] {
        if let Some((allowed, refused)) = values {
            let bound = Bound { pointer: pointer.to_owned(), keyword, complaint, allowed, refused };
            found.entry((place.to_owned(), keyword)).or_insert(bound);
        }
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = value.get(name) {
            visit(&format!("{place}.{name}"), &format!("{pointer}/{name}"), field, value, found);
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        visit(&format!("{place}[]"), &format!("{pointer}/{index}"), &schema["items"], item, found);
    }
    if schema["additionalProperties"].is_object() {
        for (name, item) in value.as_object().into_iter().flatten() {
            visit(&format!("{place}{{}}"), &format!("{pointer}/{name}"), &schema["additionalProperties"], item, found);
        }
    }
}

fn text(schema: &Value, keyword: &str, beyond: i64) -> Option<(Value, Value)> {
    let length = schema[keyword].as_i64()?;
    let text = |length: i64| Some(json!("a".repeat(usize::try_from(length).ok()?)));
    Some((text(length)?, text(length + beyond)?))
}

fn list(schema: &Value, value: &Value, keyword: &str, beyond: i64) -> Option<(Value, Value)> {
    let length = schema[keyword].as_i64()?;
    let list = |length: i64| Some(json!(vec![value[0].clone(); usize::try_from(length).ok()?]));
    Some((list(length)?, list(length + beyond)?))
}

fn map(schema: &Value, value: &Value) -> Option<(Value, Value)> {
    let most = schema["maxProperties"].as_u64()?;
    let item = value.as_object()?.values().next()?;
    let map =
        |size: u64| Value::Object((0..size).map(|number| (format!("k{number}"), item.clone())).collect::<Map<_, _>>());
    Some((map(most), map(most + 1)))
}

fn number(schema: &Value, keyword: &str, beyond: f64) -> Option<(Value, Value)> {
    let bound = schema[keyword].as_f64()?;
    if schema["type"] == "integer" {
        #[expect(clippy::cast_possible_truncation, reason = "bounds of integers are whole")]
        let whole = |number: f64| json!(number as i64);
        return Some((whole(bound), whole(bound + beyond)));
    }
    Some((json!(bound), json!(bound + beyond / 100.0)))
}

fn pattern(schema: &Value, value: &Value) -> Option<(Value, Value)> {
    schema["pattern"].as_str()?;
    Some((value.clone(), json!("!:!")))
}

fn words(schema: &Value, value: &Value) -> Option<(Value, Value)> {
    schema["enum"].as_array()?;
    Some((value.clone(), json!("Nonsense")))
}

/// Counts the bounds that a schema has, to see that the complete manifest reaches them all.
fn places(place: &str, schema: &Value, found: &mut Vec<(String, &'static str)>) {
    let keywords =
        ["maxLength", "minLength", "maxItems", "minItems", "maxProperties", "maximum", "minimum", "pattern", "enum"];
    found.extend(
        keywords.into_iter().filter(|keyword| !schema[*keyword].is_null()).map(|keyword| (place.to_owned(), keyword)),
    );
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        places(&format!("{place}.{name}"), field, found);
    }
    for (key, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if schema[key].is_object() {
            places(&format!("{place}{mark}"), &schema[key], found);
        }
    }
}

fn bounds(file: &str, manifest: &Value) -> (Bounds, Vec<(String, &'static str)>) {
    let schema = spec_schema(file)["properties"]["spec"].clone();
    let (mut found, mut all) = (Bounds::new(), Vec::new());
    visit("spec", "/spec", &schema, &manifest["spec"], &mut found);
    places("spec", &schema, &mut all);
    (found, all)
}

#[test]
fn the_complete_manifests_reach_every_bound() {
    for (file, manifest) in [
        ("manyworlds.dev_workorders.yaml", complete::order("complete")),
        ("manyworlds.dev_worlds.yaml", complete::world("complete")),
        ("manyworlds.dev_providers.yaml", complete::provider("complete")),
        ("manyworlds.dev_budgets.yaml", complete::budget("complete")),
    ] {
        let (found, all) = bounds(file, &manifest);
        let missed: Vec<_> = all.into_iter().filter(|place| !found.contains_key(place)).collect();
        assert!(missed.is_empty(), "{file}: add these to the complete manifest: {missed:#?}");
    }
}

async fn check(file: &str, manifest: Value) -> Result {
    let (cluster, namespace) = cluster("bounds").await?;
    let api = untyped(&cluster.client, &namespace.name, &manifest);
    assert_eq!(complaints(&api, &manifest).await?, [], "the complete manifest itself");
    let mut wrong = Vec::new();
    for ((place, _), bound) in bounds(file, &manifest).0 {
        let Bound { pointer, keyword, complaint, allowed, refused } = bound;
        let field = field_path(&pointer, &manifest);
        for (value, expected) in [(allowed, false), (refused, true)] {
            let said = complaints(&api, &with(&manifest, &[(&pointer, value)])).await?;
            let hit = said.iter().any(|(at, text)| *at == field && text.contains(complaint));
            if hit != expected {
                let expectation = if expected { "is not refused" } else { "is refused" };
                wrong.push(format!("{place}: {keyword} {expectation} at {field}: {said:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

/// Returns a JSON pointer as the API server writes it: `spec.worlds.variants[0].name`.
fn field_path(pointer: &str, manifest: &Value) -> String {
    let mut value = manifest;
    let mut parts = Vec::new();
    for part in pointer.split('/').skip(1) {
        let index = value.as_array().and_then(|_| part.parse::<usize>().ok());
        parts.push(index.map_or_else(|| format!(".{part}"), |index| format!("[{index}]")));
        value = index.map_or(&value[part], |index| &value[index]);
    }
    parts.concat().trim_start_matches('.').to_owned()
}

#[tokio::test]
async fn every_bound_of_an_order_holds() -> Result {
    check("manyworlds.dev_workorders.yaml", complete::order("complete")).await
}

#[tokio::test]
async fn every_bound_of_a_world_holds() -> Result {
    check("manyworlds.dev_worlds.yaml", complete::world("complete")).await
}

#[tokio::test]
async fn every_bound_of_a_provider_holds() -> Result {
    check("manyworlds.dev_providers.yaml", complete::provider("complete")).await
}

#[tokio::test]
async fn every_bound_of_a_budget_holds() -> Result {
    check("manyworlds.dev_budgets.yaml", complete::budget("complete")).await
}
