//! Watches: they keep the index up to date and wake the orders that something happened to.

mod records;
mod replacement;

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::select_all;
use k8s_openapi::api::core::v1::Node;
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Resource};
use manyworlds_api::{WorkOrder, World, labels};
use manyworlds_planner::observation::Urgency;
use manyworlds_telemetry::{Metrics, Written};
use serde::de::DeserializeOwned;
use tokio::sync::watch as state;
use tokio::task::JoinHandle;

use crate::health::Readiness;
use crate::index::{Index, Touched};
use crate::queue::Wakes;
use crate::settings::Settings;
pub(crate) use records::PodRecord;
use records::observed_node;
use replacement::{Known, Replacement};

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
trait Observer: Send + 'static {
    type Object: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + 'static;
    const KIND: Written;
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
    wakes: Wakes,
    metrics: Metrics,
    readiness: Readiness,
) -> Watches {
    let mut watches = Watches { tasks: Vec::new(), synced: Vec::new(), readiness };
    let mine = format!("{}={},{}", labels::MANAGED_BY, labels::MANAGER, labels::WORK_ORDER);
    let everything = watcher::Config::default();
    let labelled = watcher::Config::default().labels(&mine);
    let starter = Starter { wakes, metrics };
    starter.start(&mut watches, Api::all(client.clone()), everything.clone(), Nodes(index.clone()));
    starter.start(&mut watches, scoped(client, settings), labelled.clone(), Pods(index.clone()));
    starter.start(&mut watches, scoped(client, settings), labelled, Worlds(index.clone()));
    starter.start(&mut watches, scoped(client, settings), everything, Orders(index));
    watches
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
    wakes: Wakes,
    metrics: Metrics,
}

impl Starter {
    fn start<O: Observer>(&self, watches: &mut Watches, api: Api<O::Object>, config: watcher::Config, observer: O) {
        let (sender, receiver) = state::channel(false);
        watches.synced.push(receiver);
        let (wakes, metrics) = (self.wakes.clone(), self.metrics.clone());
        watches.tasks.push(tokio::spawn(observe(api, config, observer, wakes, metrics, sender)));
    }
}

async fn observe<O: Observer>(
    api: Api<O::Object>,
    config: watcher::Config,
    observer: O,
    wakes: Wakes,
    metrics: Metrics,
    synced: state::Sender<bool>,
) {
    let mut events = watcher(api, config).default_backoff().boxed();
    let mut replacement = Replacement::default();
    while let Some(event) = events.next().await {
        let (touched, urgency) = match event {
            Ok(event) => {
                let done = matches!(event, Event::InitDone);
                let noted = note(&observer, &mut replacement, event);
                if done {
                    synced.send_replace(true);
                }
                noted
            }
            Err(error) => {
                metrics.watch_errors.with_label_values(&[O::KIND.as_str()]).inc();
                tracing::warn!(kind = O::KIND.as_str(), error = %crate::errors::chain(&error), "a watch broke; it is taken up again");
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

fn note<O: Observer>(observer: &O, replacement: &mut Replacement, event: Event<O::Object>) -> (Touched, Urgency) {
    let touched = match event {
        Event::Init => {
            replacement.begin();
            Vec::new()
        }
        Event::InitApply(object) | Event::Apply(object) => {
            replacement.seen(object.meta());
            return observer.seen(object);
        }
        Event::Delete(object) => {
            replacement.gone(object.meta());
            observer.gone(&Known::of(object.meta()))
        }
        Event::InitDone => replacement.end().iter().flat_map(|known| observer.gone(known)).collect(),
    };
    (touched, Urgency::Now)
}

struct Orders(Arc<Index>);

impl Observer for Orders {
    type Object = WorkOrder;
    const KIND: Written = Written::WorkOrder;
    const COALESCE: Duration = Duration::ZERO;

    fn seen(&self, mut order: WorkOrder) -> (Touched, Urgency) {
        order.metadata.managed_fields = None;
        if let Some(annotations) = &mut order.metadata.annotations {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
        (self.0.order_seen(order), Urgency::Now)
    }

    fn gone(&self, object: &Known) -> Touched {
        self.0.order_gone(&object.to_metadata())
    }
}

struct Worlds(Arc<Index>);

impl Observer for Worlds {
    type Object = World;
    const KIND: Written = Written::World;
    const COALESCE: Duration = Duration::from_millis(5);

    fn seen(&self, mut world: World) -> (Touched, Urgency) {
        world.metadata.managed_fields = None;
        (self.0.world_seen(world), Urgency::Now)
    }

    fn gone(&self, object: &Known) -> Touched {
        self.0.world_gone(&object.to_metadata())
    }
}

struct Pods(Arc<Index>);

impl Observer for Pods {
    type Object = PodRecord;
    const KIND: Written = Written::Pod;
    const COALESCE: Duration = Duration::from_millis(5);

    fn seen(&self, pod: PodRecord) -> (Touched, Urgency) {
        let Some((key, pod)) = pod.into_observed() else { return (Vec::new(), Urgency::Routine) };
        let urgency = pod.urgency();
        (self.0.pod_seen(&key, pod), urgency)
    }

    fn gone(&self, object: &Known) -> Touched {
        object.order().map_or_else(Vec::new, |key| self.0.pod_gone(&key, &object.name, &object.uid))
    }
}

struct Nodes(Arc<Index>);

impl Observer for Nodes {
    type Object = Node;
    const KIND: Written = Written::Node;
    const COALESCE: Duration = Duration::ZERO;

    fn seen(&self, node: Node) -> (Touched, Urgency) {
        (self.0.node_seen(observed_node(node)), Urgency::Now)
    }

    fn gone(&self, object: &Known) -> Touched {
        self.0.node_gone(&object.name)
    }
}
