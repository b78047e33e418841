//! The objects that are made and deleted in a namespace, seen from the API server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use manyworlds_api::World;
use tokio::task::JoinSet;

use crate::{LIMIT, Namespace, Result, eventually};

/// Kind and name of an object.
pub type Key = (&'static str, String);

/// The number of times that objects of one name were made and deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Made.
    pub made: usize,
    /// Deleted.
    pub deleted: usize,
}

/// Watches the Worlds and pods of a namespace; it ends when the guard goes.
pub struct Recorder {
    seen: Arc<Mutex<Seen>>,
    worlds: Api<PartialObjectMeta<World>>,
    pods: Api<PartialObjectMeta<Pod>>,
    /// Aborts the watches when it is dropped.
    _watches: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    made: BTreeMap<String, Key>,
    deleted: BTreeMap<String, Key>,
}

impl Recorder {
    /// Begins to watch a namespace in which there is nothing yet.
    pub fn start(namespace: &Namespace) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (worlds, pods) = (namespace.api(), namespace.api());
        let mut watches = JoinSet::new();
        watches.spawn(watch("World", worlds.clone(), Arc::clone(&seen)));
        watches.spawn(watch("Pod", pods.clone(), Arc::clone(&seen)));
        Self { seen, worlds, pods, _watches: watches }
    }

    /// Returns how often each object was made and deleted, once the watches have caught up with the API server.
    ///
    /// # Errors
    ///
    /// When they do not catch up.
    pub async fn counts(&self) -> Result<BTreeMap<Key, Count>> {
        eventually("the watches have caught up", LIMIT, || async {
            let (worlds, pods) = (uids(&self.worlds).await?, uids(&self.pods).await?);
            let there: BTreeSet<_> = worlds.into_iter().chain(pods).collect();
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let alive = seen.made.keys().filter(|uid| !seen.deleted.contains_key(*uid)).cloned().collect();
            Ok((there == alive).then(|| seen.counts()))
        })
        .await
    }
}

impl Seen {
    fn counts(&self) -> BTreeMap<Key, Count> {
        let mut counts: BTreeMap<Key, Count> = BTreeMap::new();
        for key in self.made.values() {
            counts.entry(key.clone()).or_default().made += 1;
        }
        for key in self.deleted.values() {
            counts.entry(key.clone()).or_default().deleted += 1;
        }
        counts
    }

    fn note<K>(&mut self, kind: &'static str, event: Event<PartialObjectMeta<K>>) {
        let (list, object) = match event {
            Event::Apply(object) | Event::InitApply(object) => (&mut self.made, object),
            Event::Delete(object) => (&mut self.deleted, object),
            Event::Init | Event::InitDone => return,
        };
        let name = object.metadata.name.unwrap_or_default();
        list.insert(object.metadata.uid.unwrap_or_default(), (kind, name));
    }
}

async fn watch<K>(kind: &'static str, api: Api<PartialObjectMeta<K>>, seen: Arc<Mutex<Seen>>)
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + serde::de::DeserializeOwned + 'static,
{
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default()));
    while let Some(event) = events.next().await {
        // After an error the watcher lists again by itself.
        if let Ok(event) = event {
            seen.lock().unwrap_or_else(PoisonError::into_inner).note(kind, event);
        }
    }
}

async fn uids<K>(api: &Api<PartialObjectMeta<K>>) -> Result<Vec<String>>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let list = api.list(&ListParams::default()).await?;
    Ok(list.items.into_iter().map(|object| object.metadata.uid.unwrap_or_default()).collect())
}
