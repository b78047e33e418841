//! The role `controller`: brings WorkOrders forward, shows what Providers and Budgets have used, and writes the history. It alone
//! can write to the cluster, so that one process at a time may be given this role.

use std::future::{Future, ready};
use std::sync::Arc;
use std::time::Duration;

use manyworlds_telemetry::Metrics;

use crate::catalogue::{Key, budget};
use crate::cluster::Writes;
use crate::health::Readiness;
use crate::index::{Index, OrderKey};
use crate::models::{HistoryWriter, Models, maintain};
use crate::network_policy::policies::Policies;
use crate::network_policy::watching;
use crate::reconcile::controller::Controller;
use crate::reconcile::queue::{Scheduled, WorkQueue};
use crate::settings::{GatewaySettings, Settings};
use crate::shutdown::Shutdown;
use crate::work_order::reconciler::OrderReconciler;

/// The longest wait of orders for the list of Providers and Budgets.
const CATALOGUE_TIMEOUT: Duration = Duration::from_secs(10);

/// The inputs of the role.
pub(crate) struct ControllerInputs {
    /// The settings of the process.
    pub(crate) settings: Settings,
    /// The right to write to the cluster.
    pub(crate) writes: Writes,
    /// Orders, Worlds, pods and nodes.
    pub(crate) index: Arc<Index>,
    /// The ledger, with Providers and Budgets; absent where Worlds call no models.
    pub(crate) models: Option<Models>,
    /// The orders that the watches have seen change.
    pub(crate) orders: (WorkQueue<OrderKey>, Scheduled<OrderKey>),
    /// The Budgets that the watches have seen change.
    pub(crate) budgets: (WorkQueue<Key>, Scheduled<Key>),
    /// The Worlds' network policies; `None` where somebody else keeps them.
    pub(crate) policies: Option<Policies>,
    /// The namespaces whose policy the watch has seen change.
    pub(crate) namespaces: (WorkQueue<Arc<str>>, Scheduled<Arc<str>>),
    /// Whether the watches have seen everything that exists.
    pub(crate) readiness: Readiness,
    /// Counts.
    pub(crate) metrics: Metrics,
    /// Ends the role.
    pub(crate) shutdown: Shutdown,
}

/// Starts every loop of the role. This comes before the watches start: history has what changes from their first event on.
pub(crate) fn start(inputs: ControllerInputs) {
    let ControllerInputs {
        settings,
        writes,
        index,
        models,
        orders,
        budgets,
        policies,
        namespaces,
        readiness,
        metrics,
        shutdown,
    } = inputs;
    let stop = || shutdown.token().cancelled_owned();
    if let (Some(models), Some(gateway)) = (&models, &settings.gateway) {
        let budgets = budget::controller(writes.clone(), &metrics, &models.catalogue, budgets);
        shutdown.spawn("Budgets", budgets.run(ready(()), stop()));
        let maintenance = maintain(models.clone(), orders.0.clone(), gateway.retention);
        shutdown.spawn_until_end("maintenance", maintenance);
        let history = history(models, gateway).run(readiness.until_ready(), settings.watch_namespace.clone());
        shutdown.spawn_until_end("history", history);
    }
    let synced = synced(readiness.until_ready(), models.as_ref().map(|models| models.catalogue.until_listed()));
    if let Some(policies) = policies.clone() {
        let synced = watching::synced(readiness.until_ready(), index.clone(), namespaces.0.clone());
        let policies = watching::controller(policies, index.clone(), namespaces, &metrics);
        shutdown.spawn("NetworkPolicies", policies.run(synced, stop()));
    }
    let queue = orders.0.clone();
    let reconciler = OrderReconciler::new(writes, &metrics, index, &settings, queue, models, policies);
    let orders = Controller::new(reconciler, orders, &metrics, settings.concurrency);
    shutdown.spawn("WorkOrders", orders.run(synced, stop()));
}

fn history(models: &Models, settings: &GatewaySettings) -> HistoryWriter {
    HistoryWriter::new(models.ledger.clone(), models.index.clone(), settings.retention, settings.checkpoints)
}

/// Resolves when everything that exists has been seen. An operator that may not list Providers or Budgets has no models, and
/// orders that need none go on.
async fn synced(watches: impl Future<Output = ()>, catalogue: Option<impl Future<Output = ()>>) {
    watches.await;
    if let Some(listed) = catalogue
        && tokio::time::timeout(CATALOGUE_TIMEOUT, listed).await.is_err()
    {
        tracing::error!("Providers and Budgets cannot be listed; until they are, no World calls a model");
    }
}
