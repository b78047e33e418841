//! Removes the artifacts of orders that are gone: at once where the watch sees that an order goes, and otherwise by looking
//! through the store. It decides nothing; [`Retention`] does.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use manyworlds_api::errors::error_chain;
use manyworlds_api::object::OrderUid;
use manyworlds_telemetry::{Metrics, RemovalLabel};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::orders::Owner;
use super::retention::{Retention, StoredOrder, Sweep};
use super::store::{ArtifactStore, StoreError};
use super::usage::Usage;
use crate::index::orders::OrderState;
use crate::index::{Index, OrderKey};

/// The interval between two looks through the store. A look reads one folder, and a file for each order that is missed.
const INTERVAL: Duration = Duration::from_mins(5);

/// Removes artifacts.
pub(crate) struct Cleaner {
    store: ArtifactStore,
    usage: Usage,
    index: Arc<Index>,
    metrics: Metrics,
    retention: Retention,
    gone: mpsc::Receiver<OrderUid>,
    /// The orders that were missed at the last look, with the time since which they are.
    missed: HashMap<String, Timestamp>,
}

impl Cleaner {
    /// Makes one that is told from now on which orders go away.
    pub(super) fn new(
        store: ArtifactStore,
        usage: Usage,
        index: Arc<Index>,
        metrics: Metrics,
        retention: Retention,
    ) -> Self {
        let gone = index.gone_orders();
        Self { store, usage, index, metrics, retention, gone, missed: HashMap::new() }
    }

    /// Removes for ever.
    ///
    /// - **Shape:** `begin` resolves once every order that exists has been seen, and everything that is stored is counted.
    pub(crate) async fn run(mut self, begin: impl Future<Output = ()>) {
        begin.await;
        let mut tick = tokio::time::interval(INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => self.sweep(Timestamp::now()).await,
                Some(uid) = self.gone.recv() => self.remove(uid.as_str(), RemovalLabel::Deleted).await,
            }
        }
    }

    /// Looks through the store.
    async fn sweep(&mut self, now: Timestamp) {
        self.note_owners().await;
        match self.stored().await {
            Ok(stored) => {
                let Sweep { removed, missed } = self.retention.sweep(stored, &self.missed, now);
                self.missed = missed;
                for (uid, reason) in removed {
                    self.remove(&uid, reason).await;
                }
            }
            Err(error) => tracing::warn!(error = %error_chain(&error), "what is stored could not be looked through"),
        }
    }

    async fn stored(&self) -> Result<Vec<StoredOrder>, StoreError> {
        let mut stored = Vec::new();
        for uid in self.store.order_list().await? {
            let state = self.index.order_state(&uid);
            let found = if state == OrderState::Absent { self.store.owner_get(&uid).await } else { Ok(None) };
            match found {
                Ok(owner) => stored.push(StoredOrder { uid, namespace: owner.map(|owner| owner.namespace), state }),
                // One order that cannot be read keeps no other from being looked at.
                Err(error) => warn_of(&uid, &error),
            }
        }
        Ok(stored)
    }

    /// Notes whose the artifacts are that an earlier version has stored.
    async fn note_owners(&self) {
        for uid in self.usage.of_unknown_namespace() {
            let Some(OrderKey { namespace, name }) = self.index.order_key(&uid) else { continue };
            let owner = Owner { namespace: namespace.to_string(), name: name.to_string() };
            match self.store.owner_note(&uid, &owner).await {
                Ok(()) => self.usage.namespace_found(&uid, namespace),
                Err(error) => warn_of(&uid, &error),
            }
        }
    }

    async fn remove(&self, uid: &str, reason: RemovalLabel) {
        match self.store.order_remove(uid).await {
            Ok(existed) => {
                self.usage.removed(uid);
                self.usage.show(&self.metrics);
                if existed {
                    self.metrics.artifacts_removed.with_label_values(&[reason.as_str()]).inc();
                    tracing::info!(uid, reason = reason.as_str(), "removed the artifacts of an order");
                }
            }
            // The next look tries again.
            Err(error) => warn_of(uid, &error),
        }
    }
}

fn warn_of(uid: &str, error: &StoreError) {
    tracing::warn!(uid, error = %error_chain(error), "the artifacts of an order are left as they are");
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::path::Path;

    use bytes::Bytes;
    use jiff::SignedDuration;
    use manyworlds_api::artifacts::ArtifactName;
    use serde_json::{Value, json};

    use super::*;
    use crate::index::fixtures;

    async fn cleaner(folder: &Path, retention: Retention) -> Cleaner {
        let store = ArtifactStore::open(folder).unwrap();
        for uid in ["o", "other"] {
            let body = futures::stream::iter([Ok::<_, &str>(Bytes::from("text"))]);
            store.artifact_put(uid, "alpha", 1, ArtifactName::Patch, body).await.unwrap();
        }
        let (usage, metrics) = (Usage::default(), Metrics::new("1.2.3").unwrap());
        for uid in store.order_list().await.unwrap() {
            usage.counted(&uid, None, store.artifact_list(&uid).await.unwrap(), None);
        }
        let index = Arc::new(Index::default());
        index.order_seen(fixtures::order(Value::Null));
        Cleaner::new(store, usage, index, metrics, retention)
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minute * 60).unwrap()
    }

    #[tokio::test]
    async fn artifacts_of_a_deleted_order_go_at_once_and_those_of_another_stay() {
        let folder = tempfile::tempdir().unwrap();
        let cleaner = cleaner(folder.path(), Retention::default()).await;
        let (index, usage, metrics) = (cleaner.index.clone(), cleaner.usage.clone(), cleaner.metrics.clone());
        index.order_gone(fixtures::order(Value::Null).id(), "2".parse().unwrap());
        let running = tokio::spawn(cleaner.run(ready(())));
        while folder.path().join("o").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(folder.path().join("other/alpha/1/patch").is_file(), "it is missed, and not for long");
        while metrics.artifacts_removed.with_label_values(&["deleted"]).get() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        usage.show(&metrics);
        assert_eq!(metrics.artifacts_held.get(), 4);
        running.abort();
    }

    #[tokio::test]
    async fn a_look_removes_what_nobody_has_and_notes_whose_the_rest_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut cleaner = cleaner(folder.path(), Retention::default()).await;
        cleaner.sweep(at(0)).await;
        let owner = Owner { namespace: "team".to_owned(), name: "fix".to_owned() };
        assert_eq!(cleaner.store.owner_get("o").await.unwrap(), Some(owner));
        assert!(folder.path().join("other").exists(), "it may yet be seen");
        cleaner.sweep(at(10)).await;
        assert!(!folder.path().join("other").exists());
        assert!(folder.path().join("o/alpha/1/patch").is_file());
    }

    #[tokio::test]
    async fn nothing_is_removed_of_an_order_that_cannot_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut cleaner = cleaner(folder.path(), Retention::default()).await;
        cleaner.index.order_unreadable("other".parse().unwrap());
        for minute in [0, 60] {
            cleaner.sweep(at(minute)).await;
        }
        assert!(folder.path().join("other/alpha/1/patch").is_file());
    }

    #[tokio::test]
    async fn artifacts_of_an_order_that_finished_long_ago_go_while_the_order_stays() {
        let folder = tempfile::tempdir().unwrap();
        let retention = Retention { finished: Some(SignedDuration::from_hours(1)), namespace: None };
        let mut cleaner = cleaner(folder.path(), retention).await;
        let condition = json!({
            "type": "Finished", "status": "True", "reason": "Succeeded", "message": "",
            "lastTransitionTime": "2026-01-01T01:00:00Z",
        });
        let status = json!({"completionTime": "2026-01-01T01:00:00Z", "conditions": [condition]});
        cleaner.index.order_seen(fixtures::as_of(&fixtures::order(status), "o", 2));
        cleaner.sweep("2026-01-01T01:59:00Z".parse().unwrap()).await;
        assert!(folder.path().join("o").exists());
        cleaner.sweep("2026-01-01T02:00:00Z".parse().unwrap()).await;
        assert!(!folder.path().join("o").exists());
    }
}
