//! Objects without the parts that no decision needs.
//!
//! The fields' managers are the larger part of an object's metadata and the most work to read; annotations hold the object
//! as `kubectl apply` sent it once more. Neither is ever read into memory.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::Resource;
use kube::core::ObjectMeta;
use manyworlds_api::object::Stored;
use manyworlds_api::{
    Budget, BudgetSpec, BudgetStatus, Provider, ProviderSpec, ProviderStatus, WorkOrder, WorkOrderSpec,
    WorkOrderStatus, World, WorldSpec, WorldStatus,
};
use manyworlds_telemetry::ObjectLabel;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

use crate::kind::{Kind, UnreadableStatus};

/// A resource of ours, as the API server has it.
#[derive(Clone, Debug)]
pub(crate) struct Trimmed<K>(pub(crate) Stored<K>);

#[derive(Deserialize)]
struct Parts<S, T> {
    #[serde(deserialize_with = "metadata")]
    metadata: ObjectMeta,
    spec: S,
    status: Option<T>,
}

/// A resource that can be put together from its parts.
pub(crate) trait FromParts: Kind {
    type Spec: DeserializeOwned;
    type Status: DeserializeOwned;

    fn from_parts(metadata: ObjectMeta, spec: Self::Spec, status: Option<Self::Status>) -> Self;
}

/// Puts resources of ours together from their parts.
macro_rules! from_parts {
    ($($kind:ident, $spec:ident, $status:ident;)*) => {$(
        impl FromParts for $kind {
            type Spec = $spec;
            type Status = $status;

            fn from_parts(metadata: ObjectMeta, spec: $spec, status: Option<$status>) -> Self {
                Self { metadata, spec, status }
            }
        }
    )*};
}

from_parts! {
    WorkOrder, WorkOrderSpec, WorkOrderStatus;
    World, WorldSpec, WorldStatus;
    Provider, ProviderSpec, ProviderStatus;
    Budget, BudgetSpec, BudgetStatus;
}

impl<'de, K: FromParts> Deserialize<'de> for Trimmed<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Parts { metadata, spec, status } = Parts::deserialize(deserializer)?;
        Stored::parse(K::from_parts(metadata, spec, status)).map(Self).map_err(D::Error::custom)
    }
}

impl<K: Kind> Kind for Trimmed<K> {
    const LABEL: ObjectLabel = K::LABEL;
    const UNREADABLE: Option<UnreadableStatus> = K::UNREADABLE;
}

impl<K: Resource> Resource for Trimmed<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::kind(dynamic)
    }

    fn group(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::group(dynamic)
    }

    fn version(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::version(dynamic)
    }

    fn plural(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::plural(dynamic)
    }

    fn meta(&self) -> &ObjectMeta {
        K::meta(&self.0)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        K::meta_mut(self.0.object_mut())
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct MetadataRecord {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    labels: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
}

/// Reads the part of an object's metadata that decisions need.
pub(super) fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let MetadataRecord {
        name,
        namespace,
        uid,
        resource_version,
        generation,
        labels,
        owner_references,
        creation_timestamp,
        deletion_timestamp,
    } = MetadataRecord::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name,
        namespace,
        uid,
        resource_version,
        generation,
        labels,
        owner_references,
        creation_timestamp,
        deletion_timestamp,
        ..ObjectMeta::default()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_order_is_read_whole_but_for_what_no_decision_needs() {
        let written = json!({
            "apiVersion": "manyworlds.dev/v1alpha1", "kind": "WorkOrder",
            "metadata": {
                "name": "fix", "namespace": "team", "uid": "u", "resourceVersion": "7", "generation": 3,
                "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-02T00:00:00Z",
                "labels": { "a": "b" }, "annotations": { "c": "d" },
                "managedFields": [{ "manager": "kubectl", "fieldsV1": { "f:spec": {} } }],
            },
            "spec": { "source": { "git": { "url": "https://forge.example/a" } }, "task": { "title": "t" } },
            "status": { "summary": "Running", "conditions": [] },
        });
        let mut whole: WorkOrder = serde_json::from_value(written.clone()).unwrap();
        whole.metadata.managed_fields = None;
        whole.metadata.annotations = None;
        let Trimmed(order) = serde_json::from_value::<Trimmed<WorkOrder>>(written).unwrap();
        assert_eq!(serde_json::to_value(&*order).unwrap(), serde_json::to_value(&whole).unwrap());
    }
}
