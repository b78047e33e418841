//! The running watches.

use std::future::Future;

use futures::StreamExt;
use futures::future::select_all;
use kube::api::Api;
use kube::core::NamespaceResourceScope;
use kube::runtime::watcher::{Config, Event};
use kube::{Client, Resource};
use manyworlds_telemetry::Metrics;
use tokio::sync::watch as state;
use tokio::task::{JoinError, JoinHandle};

use super::deleted::DeletedObject;
use super::guarded::{Guarded, Source, is_unreadable};
use super::observer::Observer;
use super::replacement::Replacement;
use super::reporter::Reporter;
use crate::cluster::{Cluster, Writes};
use crate::kind::Kind;
use manyworlds_api::errors::error_chain;

/// The running watches.
pub(crate) struct Watches {
    cluster: Cluster,
    writes: Option<Writes>,
    tasks: Vec<JoinHandle<()>>,
    listed: Vec<state::Receiver<bool>>,
}

impl Watches {
    /// Begins without any. They show on objects that these cannot be read, where the cluster may be written to.
    pub(crate) fn new(cluster: Cluster, writes: Option<Writes>) -> Self {
        Self { cluster, writes, tasks: Vec::new(), listed: Vec::new() }
    }

    /// Starts to watch objects in the namespaces that are worked on.
    pub(crate) fn start<O>(&mut self, config: Config, observer: O)
    where
        O: Observer,
        O::Object: Resource<Scope = NamespaceResourceScope>,
    {
        self.spawn(Source { direct: self.cluster.api(), guarded: self.cluster.api(), config }, observer);
    }

    /// Starts to watch the objects of a kind that has no namespaces.
    pub(crate) fn start_cluster_wide<O: Observer>(&mut self, observer: O) {
        let client = || -> Client { self.cluster.client.clone() };
        let source = Source { direct: Api::all(client()), guarded: Api::all(client()), config: Config::default() };
        self.spawn(source, observer);
    }

    fn spawn<O: Observer>(&mut self, source: Source<O::Object>, observer: O) {
        let (sender, receiver) = state::channel(false);
        let reporter = Reporter::start::<O::Object>(self.cluster.metrics.clone(), self.writes.clone());
        self.listed.push(receiver);
        self.tasks.push(tokio::spawn(observe(source, observer, reporter, self.cluster.metrics.clone(), sender)));
    }

    /// Resolves when every watch has seen everything that exists.
    pub(crate) fn listed(&self) -> impl Future<Output = ()> + Send + use<> {
        let receivers = self.listed.clone();
        async move {
            for mut receiver in receivers {
                // An error means that the watch has ended, and so will the process.
                let _ = receiver.wait_for(|listed| *listed).await;
            }
        }
    }

    /// Resolves when one of them has ended, which none does as long as the process runs.
    pub(crate) async fn ended(self) -> Result<(), JoinError> {
        select_all(self.tasks).await.0
    }
}

async fn observe<O: Observer>(
    source: Source<O::Object>,
    observer: O,
    mut reporter: Reporter,
    metrics: Metrics,
    listed: state::Sender<bool>,
) {
    let kind = O::Object::LABEL.as_str();
    let mut replacement = Replacement::default();
    let (mut events, mut is_guarded) = (source.direct(), false);
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                let done = matches!(event, Event::InitDone);
                take_over(&observer, &mut replacement, &mut reporter, event);
                if done {
                    listed.send_replace(true);
                }
            }
            Err(error) => {
                metrics.watch_errors.with_label_values(&[kind]).inc();
                tracing::warn!(kind, error = %error_chain(&error), "a watch broke; it is taken up again");
                if is_unreadable(&error) && !is_guarded {
                    (events, is_guarded) = (source.guarded(), true);
                }
            }
        }
    }
}

fn take_over<O: Observer>(
    observer: &O,
    replacement: &mut Replacement,
    reporter: &mut Reporter,
    event: Event<Guarded<O::Object>>,
) {
    match event {
        Event::Init => replacement.begin(),
        Event::InitApply(object) | Event::Apply(object) => {
            replacement.applied(object.meta());
            match object.0 {
                Ok(object) => {
                    reporter.clear(object.meta());
                    observer.on_applied(object);
                }
                Err(unreadable) => {
                    reporter.report::<O::Object>(&unreadable);
                    observer.on_unreadable(&unreadable);
                }
            }
        }
        Event::Delete(object) => {
            replacement.deleted(object.meta());
            reporter.clear(object.meta());
            if let Some(deleted) = DeletedObject::of(object.meta()) {
                observer.on_deleted(&deleted);
            }
        }
        Event::InitDone => {
            replacement.end().iter().for_each(|deleted| observer.on_deleted(deleted));
            observer.on_listed();
        }
    }
}
