//! The objects that a watch knows to exist, so that those that were deleted while it was broken are noticed.

use std::collections::HashMap;
use std::sync::Arc;

use kube::core::ObjectMeta;

use super::deleted::DeletedObject;

/// The objects that a watch knows, by uid, and those seen since it began anew.
#[derive(Debug, Default)]
pub(super) struct Replacement {
    known: HashMap<Arc<str>, DeletedObject>,
    before: HashMap<Arc<str>, DeletedObject>,
}

impl Replacement {
    /// The watch begins anew. Objects that it does not list now are gone.
    pub(super) fn begin(&mut self) {
        let known = std::mem::take(&mut self.known);
        self.before.extend(known);
    }

    /// The watch saw an object.
    pub(super) fn applied(&mut self, metadata: &ObjectMeta) {
        // The API server sends no object without a name, a uid and a version.
        let Some(known) = DeletedObject::of(metadata) else { return };
        self.before.remove(&known.uid);
        self.known.insert(known.uid.clone(), known);
    }

    /// The watch saw that an object is gone.
    pub(super) fn deleted(&mut self, metadata: &ObjectMeta) {
        if let Some(uid) = &metadata.uid {
            self.known.remove(uid.as_str());
        }
    }

    /// The watch has listed everything. Returns the objects that are gone.
    pub(super) fn end(&mut self) -> Vec<DeletedObject> {
        std::mem::take(&mut self.before).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(name: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            uid: Some(format!("uid-{name}")),
            resource_version: Some("1".to_owned()),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn what_vanished_while_the_watch_was_broken_is_gone() {
        let mut replacement = Replacement::default();
        replacement.begin();
        replacement.applied(&metadata("a"));
        replacement.applied(&metadata("b"));
        assert!(replacement.end().is_empty());
        replacement.begin();
        replacement.applied(&metadata("a"));
        // The watch broke again before it had listed everything.
        replacement.begin();
        replacement.applied(&metadata("a"));
        replacement.applied(&metadata("c"));
        let gone = replacement.end();
        assert_eq!(gone.iter().map(|known| &*known.name).collect::<Vec<_>>(), ["b"]);
        assert!(replacement.end().is_empty());
    }
}
