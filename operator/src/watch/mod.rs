//! Watches: they keep the index up to date and wake the orders that something happened to.

mod records;
mod replacement;
mod slim;
mod unreadable;
#[cfg(test)]
mod unreadable_tests;

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::select_all;
use k8s_openapi::api::core::v1::Node;
use kube::api::Api;
use kube::runtime::watcher::{self, Event};
use kube::{Client, Resource};
use manyworlds_api::{WorkOrder, World, labels};
use manyworlds_planner::observation::Urgency;
use manyworlds_telemetry::{Metrics, ObjectLabel};
use serde::de::DeserializeOwned;
use tokio::sync::watch as state;
use tokio::task::JoinHandle;

use crate::events::Recorder;
use crate::health::Readiness;
use crate::index::{Index, Touched};
use crate::queue::Wakes;
use crate::requests::Writer;
use crate::settings::Settings;
pub(crate) use records::PodRecord;
use records::observed_node;
use replacement::{Known, Replacement};
pub(crate) use slim::Slim;
pub(crate) use unreadable::{Guarded, Reporter, Unreadable};
use unreadable::{Source, is_unreadable};

/// How long an order is left alone after a pod has merely come further: less than a stage lasts that is shown.
const ROUTINE: Duration = Duration::from_secs(1);

/// The running watches.
pub(crate) struct Watches {
    tasks: Vec<JoinHandle<()>>,
    synced: Vec<state::Receiver<bool>>,
    readiness: Readiness,
}

impl Watches {
    /// Resolves when every watch has seen everything that exists.
    pub(crate) fn synced(&self) -> impl Future<Output = ()> + Send + use<> {
        let receivers = self.synced.clone();
        let readiness = self.readiness.clone();
        async move {
            for mut receiver in receivers {
                // An error means that the watch has ended, and so will the process.
                let _ = receiver.wait_for(|synced| *synced).await;
            }
            readiness.ready();
        }
    }

    /// Resolves when one of them has ended, which none does as long as the process runs.
    pub(crate) async fn ended(self) -> Result<(), tokio::task::JoinError> {
        select_all(self.tasks).await.0
    }
}

/// What a watch does with what it sees.
trait Observer: Send + Sync + 'static {
    type Object: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + 'static;
    const KIND: ObjectLabel;
    /// How long an order is left alone after something of this kind has ended or gone wrong, so that what happens at the
    /// same moment to several of its Worlds is one look at the order and not several.
    const COALESCE: Duration;

    fn seen(&self, object: Self::Object) -> (Touched, Urgency);
    fn gone(&self, object: &Known) -> Touched;
}

/// Starts every watch.
pub(crate) fn start(
    client: &Client,
    settings: &Settings,
    index: Arc<Index>,
    told: Told,
    readiness: Readiness,
) -> Watches {
    let mut watches = Watches { tasks: Vec::new(), synced: Vec::new(), readiness };
    let mine = format!("{}={},{}", labels::MANAGED_BY, labels::MANAGER, labels::WORK_ORDER);
    let everything = watcher::Config::default();
    let labelled = watcher::Config::default().labels(&mine);
    let nodes =
        Source { direct: Api::all(client.clone()), guarded: Api::all(client.clone()), config: everything.clone() };
    let starter = Starter { told };
    starter.start(&mut watches, nodes, Nodes(index.clone()));
    starter.start(&mut watches, source(client, settings, labelled.clone()), Pods(index.clone()));
    starter.start(&mut watches, source(client, settings, labelled), Worlds(index.clone()));
    starter.start(&mut watches, source(client, settings, everything), Orders(index));
    watches
}

/// Whom the watches tell what they see.
#[derive(Clone)]
pub(crate) struct Told {
    /// Orders to be looked at.
    pub(crate) wakes: Wakes,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// Events about what cannot be read.
    pub(crate) events: Recorder,
    /// Shows on an order that it cannot be read.
    pub(crate) writer: Writer,
}

fn source<K>(client: &Client, settings: &Settings, config: watcher::Config) -> Source<K>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
{
    Source { direct: scoped(client, settings), guarded: scoped(client, settings), config }
}

fn scoped<K>(client: &Client, settings: &Settings) -> Api<K>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
{
    match &settings.watch_namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

struct Starter {
    told: Told,
}

impl Starter {
    fn start<O: Observer>(&self, watches: &mut Watches, source: Source<O::Object>, observer: O) {
        let (sender, receiver) = state::channel(false);
        watches.synced.push(receiver);
        watches.tasks.push(tokio::spawn(observe(source, observer, self.told.clone(), sender)));
    }
}

async fn observe<O: Observer>(
    source: Source<O::Object>,
    observer: O,
    Told { wakes, metrics, events: recorder, writer }: Told,
    synced: state::Sender<bool>,
) {
    let mut reporter = Reporter::new(writer, recorder, metrics.clone());
    let (mut events, mut guarded) = (source.direct(), false);
    let mut replacement = Replacement::default();
    while let Some(event) = events.next().await {
        let (touched, urgency) = match event {
            Ok(event) => {
                let done = matches!(event, Event::InitDone);
                let noted = note(&observer, &mut replacement, &mut reporter, event).await;
                if done {
                    synced.send_replace(true);
                }
                noted
            }
            Err(error) => {
                metrics.watch_errors.with_label_values(&[O::KIND.as_str()]).inc();
                tracing::warn!(kind = O::KIND.as_str(), error = %manyworlds_api::errors::error_chain(&error), "a watch broke; it is taken up again");
                if is_unreadable(&error) && !guarded {
                    (events, guarded) = (source.guarded(), true);
                }
                continue;
            }
        };
        let rest = match urgency {
            Urgency::Now => O::COALESCE,
            Urgency::Routine => ROUTINE,
        };
        for key in touched {
            wakes.after(key, rest);
        }
    }
}

async fn note<O: Observer>(
    observer: &O,
    replacement: &mut Replacement,
    reporter: &mut Reporter,
    event: Event<Guarded<O::Object>>,
) -> (Touched, Urgency) {
    let touched = match event {
        Event::Init => {
            replacement.begin();
            Vec::new()
        }
        Event::InitApply(object) | Event::Apply(object) => {
            replacement.seen(object.meta());
            match object.0 {
                Ok(object) => {
                    reporter.well(object.meta());
                    return observer.seen(object);
                }
                Err(unreadable) => {
                    reporter.tell::<O::Object>(O::KIND, &unreadable).await;
                    Vec::new()
                }
            }
        }
        Event::Delete(object) => {
            replacement.gone(object.meta());
            reporter.well(object.meta());
            observer.gone(&Known::of(object.meta()))
        }
        Event::InitDone => replacement.end().iter().flat_map(|known| observer.gone(known)).collect(),
    };
    (touched, Urgency::Now)
}

struct Orders(Arc<Index>);

impl Observer for Orders {
    type Object = Slim<WorkOrder>;
    const KIND: ObjectLabel = ObjectLabel::WorkOrder;
    const COALESCE: Duration = Duration::ZERO;

    fn seen(&self, Slim(order): Slim<WorkOrder>) -> (Touched, Urgency) {
        (self.0.order_seen(order), Urgency::Now)
    }

    fn gone(&self, object: &Known) -> Touched {
        self.0.order_gone(&object.to_metadata())
    }
}

struct Worlds(Arc<Index>);

impl Observer for Worlds {
    type Object = Slim<World>;
    const KIND: ObjectLabel = ObjectLabel::World;
    const COALESCE: Duration = Duration::from_millis(5);

    fn seen(&self, Slim(world): Slim<World>) -> (Touched, Urgency) {
        (self.0.world_seen(world), Urgency::Now)
    }

    fn gone(&self, object: &Known) -> Touched {
        self.0.world_gone(&object.to_metadata())
    }
}

struct Pods(Arc<Index>);

impl Observer for Pods {
    type Object = PodRecord;
    const KIND: ObjectLabel = ObjectLabel::Pod;
    const COALESCE: Duration = Duration::from_millis(5);

    fn seen(&self, pod: PodRecord) -> (Touched, Urgency) {
        let Some((key, pod)) = pod.into_observed() else { return (Vec::new(), Urgency::Routine) };
        let urgency = pod.urgency();
        (self.0.pod_seen(&key, pod), urgency)
    }

    fn gone(&self, object: &Known) -> Touched {
        object.order().map_or_else(Vec::new, |key| self.0.pod_gone(&key, &object.name, &object.uid, object.version))
    }
}

struct Nodes(Arc<Index>);

impl Observer for Nodes {
    type Object = Node;
    const KIND: ObjectLabel = ObjectLabel::Node;
    const COALESCE: Duration = Duration::ZERO;

    fn seen(&self, node: Node) -> (Touched, Urgency) {
        (self.0.node_seen(observed_node(node)), Urgency::Now)
    }

    fn gone(&self, object: &Known) -> Touched {
        self.0.node_gone(&object.name)
    }
}
