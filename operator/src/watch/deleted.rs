//! Which object a watch has seen, without anything that it says: all that is left to know once it is deleted.

use std::sync::Arc;

use kube::core::ObjectMeta;
use manyworlds_api::labels;
use manyworlds_api::object::{ObjectId, ResourceVersion};

/// An object that is deleted, or of which no more than that has to be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeletedObject {
    /// Its namespace, where it has one.
    pub(crate) namespace: Option<Arc<str>>,
    /// Its name.
    pub(crate) name: Arc<str>,
    /// Its uid.
    pub(crate) uid: Arc<str>,
    /// The version that was last seen.
    pub(crate) version: ResourceVersion,
    /// The WorkOrder that its label names, where it has one.
    pub(crate) work_order: Option<Arc<str>>,
}

impl DeletedObject {
    /// Reads which object is meant.
    ///
    /// - **Shape:** `None` where the metadata have no name, uid or version, which no object of the API server lacks.
    pub(crate) fn of(metadata: &ObjectMeta) -> Option<Self> {
        let label = metadata.labels.as_ref().and_then(|labels| labels.get(labels::WORK_ORDER));
        Some(Self {
            namespace: metadata.namespace.as_deref().map(Into::into),
            name: metadata.name.as_deref()?.into(),
            uid: metadata.uid.as_deref()?.into(),
            version: metadata.resource_version.as_deref()?.parse().ok()?,
            work_order: label.map(|label| label.as_str().into()),
        })
    }

    /// Returns which object of a kind it is.
    ///
    /// - **Shape:** `None` where it has no namespace.
    pub(crate) fn id<K>(&self) -> Option<ObjectId<K>> {
        let (name, uid) = (self.name.clone().try_into().ok()?, self.uid.clone().try_into().ok()?);
        Some(ObjectId { namespace: self.namespace.clone()?, name, uid })
    }
}
