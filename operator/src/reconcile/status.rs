//! The status of any object, written as a merge patch: what has changed and nothing else.

use manyworlds_api::object::Stored;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::errors::ReconcileError;
use crate::kind::Kind;
use crate::requests::Writer;

/// Writes a status, on condition that the object has not changed since it was read, and returns the object as it then is.
///
/// # Errors
///
/// [`ReconcileError`]: of the class conflict where the object has changed.
pub(crate) async fn write_status<K: Kind, R: DeserializeOwned>(
    writer: &Writer,
    object: &Stored<K>,
    before: Option<&(impl Serialize + Sync)>,
    after: &(impl Serialize + Sync),
) -> Result<R, ReconcileError> {
    let patch = json!({
        "metadata": { "uid": object.uid().as_str(), "resourceVersion": object.version().to_string() },
        "status": difference(&to_json(before)?, &to_json(Some(after))?),
    });
    writer.patch_status::<K, R>(object.id(), &patch).await
}

/// Returns a status as JSON; one that was never written has no fields.
fn to_json<S: Serialize>(status: Option<&S>) -> Result<Value, ReconcileError> {
    match status {
        Some(status) => serde_json::to_value(status).map_err(ReconcileError::Json),
        None => Ok(Value::Object(Map::new())),
    }
}

/// Returns the JSON merge patch (RFC 7386) that makes the first value the second.
fn difference(old: &Value, new: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return new.clone() };
    let mut patch = Map::new();
    for (name, value) in new {
        match old.get(name) {
            Some(before) if before == value => {}
            Some(before) => {
                patch.insert(name.clone(), difference(before, value));
            }
            None => {
                patch.insert(name.clone(), value.clone());
            }
        }
    }
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies a merge patch as the API server does.
    fn merged(target: &Value, patch: &Value) -> Value {
        let Value::Object(patch) = patch else { return patch.clone() };
        let mut result = target.as_object().cloned().unwrap_or_default();
        for (name, value) in patch {
            if value.is_null() {
                result.remove(name);
            } else {
                let merged = merged(result.get(name).unwrap_or(&Value::Null), value);
                result.insert(name.clone(), merged);
            }
        }
        Value::Object(result)
    }

    #[test]
    fn the_patch_makes_one_status_the_other() {
        for (old, new) in [
            (json!({}), json!({"a": 1, "b": {"c": [1, 2]}})),
            (json!({"a": 1, "b": {"c": 1, "d": 2}}), json!({"b": {"c": 3}})),
            (json!({"a": {"b": 1}}), json!({"a": 5})),
            (json!({"a": 5}), json!({"a": {"b": 1}})),
        ] {
            assert_eq!(merged(&old, &difference(&old, &new)), new);
        }
        assert_eq!(difference(&json!({"a": 1, "b": 2}), &json!({"a": 1, "b": 3})), json!({"b": 3}));
    }
}
