//! The wiring of the process: one view of the cluster, and the roles that read it.
//!
//! ```text
//! watches -> view (index, catalogue) -> gateway     (answers calls by view and ledger)
//!                                    -> api         (stores and serves artifacts)
//!                                    -> controller  (decides, and writes to the cluster)
//! ```

use std::future::{Future, pending, ready};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use manyworlds_gateway::WaitList;
use manyworlds_ledger::{Ledger, LedgerError, migrations};
use manyworlds_telemetry::{Metrics, start_logs};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::catalogue::{Catalogue, Key, budget, provider};
use crate::cluster::{Cluster, Writes};
use crate::failure::Failure;
use crate::health::{self, Readiness};
use crate::identity::Identities;
use crate::index::OrderKey;
use crate::models::Models;
use crate::network_policy::policies::Policies;
use crate::network_policy::watching as policy_watching;
use crate::reconcile::queue::{WorkQueue, work_queue};
use crate::roles::api::{self, ApiInputs};
use crate::roles::controller::{self, ControllerInputs};
use crate::roles::gateway::{self, GatewayInputs};
use crate::secrets::KnownSecrets;
use crate::settings::{Role, Settings};
use crate::shutdown::Shutdown;
use crate::view::View;
use crate::volumes::Volumes;
use crate::watch::watches::Watches;
use crate::work_order::watching;

/// The longest time for closing the ledger in a process without a gateway.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs the operator until SIGTERM or SIGINT.
///
/// # Errors
///
/// When the API server cannot be reached with the given credential, an address is in use, or the artifact folder
/// cannot be written.
pub fn run(settings: Settings) -> Result<(), Failure> {
    let secrets = KnownSecrets::default();
    start(settings, &secrets).map_err(|error| secrets.masked(error.as_ref()))
}

fn start(settings: Settings, secrets: &KnownSecrets) -> Result<(), Failure> {
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION"))?;
    if let Some(gateway) = &settings.gateway {
        secrets.note_address(&gateway.ledger);
    }
    start_logs(&settings.log, settings.log_format, secrets.mask(&metrics))?;
    // What a panic says goes the way of all that is said.
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    // One thread decides and writes: it keeps up with more events than one API server sends, and wakes no other.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(serve(settings, metrics, secrets.clone()));
    // A file that is being written may hold its thread for longer than anybody waits.
    runtime.shutdown_background();
    served
}

/// Starts the roles, then the watches, and waits for the end.
async fn serve(settings: Settings, metrics: Metrics, secrets: KnownSecrets) -> Result<(), Failure> {
    let (shutdown, readiness) = (Shutdown::default(), Readiness::default());
    let client = Client::try_default().await?;
    let cluster =
        Cluster { client: client.clone(), namespace: settings.watch_namespace.clone(), metrics: metrics.clone() };
    let writes = settings.has(Role::Controller).then(|| Writes::start(&cluster));
    let calls_models = settings.gateway.is_some() && (settings.has(Role::Gateway) || writes.is_some());
    let catalogue = if calls_models { Some(Catalogue::new(secrets)?) } else { None };
    let view = View::new(settings.shares.clone(), catalogue);
    let identities = Identities::new(client, view.index.clone());

    let listener = TcpListener::bind(settings.metrics_address).await?;
    let volumes = Volumes::of(&settings);
    let health =
        health::serve(listener, metrics.clone(), readiness.clone(), view.index.clone(), volumes, shutdown.token());
    shutdown.spawn("health", health);
    if settings.has(Role::Api) {
        api::start(ApiInputs {
            address: settings.api_address,
            artifacts: settings.artifacts.clone(),
            namespace: settings.watch_namespace.clone(),
            index: view.index.clone(),
            identities: identities.clone(),
            readiness: readiness.clone(),
            metrics: metrics.clone(),
            shutdown: shutdown.clone(),
        })
        .await?;
    }
    let models = start_models(&settings, &view, identities, &metrics, &shutdown).await?;
    let policies = writes.as_ref().and_then(|writes| Policies::of(&settings, writes.writer.clone()));
    let (orders, budgets, namespaces) = (work_queue(), work_queue(), work_queue());
    let queues = Queues { orders: orders.0.clone(), budgets: budgets.0.clone(), namespaces: namespaces.0.clone() };
    match writes.clone() {
        Some(writes) => controller::start(ControllerInputs {
            settings: settings.clone(),
            writes,
            index: view.index.clone(),
            models: models.clone(),
            orders,
            budgets,
            policies: policies.clone(),
            namespaces,
            readiness: readiness.clone(),
            metrics,
            shutdown: shutdown.clone(),
        }),
        // Nobody takes from the queues, so that nothing is kept that is put into them.
        None => drop((orders, budgets, namespaces)),
    }
    let watches = start_watches(&settings, cluster, writes, &view, policies, queues, &shutdown);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), roles = ?settings.roles, "the operator has started");

    let ended = until_end(watches, readiness, models.as_ref(), &shutdown).await;
    shutdown.finish(settings.shutdown_timeout).await;
    // The gateway closes the ledger of a process that has one.
    if let Some(models) = models.filter(|_| !settings.has(Role::Gateway)) {
        close(models.ledger).await;
    }
    ended
}

/// Starts the gateway, or opens the ledger for a controller alone.
async fn start_models(
    settings: &Settings,
    view: &View,
    identities: Identities,
    metrics: &Metrics,
    shutdown: &Shutdown,
) -> Result<Option<Models>, Failure> {
    let (Some(gateway), Some(catalogue)) = (settings.gateway.clone(), view.catalogue.clone()) else { return Ok(None) };
    let index = view.index.clone();
    if settings.has(Role::Gateway) {
        let (metrics, shutdown) = (metrics.clone(), shutdown.clone());
        let inputs = GatewayInputs { settings: gateway, index, catalogue, identities, metrics, shutdown };
        return gateway::start(inputs).await.map(Some);
    }
    migrations::up(&gateway.ledger).await?;
    let ledger = Ledger::open(&gateway.ledger, &gateway.writer, Timestamp::now()).await?;
    Ok(Some(Models { catalogue, ledger, index, waits: WaitList::default(), requirement: gateway.budgets }))
}

/// The work queues of the controller.
struct Queues {
    orders: WorkQueue<OrderKey>,
    budgets: WorkQueue<Key>,
    namespaces: WorkQueue<Arc<str>>,
}

/// Starts every watch. Keys of Providers are read in every process that calls models.
fn start_watches(
    settings: &Settings,
    cluster: Cluster,
    writes: Option<Writes>,
    view: &View,
    policies: Option<Policies>,
    queues: Queues,
    shutdown: &Shutdown,
) -> Watches {
    if let Some(catalogue) = &view.catalogue {
        // Who may not list them has no models, and everything else goes on.
        let (mut watches, providers) = (Watches::new(cluster.clone(), writes.clone()), work_queue());
        provider::watch(&mut watches, catalogue, providers.0.clone(), &cluster.metrics);
        budget::watch(&mut watches, catalogue, queues.budgets, &cluster.metrics);
        let account = settings.service_account.clone();
        let providers = provider::controller(&cluster, writes.clone(), catalogue, account, providers);
        shutdown.spawn("Providers", providers.run(ready(()), shutdown.token().cancelled_owned()));
    }
    let mut watches = watching::start(cluster, writes, view.index.clone(), queues.orders);
    if let Some(policies) = policies {
        policy_watching::watch(&mut watches, &policies, &queues.namespaces);
    }
    watches
}

/// Waits until the process has to end. It is ready as soon as the watches have seen everything that exists.
async fn until_end(
    watches: Watches,
    readiness: Readiness,
    models: Option<&Models>,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let listed = watches.listed();
    let becomes_ready = async move {
        listed.await;
        readiness.ready();
        pending::<()>().await;
    };
    tokio::select! {
        () = becomes_ready => Ok(()),
        () = signalled()? => {
            tracing::info!("told to end");
            Ok(())
        }
        // A part that has ended has said so.
        () = shutdown.token().cancelled_owned() => Err("a part of the operator has ended by itself".into()),
        watch = watches.ended() => {
            tracing::error!(ended = ?watch, "a watch has ended");
            Ok(())
        }
        error = must_end(models.map(|models| models.ledger.must_end())) => {
            tracing::error!(%error, "the operator ends, so that it is started anew");
            Err(error.into())
        }
    }
}

/// Resolves when this process may not write to the ledger any more.
async fn must_end(ledger: Option<impl Future<Output = LedgerError>>) -> LedgerError {
    match ledger {
        Some(ended) => ended.await,
        None => pending().await,
    }
}

async fn close(ledger: Ledger) {
    match tokio::time::timeout(CLOSE_TIMEOUT, ledger.close()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the ledger could not be closed"),
        Err(_) => tracing::warn!("the ledger was not closed in time"),
    }
}

/// Resolves when the process is told to end.
fn signalled() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
