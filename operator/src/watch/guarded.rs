//! Objects that cannot be read, for example written under a schema that this version does not know.
//!
//! A watch reads straight into its own type, which costs least. Only once an object could not be read that way does it read
//! everything twice, first as any JSON, so that one bad object keeps no other one from being seen.

use std::borrow::Cow;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use kube::Resource;
use kube::api::Api;
use kube::core::ObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// An object, or why it cannot be read.
#[derive(Clone, Debug)]
pub(crate) struct Guarded<K>(pub(crate) Result<K, Box<Unreadable>>);

/// An object that cannot be read.
#[derive(Clone, Debug)]
pub(crate) struct Unreadable {
    /// Its metadata, which can always be read.
    pub(crate) metadata: ObjectMeta,
    /// The field that cannot be read, and why.
    pub(super) why: String,
    /// All of it.
    pub(super) raw: Value,
}

impl Unreadable {
    /// Returns a part of the object, where that part can be read.
    pub(crate) fn part<T: DeserializeOwned>(&self, pointer: &str) -> Option<T> {
        self.raw.pointer(pointer).and_then(|part| T::deserialize(part).ok())
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Guarded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Value::deserialize(deserializer)?;
        Ok(Self(match serde_path_to_error::deserialize(&raw) {
            Ok(object) => Ok(object),
            Err(error) => {
                let metadata = ObjectMeta::deserialize(&raw["metadata"]).map_err(D::Error::custom)?;
                let why = format!("{}: {}", error.path(), error.inner());
                Err(Box::new(Unreadable { metadata, why, raw }))
            }
        }))
    }
}

impl<K: Resource> Resource for Guarded<K> {
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
        match &self.0 {
            Ok(object) => object.meta(),
            Err(unreadable) => &unreadable.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match &mut self.0 {
            Ok(object) => object.meta_mut(),
            Err(unreadable) => &mut unreadable.metadata,
        }
    }
}

/// The events of a watch.
pub(super) type Events<K> = BoxStream<'static, Result<Event<Guarded<K>>, watcher::Error>>;

/// The objects of a watch, to be read in two ways.
pub(super) struct Source<K> {
    /// Reads straight into the type.
    pub(super) direct: Api<K>,
    /// Reads also what does not fit into it.
    pub(super) guarded: Api<Guarded<K>>,
    pub(super) config: watcher::Config,
}

impl<K> Source<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + std::fmt::Debug + Send + 'static,
{
    /// Watches in the cheap way, which breaks at the first object that cannot be read.
    pub(super) fn direct(&self) -> Events<K> {
        watcher(self.direct.clone(), self.config.clone()).default_backoff().map_ok(wrapped).boxed()
    }

    /// Watches in the way that no unreadable object breaks.
    pub(super) fn guarded(&self) -> Events<K> {
        watcher(self.guarded.clone(), self.config.clone()).default_backoff().boxed()
    }
}

fn wrapped<K>(event: Event<K>) -> Event<Guarded<K>> {
    match event {
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
        Event::InitApply(object) => Event::InitApply(Guarded(Ok(object))),
        Event::Apply(object) => Event::Apply(Guarded(Ok(object))),
        Event::Delete(object) => Event::Delete(Guarded(Ok(object))),
    }
}

/// Returns whether a watch broke because of an object, and not because of the way to the API server.
pub(super) fn is_unreadable(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => {
            matches!(error, kube::Error::SerdeError(error) if error.is_data())
        }
        watcher::Error::WatchError(_) | watcher::Error::NoResourceVersion => false,
    }
}
