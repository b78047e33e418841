//! The samples in `manifests/samples`, and the manifests that the texts show, are read whole: no field of theirs is one that
//! no kind has, and none has a value that the API server refuses.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

use std::fs;
use std::path::{Path, PathBuf};

use manyworlds_api::generate::files;
use manyworlds_api::{Budget, Provider, WorkOrder};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Returns an object as it is once it was read.
fn read<K: DeserializeOwned + Serialize>(written: &Value) -> Value {
    serde_json::to_value(serde_json::from_value::<K>(written.clone()).unwrap()).unwrap()
}

/// Returns the paths of what was written and is not there any more once it was read.
fn dropped(written: &Value, read: &Value, path: &str) -> Vec<String> {
    let inside = |name: &str, written: &Value, read: Option<&Value>| {
        let path = format!("{path}/{name}");
        read.map_or_else(|| vec![path.clone()], |read| dropped(written, read, &path))
    };
    match written {
        Value::Object(fields) => fields.iter().flat_map(|(name, value)| inside(name, value, read.get(name))).collect(),
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.flat_map(|(index, item)| inside(&index.to_string(), item, read.get(index))).collect()
        }
        _ => Vec::new(),
    }
}

/// Returns the kind of a manifest that was read whole, or nothing where it is none of ours.
fn checked(written: &Value, place: &str) -> Option<String> {
    let kind = written["kind"].as_str()?;
    let (read, file) = match kind {
        "WorkOrder" => (read::<WorkOrder>(written), "manyworlds.dev_workorders.yaml"),
        "Provider" => (read::<Provider>(written), "manyworlds.dev_providers.yaml"),
        "Budget" => (read::<Budget>(written), "manyworlds.dev_budgets.yaml"),
        _ => return None,
    };
    assert_eq!(dropped(written, &read, ""), [""; 0], "{place}");
    let schema = schema(file);
    let validator = jsonschema::validator_for(&schema).unwrap();
    let complaints: Vec<_> =
        validator.iter_errors(written).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(complaints.is_empty(), "{place}: {complaints:#?}");
    let reserved = reserved_prefix(&schema);
    let names: Vec<_> = environments(written).into_iter().filter(|name| name.starts_with(&reserved)).collect();
    assert_eq!(names, [""; 0], "{place}: the API server refuses these names of variables");
    Some(kind.to_owned())
}

fn schema(file: &str) -> Value {
    let content = files().unwrap().into_iter().find(|found| found.path == file).unwrap().content;
    let definition: Value = serde_saphyr::from_str(&content).unwrap();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// Returns the names of the variables that an order sets for its worker and its variants.
fn environments(order: &Value) -> Vec<String> {
    let variants = order.pointer("/spec/worlds/variants").and_then(Value::as_array).into_iter().flatten();
    let workers = variants.map(|variant| &variant["worker"]).chain(order.pointer("/spec/worker"));
    let variables = workers.flat_map(|worker| worker["env"].as_array().into_iter().flatten());
    variables.filter_map(|variable| variable["name"].as_str().map(str::to_owned)).collect()
}

/// Returns with what no variable's name may start, as the rule of the schema says it.
///
/// Where it has no such rule, that is a NUL, which starts none.
fn reserved_prefix(schema: &Value) -> String {
    let items = schema.pointer("/properties/spec/properties/worker/properties/env/items");
    let rule = items.and_then(|items| items["x-kubernetes-validations"][0]["rule"].as_str());
    let prefix = rule.and_then(|rule| rule.strip_prefix("!self.name.startsWith('")?.strip_suffix("')"));
    prefix.unwrap_or("\0").to_owned()
}

fn manifests(text: &str) -> impl Iterator<Item = Value> {
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap())
}

/// Returns the manifests of a file: all of it, or the blocks of a text that are whole manifests.
fn shown(file: &str) -> Vec<Value> {
    let text = fs::read_to_string(root().join(file)).unwrap();
    if !text.contains("```yaml") {
        return manifests(&text).collect();
    }
    let blocks = text.split("\n```yaml\n").skip(1).filter_map(|rest| rest.split_once("\n```"));
    let whole = blocks.map(|(block, _)| block).filter(|block| block.starts_with("apiVersion:"));
    whole.flat_map(manifests).collect()
}

fn order_in(file: &str) -> WorkOrder {
    let order = shown(file).into_iter().find(|written| written["kind"] == "WorkOrder").unwrap();
    serde_json::from_value(order).unwrap()
}

#[test]
fn the_samples_are_read_whole() {
    let mut kinds = Vec::new();
    for entry in fs::read_dir(root().join("manifests/samples")).unwrap() {
        let file = entry.unwrap().path();
        let text = fs::read_to_string(&file).unwrap();
        kinds.extend(manifests(&text).filter_map(|written| checked(&written, &file.display().to_string())));
    }
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, ["Budget", "Provider", "WorkOrder"]);
}

#[test]
fn the_manifests_that_the_texts_show_are_read_whole() {
    for (file, kind) in [("README.md", "WorkOrder"), ("docs/coder.md", "WorkOrder"), ("docs/models.md", "Provider")] {
        let kinds: Vec<_> = shown(file).iter().filter_map(|written| checked(written, file)).collect();
        assert_eq!(kinds, [kind], "{file}");
    }
}

/// Without a Provider in the namespace, an order that names a model waits for ever.
#[test]
fn the_first_order_of_the_readme_needs_no_provider() {
    let order = order_in("README.md");
    let names = std::iter::once(&order.spec.worker.model).chain(order.spec.worlds.variants.iter().map(|v| &v.model));
    assert_eq!(names.flatten().collect::<Vec<_>>(), [""; 0]);
    assert_ne!(order.spec.worker.plugin, "coder");
}

#[test]
fn the_budget_of_the_samples_holds_the_orders_that_are_shown_with_it() {
    let text = fs::read_to_string(root().join("manifests/samples/budget.yaml")).unwrap();
    let budget: Budget = serde_saphyr::from_str(&text).unwrap();
    for file in ["README.md", "docs/coder.md", "manifests/samples/coder.yaml"] {
        let labels = order_in(file).metadata.labels.unwrap_or_default();
        assert!(budget.spec.selector.selects(&labels), "{file}");
    }
}

#[test]
fn the_schema_says_which_names_of_variables_are_reserved() {
    assert_eq!(reserved_prefix(&schema("manyworlds.dev_workorders.yaml")), "MANYWORLDS_");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
