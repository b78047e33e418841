//! The observers of a watch.

use std::fmt::Debug;

use serde::de::DeserializeOwned;

use super::deleted::DeletedObject;
use super::guarded::Unreadable;
use crate::kind::Kind;

/// Takes over what a watch sees, and puts the objects that have to be looked at into a work queue.
///
/// Nothing here may wait: the watch stands still meanwhile.
pub(crate) trait Observer: Send + Sync + 'static {
    /// The objects, as they are read.
    type Object: Kind + DeserializeOwned + Clone + Debug + Send + 'static;

    /// An object is there or has changed.
    fn on_applied(&self, object: Self::Object);

    /// An object is gone. This may be noticed late, and there may be another one of that name by then.
    fn on_deleted(&self, object: &DeletedObject);

    /// An object is there, and this version cannot read it.
    fn on_unreadable(&self, _object: &Unreadable) {}

    /// Everything that exists has been seen.
    fn on_listed(&self) {}
}
