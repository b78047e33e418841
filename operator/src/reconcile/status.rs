//! The status of any object, written as a merge patch: what has changed and nothing else.

use kube::core::ObjectMeta;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::errors::ReconcileError;
use crate::kind::Kind;
use crate::requests::Writer;

/// The object whose status is written, as it was when the status was decided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    /// Its namespace.
    pub(crate) namespace: &'a str,
    /// Its name.
    pub(crate) name: &'a str,
    /// Its uid.
    pub(crate) uid: &'a str,
    /// Its version.
    pub(crate) resource_version: &'a str,
}

impl<'a> Target<'a> {
    /// Reads which object is meant from its metadata.
    ///
    /// # Errors
    ///
    /// [`ReconcileError::Nameless`] (class: bug): without a uid and a version a write could reach another object.
    pub(crate) fn of(metadata: &'a ObjectMeta) -> Result<Self, ReconcileError> {
        let part = |part: &'a Option<String>| part.as_deref().filter(|part| !part.is_empty());
        let parts =
            (part(&metadata.namespace), part(&metadata.name), part(&metadata.uid), part(&metadata.resource_version));
        let (Some(namespace), Some(name), Some(uid), Some(resource_version)) = parts else {
            return Err(ReconcileError::Nameless);
        };
        Ok(Self { namespace, name, uid, resource_version })
    }
}

/// Writes a status, on condition that the object has not changed since, and returns the object as it then is.
///
/// # Errors
///
/// [`ReconcileError`]: of the class conflict where the object has changed.
pub(crate) async fn write_status<K: Kind, R: DeserializeOwned>(
    writer: &Writer,
    target: Target<'_>,
    before: Option<&(impl Serialize + Sync)>,
    after: &(impl Serialize + Sync),
) -> Result<R, ReconcileError> {
    let patch = json!({
        "metadata": { "uid": target.uid, "resourceVersion": target.resource_version },
        "status": difference(&to_json(before)?, &to_json(Some(after))?),
    });
    writer.patch_status::<K, R>(target.namespace, target.name, &patch).await
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

    #[test]
    fn an_object_without_a_uid_or_a_version_is_never_written() {
        let metadata = |uid: &str, version: &str| ObjectMeta {
            namespace: Some("team".to_owned()),
            name: Some("fix".to_owned()),
            uid: Some(uid.to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        };
        assert!(Target::of(&metadata("u", "7")).is_ok());
        assert!(Target::of(&metadata("", "7")).is_err());
        assert!(Target::of(&metadata("u", "")).is_err());
        assert!(Target::of(&ObjectMeta::default()).is_err());
    }
}
