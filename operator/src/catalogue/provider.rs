//! Providers: their watch, and the steps of a look at one. A look reads the key, and writes the status where it has changed.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kube::runtime::watcher::Config;
use manyworlds_api::conditions::{ProviderCondition, Truth};
use manyworlds_api::object::{ObjectId, Stored};
use manyworlds_api::provider::BreakerState;
use manyworlds_api::{Provider, ProviderStatus};
use manyworlds_telemetry::{BreakerLabel, Metrics, ObjectLabel};
use serde::de::IgnoredAny;

use super::key::{self, KeyState};
use super::provider_status::{Traffic, of_provider, percent_used};
use super::records::{Key, Records, key_of};
use super::store::Catalogue;
use crate::cluster::{Cluster, Writes};
use crate::errors::ReconcileError;
use crate::kind::{Kind, UnreadableStatus};
use crate::reconcile::controller::Controller;
use crate::reconcile::queue::{Scheduled, WorkQueue};
use crate::reconcile::status::write_status;
use crate::reconcile::steps::Reconcile;
use crate::watch::deleted::DeletedObject;
use crate::watch::guarded::Unreadable;
use crate::watch::observer::Observer;
use crate::watch::trimmed::Trimmed;
use crate::watch::watches::Watches;

/// The interval between two reads of a key. A key that was replaced is used after this long at most.
const KEY_INTERVAL: SignedDuration = SignedDuration::from_secs(15);

/// The most Providers that are reconciled at the same time.
const CONCURRENCY: usize = 4;

/// Starts to watch Providers. Those that change are put into a work queue.
pub(crate) fn watch(watches: &mut Watches, catalogue: &Catalogue, queue: WorkQueue<Key>, metrics: &Metrics) {
    watches.start(Config::default(), Providers { catalogue: catalogue.clone(), queue, metrics: metrics.clone() });
}

/// Returns the loop of Providers. It reads their keys, and writes their statuses where the cluster may be written to.
///
/// - **Shape:** `account` is the operator's service account as `<namespace>:<name>`, for the message on how to allow it a Secret.
pub(crate) fn controller(
    cluster: &Cluster,
    writes: Option<Writes>,
    catalogue: &Catalogue,
    account: String,
    queue: (WorkQueue<Key>, Scheduled<Key>),
) -> Controller<ProviderReconciler> {
    let reconciler = ProviderReconciler { catalogue: catalogue.clone(), cluster: cluster.clone(), writes, account };
    Controller::new(reconciler, queue, &cluster.metrics, CONCURRENCY)
}

/// Observes Providers.
struct Providers {
    catalogue: Catalogue,
    queue: WorkQueue<Key>,
    metrics: Metrics,
}

impl Observer for Providers {
    type Object = Trimmed<Provider>;

    fn on_applied(&self, Trimmed(provider): Trimmed<Provider>) {
        let key = key_of(provider.id());
        self.catalogue.records().apply_provider(provider);
        self.queue.add(key);
    }

    fn on_deleted(&self, object: &DeletedObject) {
        if let Some(id) = object.id() {
            self.catalogue.records().delete_provider(&id);
            self.queue.add(key_of(&id));
        }
    }

    fn on_unreadable(&self, object: &Unreadable) {
        if let Ok(id) = ObjectId::<Provider>::parse(&object.metadata) {
            let key = key_of(&id);
            self.catalogue.records().providers.remove(&key);
            self.queue.add(key);
        }
    }

    fn on_listed(&self) {
        self.catalogue.note_listed(|listed| listed.providers = true);
        count(&self.catalogue.records(), &self.metrics);
    }
}

/// Looks at Providers.
pub(crate) struct ProviderReconciler {
    catalogue: Catalogue,
    cluster: Cluster,
    writes: Option<Writes>,
    account: String,
}

/// A Provider, with what is known of it.
pub(crate) struct ProviderSnapshot {
    now: Timestamp,
    provider: Arc<Stored<Provider>>,
    key: KeyState,
    traffic: Traffic,
}

/// The decision about a Provider.
pub(crate) struct ProviderPlan {
    /// The status that it should have, where it has another.
    status: Option<ProviderStatus>,
    next_check: Option<Timestamp>,
}

impl Reconcile for ProviderReconciler {
    type Kind = Provider;
    type Key = Key;
    type Gathered = ProviderSnapshot;
    type Snapshot = ProviderSnapshot;
    type Plan = ProviderPlan;

    async fn gather(&self, key: &Key, now: Timestamp) -> Result<Option<ProviderSnapshot>, ReconcileError> {
        count(&self.catalogue.records(), &self.cluster.metrics);
        let Some(provider) = self.catalogue.records().providers.get(key).map(|record| record.provider.clone()) else {
            return Ok(None);
        };
        let (state, secret) = key::read(&self.cluster.client, &self.account, &provider).await;
        if let Some(secret) = &secret {
            self.catalogue.note_secret(provider.namespace(), secret.reveal());
        }
        let mut records = self.catalogue.records();
        // A Provider that changed while its key was read is in the queue again.
        let same = records.providers.get_mut(key).filter(|record| Arc::ptr_eq(&record.provider, &provider));
        Ok(same.map(|record| {
            record.key = Some((state.clone(), secret));
            ProviderSnapshot { now, provider, key: state, traffic: record.traffic.clone() }
        }))
    }

    fn validate(&self, gathered: ProviderSnapshot) -> Result<ProviderSnapshot, ReconcileError> {
        Ok(gathered)
    }

    fn plan(&self, _key: &Key, snapshot: &ProviderSnapshot) -> ProviderPlan {
        let ProviderSnapshot { now, provider, key, traffic } = snapshot;
        let wanted = of_provider(provider, key, traffic, self.catalogue.price_table(), *now);
        ProviderPlan {
            status: Some(wanted).filter(|wanted| provider.status.as_ref() != Some(wanted)),
            next_check: now.checked_add(KEY_INTERVAL).ok(),
        }
    }

    async fn publish(
        &self,
        _key: &Key,
        snapshot: &ProviderSnapshot,
        plan: &ProviderPlan,
    ) -> Result<(), ReconcileError> {
        let (Some(wanted), Some(writes)) = (&plan.status, &self.writes) else { return Ok(()) };
        let ProviderSnapshot { provider, .. } = snapshot;
        let before = provider.status.as_ref();
        write_status::<_, IgnoredAny>(&writes.writer, provider, before, wanted).await.map(drop)
    }

    fn next_check(plan: &ProviderPlan) -> Option<Timestamp> {
        plan.next_check
    }

    fn span((namespace, name): &Key) -> tracing::Span {
        tracing::info_span!("reconcile", namespace, provider = name)
    }
}

/// Counts Providers by the state of their breaker, and says how much of its limits the busiest has used.
fn count(records: &Records, metrics: &Metrics) {
    let providers = |wanted: BreakerState| {
        let breakers = records.providers.values().map(|record| record.traffic.breaker.unwrap_or_default());
        i64::try_from(breakers.filter(|breaker| *breaker == wanted).count()).unwrap_or(i64::MAX)
    };
    for (state, word) in [
        (BreakerState::Closed, BreakerLabel::Closed),
        (BreakerState::HalfOpen, BreakerLabel::HalfOpen),
        (BreakerState::Open, BreakerLabel::Open),
    ] {
        metrics.providers.with_label_values(&[word.as_str()]).set(providers(state));
    }
    let windows = records
        .providers
        .values()
        .filter_map(|record| Some(percent_used(record.traffic.window.as_ref()?, &record.provider.spec.limits)));
    metrics.llm_window_used.set(windows.max().unwrap_or_default());
}

impl Kind for Provider {
    const LABEL: ObjectLabel = ObjectLabel::Provider;
    const UNREADABLE: Option<UnreadableStatus> = Some(UnreadableStatus {
        condition: ProviderCondition::Ready.as_str(),
        truth: Truth::False,
        unless: None,
        summary: None,
    });
}
