//! Manifests of any kind, sent to the API server.

use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::{GroupVersionKind, TypeMeta};
use kube::discovery::ApiResource;
use kube::{Api, Client};
use serde_json::Value;

use crate::{Error, Result};

/// Under which name the tests apply objects.
pub const MANAGER: &str = "manyworlds-tests";

/// Reads a file of several YAML documents.
///
/// # Errors
///
/// When it is no YAML.
pub fn documents(text: &str) -> Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| error.to_string())?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// Puts the fields of one object over those of another.
pub fn overlay(object: &mut Value, more: &Value) {
    for (name, value) in more.as_object().into_iter().flatten() {
        object[name] = value.clone();
    }
}

/// Applies an object as the tests' own.
///
/// # Errors
///
/// Whatever the API server says.
pub async fn apply(client: &Client, object: &Value) -> Result<DynamicObject> {
    patch(client, object, &PatchParams::apply(MANAGER).force()).await
}

/// Asks the API server what an object would be after it was applied.
///
/// # Errors
///
/// Whatever the API server says.
pub async fn dry_run(client: &Client, object: &Value) -> Result<DynamicObject> {
    patch(client, object, &PatchParams::apply(MANAGER).force().dry_run()).await
}

/// Returns the interface to the objects of the kind of `object`, in its namespace where it has one.
///
/// # Errors
///
/// When `object` has no kind.
pub fn interface(client: &Client, object: &Value) -> Result<Api<DynamicObject>> {
    let types: TypeMeta = serde_json::from_value(object.clone())?;
    let kind = GroupVersionKind::try_from(&types)?;
    let resource = ApiResource::from_gvk(&kind);
    Ok(match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    })
}

async fn patch(client: &Client, object: &Value, parameters: &PatchParams) -> Result<DynamicObject> {
    let name = object["metadata"]["name"].as_str().ok_or("an object without a name")?;
    interface(client, object)?
        .patch(name, parameters, &Patch::Apply(object))
        .await
        .map_err(|error| Error::from(format!("cannot apply {} {name}: {error}", object["kind"])))
}
