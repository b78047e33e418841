//! The names by which orders are found, and the versions by which observations are compared.

use std::fmt;
use std::sync::Arc;

use kube::core::ObjectMeta;
use manyworlds_api::labels;

/// The key of an order: its namespace and name.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct OrderKey {
    /// Its namespace.
    pub(crate) namespace: Arc<str>,
    /// Its name.
    pub(crate) name: Arc<str>,
}

impl OrderKey {
    /// Returns the key of an order by its metadata.
    pub(crate) fn of_order(metadata: &ObjectMeta) -> Option<Self> {
        Some(Self { namespace: metadata.namespace.as_deref()?.into(), name: metadata.name.as_deref()?.into() })
    }

    /// Returns the key of the order that a World or a pod carries the label of.
    pub(crate) fn of_label(metadata: &ObjectMeta) -> Option<Self> {
        let name = metadata.labels.as_ref()?.get(labels::WORK_ORDER)?;
        Some(Self { namespace: metadata.namespace.as_deref()?.into(), name: name.as_str().into() })
    }
}

impl fmt::Display for OrderKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Debug for OrderKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Orders that something was seen of, to be looked at.
pub(crate) type Touched = Vec<OrderKey>;

/// Returns the version of an object; versions of one kind can be compared since Kubernetes says so (KEP-5504).
pub(crate) fn version(metadata: &ObjectMeta) -> u64 {
    metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}
