//! Keeps the catalogue up to date, and shows on each resource what is known of it.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use jiff::Timestamp;
use kube::api::Api;
use kube::core::NamespaceResourceScope;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Config, Error, watcher};
use kube::{Client, Resource, ResourceExt};
use manyworlds_api::conditions::Reason;
use manyworlds_api::errors::error_chain;
use manyworlds_api::provider::BreakerState;
use manyworlds_api::{Budget, Provider};
use manyworlds_planner::{Event, EventKind};
use manyworlds_telemetry::{BreakerLabel, BudgetLabel, Metrics, ObjectLabel};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::{Catalogue, HeldBudget, HeldProvider, Inner, Key, key, status};
use crate::errors::ReconcileError;
use crate::watch::{Guarded, Reporter, Unreadable};
use crate::work_order::{status_patch, to_json};

/// How often keys are read again and statuses looked at: a key that was replaced is used after this long at most.
const LOOK: Duration = Duration::from_secs(15);

/// Runs until the process ends.
pub(super) async fn run(catalogue: Catalogue, namespace: Option<String>) {
    let (looks, wanted) = mpsc::unbounded_channel();
    // Keys and statuses are requests to the API server, for which what is seen must not wait.
    tokio::join!(see(&catalogue, namespace.as_deref(), &looks), show(&catalogue, wanted));
}

/// Takes over what the watches see, for ever.
async fn see(catalogue: &Catalogue, namespace: Option<&str>, looks: &mpsc::UnboundedSender<Look>) {
    let client = &catalogue.0.client;
    let mut providers = watch::<Provider>(client, namespace);
    let mut budgets = watch::<Budget>(client, namespace);
    let mut of_providers = Seeing::new(catalogue, ObjectLabel::Provider);
    let mut of_budgets = Seeing::new(catalogue, ObjectLabel::Budget);
    loop {
        let look = tokio::select! {
            Some(event) = providers.next() => of_providers.note(event, |change| catalogue.provider_changed(change)).await,
            Some(event) = budgets.next() => of_budgets.note(event, |change| catalogue.budget_changed(change)).await,
        };
        if let Some(look) = look {
            // Who looks ends together with this.
            let _ = looks.send(look);
        }
    }
}

/// Looks at what has changed, and from time to time at all, for ever.
async fn show(catalogue: &Catalogue, mut wanted: mpsc::UnboundedReceiver<Look>) {
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let look = tokio::select! {
            Some(look) = wanted.recv() => look,
            _ = tick.tick() => Look::All,
        };
        match look {
            Look::At(key) => {
                catalogue.show_provider(&key).await;
                catalogue.show_budget(&key).await;
            }
            Look::All => catalogue.show_all().await,
        }
    }
}

/// What is to be looked at after an event.
enum Look {
    At(Key),
    All,
}

/// What happened to a resource.
enum Change<K> {
    Seen(K),
    /// It is there, and this version cannot read it.
    Unreadable(Key, Box<Unreadable>),
    Gone(Key),
    /// Only these are left.
    Listed(BTreeSet<Key>),
}

fn watch<K>(client: &Client, namespace: Option<&str>) -> BoxStream<'static, Result<watcher::Event<Guarded<K>>, Error>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + 'static,
{
    // They are few, so that each is read in the way that nothing unreadable breaks.
    let api = match namespace {
        Some(namespace) => Api::<Guarded<K>>::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    watcher(api, Config::default()).default_backoff().boxed()
}

fn key_of(object: &impl ResourceExt) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// What a watch has listed since it began anew, and whom it tells of what it cannot read.
struct Seeing {
    kind: ObjectLabel,
    listed: BTreeSet<Key>,
    reporter: Reporter,
    metrics: Metrics,
}

impl Seeing {
    fn new(catalogue: &Catalogue, kind: ObjectLabel) -> Self {
        let Inner { writer, recorder, metrics, .. } = &*catalogue.0;
        let reporter = Reporter::new(writer.clone(), recorder.clone(), metrics.clone());
        Self { kind, listed: BTreeSet::new(), reporter, metrics: metrics.clone() }
    }

    async fn note<K: Resource<DynamicType = ()>>(
        &mut self,
        event: Result<watcher::Event<Guarded<K>>, Error>,
        changed: impl Fn(Change<K>),
    ) -> Option<Look> {
        match event {
            Ok(watcher::Event::Init) => self.listed.clear(),
            Ok(watcher::Event::InitApply(object)) => {
                self.listed.insert(key_of(&object));
                self.seen(object, changed).await;
            }
            Ok(watcher::Event::InitDone) => {
                changed(Change::Listed(std::mem::take(&mut self.listed)));
                return Some(Look::All);
            }
            Ok(watcher::Event::Apply(object)) => {
                let key = key_of(&object);
                self.seen(object, changed).await;
                return Some(Look::At(key));
            }
            Ok(watcher::Event::Delete(object)) => {
                self.reporter.well(object.meta());
                changed(Change::Gone(key_of(&object)));
            }
            Err(error) => {
                self.metrics.watch_errors.with_label_values(&[self.kind.as_str()]).inc();
                let kind = self.kind.as_str();
                tracing::warn!(kind, error = %error_chain(&error), "a watch of the catalogue broke; it is taken up again");
            }
        }
        None
    }

    async fn seen<K: Resource<DynamicType = ()>>(&mut self, object: Guarded<K>, changed: impl Fn(Change<K>)) {
        let key = key_of(&object);
        match object.0 {
            Ok(object) => {
                self.reporter.well(object.meta());
                changed(Change::Seen(object));
            }
            Err(unreadable) => {
                self.reporter.tell::<K>(self.kind, &unreadable).await;
                changed(Change::Unreadable(key, unreadable));
            }
        }
    }
}

/// Takes away what the catalogue has no use for.
fn slim(metadata: &mut kube::core::ObjectMeta) {
    metadata.managed_fields = None;
    metadata.annotations = None;
}

impl Catalogue {
    fn provider_changed(&self, change: Change<Provider>) {
        let mut known = self.known();
        match change {
            Change::Seen(mut provider) => {
                slim(&mut provider.metadata);
                let key = key_of(&provider);
                let before = known.providers.remove(&key);
                // What another Provider of the same name did says nothing of this one, and another Secret has another key.
                let same = before.filter(|held| held.provider.metadata.uid == provider.metadata.uid);
                let (key_state, traffic) = same.map_or_else(Default::default, |held| {
                    let kept = held.provider.spec.secret_ref == provider.spec.secret_ref;
                    (held.key.filter(|_| kept), held.traffic)
                });
                let (spec, provider) = (Arc::new(provider.spec.clone()), Arc::new(provider));
                known.providers.insert(key, HeldProvider { provider, spec, key: key_state, traffic });
            }
            Change::Unreadable(key, _) | Change::Gone(key) => drop(known.providers.remove(&key)),
            Change::Listed(listed) => {
                known.providers.retain(|key, _| listed.contains(key));
                self.0.listed.send_modify(|listed| listed.providers = true);
            }
        }
    }

    fn budget_changed(&self, change: Change<Budget>) {
        let mut known = self.known();
        match change {
            Change::Seen(mut budget) => {
                slim(&mut budget.metadata);
                let key = key_of(&budget);
                let before = known.budgets.remove(&key);
                let same = before.filter(|held| held.budget.metadata.uid == budget.metadata.uid);
                let spending = same.and_then(|held| held.spending);
                known.unreadable_budgets.remove(&key);
                known.budgets.insert(key, HeldBudget { budget: Arc::new(budget), spending });
            }
            Change::Unreadable(key, unreadable) => {
                known.budgets.remove(&key);
                known.unreadable_budgets.insert(key, unreadable.part("/spec/selector"));
            }
            Change::Gone(key) => {
                known.budgets.remove(&key);
                known.unreadable_budgets.remove(&key);
            }
            Change::Listed(listed) => {
                known.budgets.retain(|key, _| listed.contains(key));
                known.unreadable_budgets.retain(|key, _| listed.contains(key));
                self.0.listed.send_modify(|listed| listed.budgets = true);
            }
        }
    }

    async fn show_all(&self) {
        let (providers, budgets): (Vec<_>, Vec<_>) = {
            let known = self.known();
            (known.providers.keys().cloned().collect(), known.budgets.keys().cloned().collect())
        };
        for key in providers {
            self.show_provider(&key).await;
        }
        for key in budgets {
            self.show_budget(&key).await;
        }
        self.count();
    }

    /// Counts Providers and Budgets by how they stand.
    fn count(&self) {
        let known = self.known();
        let metrics = &self.0.metrics;
        let providers = |wanted: BreakerState| {
            let breakers = known.providers.values().map(|held| held.traffic.breaker.unwrap_or_default());
            i64::try_from(breakers.filter(|breaker| *breaker == wanted).count()).unwrap_or(i64::MAX)
        };
        for (state, word) in [
            (BreakerState::Closed, BreakerLabel::Closed),
            (BreakerState::HalfOpen, BreakerLabel::HalfOpen),
            (BreakerState::Open, BreakerLabel::Open),
        ] {
            metrics.providers.with_label_values(&[word.as_str()]).set(providers(state));
        }
        let windows = known
            .providers
            .values()
            .filter_map(|held| Some(status::percent_used(held.traffic.window.as_ref()?, &held.provider.spec.limits)));
        metrics.llm_window_used.set(windows.max().unwrap_or_default());
        let words: Vec<_> = known.budgets.values().map(|held| status::word(&held.budget)).collect();
        for word in [BudgetLabel::Within, BudgetLabel::Warned, BudgetLabel::Exceeded] {
            let count = words.iter().filter(|found| **found == word).count();
            metrics.budgets.with_label_values(&[word.as_str()]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Reads the key of a Provider and writes its status where that has changed.
    async fn show_provider(&self, key: &Key) {
        let Some(provider) = self.known().providers.get(key).map(|held| held.provider.clone()) else { return };
        let (state, secret) = key::read(&self.0.client, &self.0.account, &provider).await;
        if let Some(secret) = &secret {
            self.0.secrets.note(secret.reveal());
        }
        let traffic = {
            let mut known = self.known();
            let Some(held) = known.providers.get_mut(key) else { return };
            if !Arc::ptr_eq(&held.provider, &provider) {
                // It changed while its key was read; that change has a look of its own.
                return;
            }
            held.key = Some((state.clone(), secret));
            held.traffic.clone()
        };
        let wanted = status::of_provider(&provider, &state, &traffic, &self.0.table, Timestamp::now());
        if provider.status.as_ref() != Some(&wanted) {
            let written = self.write(&*provider, ObjectLabel::Provider, provider.status.as_ref(), &wanted).await;
            complain(written, key);
        }
    }

    /// Writes the status of a Budget where that has changed.
    async fn show_budget(&self, key: &Key) {
        let found = self.known().budgets.get(key).map(|held| (held.budget.clone(), held.spending));
        let Some((budget, spending)) = found else { return };
        let wanted = status::of_budget(&budget, spending, Timestamp::now());
        if budget.status.as_ref() != Some(&wanted) {
            let written = self.write(&*budget, ObjectLabel::Budget, budget.status.as_ref(), &wanted).await;
            let before = budget.status.as_ref().and_then(|status| status.warned);
            // A warning that was not written comes again with the next look.
            if written.is_ok()
                && let Some(message) = status::warning(&budget, before, &wanted)
            {
                let event = Event { kind: EventKind::Warning, reason: Reason::BudgetWarning, action: "Warn", message };
                self.0.recorder.record_about(budget.object_ref(&()), &event, Timestamp::now());
            }
            complain(written, key);
        }
    }

    async fn write<S: serde::Serialize>(
        &self,
        object: &impl ResourceExt,
        kind: ObjectLabel,
        before: Option<&S>,
        wanted: &S,
    ) -> Result<(), ReconcileError> {
        let metadata = object.meta();
        let uid = metadata.uid.as_deref().unwrap_or_default();
        let version = metadata.resource_version.as_deref().unwrap_or_default();
        let patch = status_patch(uid, version, &to_json(before)?, &to_json(Some(wanted))?);
        let (namespace, name) = key_of(object);
        self.0.writer.catalogue_status_patch(&namespace, kind, &name, &patch).await
    }
}

fn complain(written: Result<(), ReconcileError>, key: &Key) {
    // A conflict means that a newer version is on its way, and with it another look.
    if let Err(error) = written {
        tracing::debug!(namespace = key.0, name = key.1, error = %error_chain(&error), "a status could not be written");
    }
}
