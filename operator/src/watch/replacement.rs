//! What a watch knows to exist, so that what vanished while it was broken is noticed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kube::core::ObjectMeta;
use manyworlds_api::labels;

use crate::index::{OrderKey, version};

/// Which object, and which order it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) namespace: Option<Arc<str>>,
    pub(super) name: Arc<str>,
    pub(super) uid: Arc<str>,
    pub(super) version: u64,
    pub(super) work_order: Option<Arc<str>>,
}

impl Known {
    pub(super) fn of(metadata: &ObjectMeta) -> Self {
        let label = metadata.labels.as_ref().and_then(|labels| labels.get(labels::WORK_ORDER));
        Self {
            namespace: metadata.namespace.as_deref().map(Into::into),
            name: metadata.name.as_deref().unwrap_or_default().into(),
            uid: metadata.uid.as_deref().unwrap_or_default().into(),
            version: version(metadata),
            work_order: label.map(|label| label.as_str().into()),
        }
    }

    pub(super) fn order(&self) -> Option<OrderKey> {
        Some(OrderKey { namespace: self.namespace.clone()?, name: self.work_order.clone()? })
    }

    pub(super) fn to_metadata(&self) -> ObjectMeta {
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

/// The objects that a watch knows, by uid, and those seen since it began anew.
#[derive(Debug, Default)]
pub(super) struct Replacement {
    known: HashMap<Arc<str>, Known>,
    before: HashMap<Arc<str>, Known>,
}

impl Replacement {
    /// The watch begins anew: what it does not list now is gone.
    pub(super) fn begin(&mut self) {
        let known = std::mem::take(&mut self.known);
        self.before.extend(known);
    }

    /// The watch saw an object.
    pub(super) fn seen(&mut self, metadata: &ObjectMeta) {
        let known = Known::of(metadata);
        self.before.remove(&known.uid);
        self.known.insert(known.uid.clone(), known);
    }

    /// The watch saw that an object is gone.
    pub(super) fn gone(&mut self, metadata: &ObjectMeta) {
        self.known.remove(metadata.uid.as_deref().unwrap_or_default());
    }

    /// The watch has listed everything. Returns what is gone.
    pub(super) fn end(&mut self) -> Vec<Known> {
        std::mem::take(&mut self.before).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(name: &str) -> ObjectMeta {
        ObjectMeta { name: Some(name.to_owned()), uid: Some(format!("uid-{name}")), ..ObjectMeta::default() }
    }

    #[test]
    fn what_vanished_while_the_watch_was_broken_is_gone() {
        let mut replacement = Replacement::default();
        replacement.begin();
        replacement.seen(&metadata("a"));
        replacement.seen(&metadata("b"));
        assert!(replacement.end().is_empty());
        replacement.begin();
        replacement.seen(&metadata("a"));
        // The watch broke again before it had listed everything.
        replacement.begin();
        replacement.seen(&metadata("a"));
        replacement.seen(&metadata("c"));
        let gone = replacement.end();
        assert_eq!(gone.iter().map(|known| &*known.name).collect::<Vec<_>>(), ["b"]);
        assert!(replacement.end().is_empty());
    }
}
