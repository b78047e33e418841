//! The names by which orders are found.

use std::fmt;
use std::sync::Arc;

use kube::core::ObjectMeta;
use manyworlds_api::object::ObjectId;
use manyworlds_api::{WorkOrder, labels};

/// The key of an order: its namespace and name.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct OrderKey {
    /// Its namespace.
    pub(crate) namespace: Arc<str>,
    /// Its name.
    pub(crate) name: Arc<str>,
}

impl OrderKey {
    /// Returns the key of an order.
    pub(crate) fn of(order: &ObjectId<WorkOrder>) -> Self {
        Self { namespace: order.namespace.clone(), name: order.name.shared() }
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
