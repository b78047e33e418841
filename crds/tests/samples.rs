//! The samples in `manifests/samples` are read whole: no field of theirs is one that no kind has.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

use std::fs;
use std::path::Path;

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

#[test]
fn the_samples_are_read_whole() {
    let mut kinds = Vec::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/samples")).unwrap() {
        let file = entry.unwrap().path();
        for document in fs::read_to_string(&file).unwrap().split("\n---\n") {
            let written: Value = serde_saphyr::from_str(document).unwrap();
            let kind = written["kind"].as_str().unwrap().to_owned();
            let read = match kind.as_str() {
                "WorkOrder" => read::<WorkOrder>(&written),
                "Provider" => read::<Provider>(&written),
                "Budget" => read::<Budget>(&written),
                _ => continue,
            };
            assert_eq!(dropped(&written, &read, ""), [""; 0], "{}", file.display());
            kinds.push(kind);
        }
    }
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, ["Budget", "Provider", "WorkOrder"]);
}
