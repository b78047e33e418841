//! The name of an object, its uid and its version.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::core::ObjectMeta;
use manyworlds_api::labels;

use crate::index::version;

/// An object, without anything that it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObjectIdentity {
    /// Its namespace, where it has one.
    pub(crate) namespace: Option<Arc<str>>,
    /// Its name.
    pub(crate) name: Arc<str>,
    /// Its uid.
    pub(crate) uid: Arc<str>,
    /// The version that was seen.
    pub(crate) version: u64,
    /// The WorkOrder that its label names, where it has one.
    pub(crate) work_order: Option<Arc<str>>,
}

impl ObjectIdentity {
    /// Reads which object is meant from its metadata.
    pub(crate) fn of(metadata: &ObjectMeta) -> Self {
        let label = metadata.labels.as_ref().and_then(|labels| labels.get(labels::WORK_ORDER));
        Self {
            namespace: metadata.namespace.as_deref().map(Into::into),
            name: metadata.name.as_deref().unwrap_or_default().into(),
            uid: metadata.uid.as_deref().unwrap_or_default().into(),
            version: version(metadata),
            work_order: label.map(|label| label.as_str().into()),
        }
    }

    /// Returns metadata that say no more than which object is meant.
    pub(crate) fn to_metadata(&self) -> ObjectMeta {
        let label = self.work_order.as_deref().map(|name| (labels::WORK_ORDER.to_owned(), name.to_owned()));
        ObjectMeta {
            namespace: self.namespace.as_deref().map(str::to_owned),
            name: Some(self.name.to_string()),
            uid: Some(self.uid.to_string()),
            resource_version: Some(self.version.to_string()),
            labels: Some(BTreeMap::from_iter(label)),
            ..ObjectMeta::default()
        }
    }
}
