//! The operator: watches, gathers, lets the planner decide, writes, and serves artifacts.
//!
//! ```text
//! watch -> index -> gather -> (planner) -> apply -> publish
//! ```
//!
//! **Architecture invariant:** nothing in this crate decides; [`manyworlds_planner`] does. `apply` is the only writer of
//! Worlds and pods.

pub mod artifacts;
pub mod catalogue;
mod cluster;
mod errors;
mod health;
mod identity;
mod index;
mod kind;
pub mod ledger_command;
mod models;
mod reconcile;
mod requests;
mod secrets;
pub mod settings;
mod shutdown;
mod watch;
mod work_order;

use std::error::Error;
use std::future::Future;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use manyworlds_ledger::LedgerError;
use manyworlds_telemetry::{Metrics, start_logs};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use artifacts::{ArtifactApi, ArtifactStore};
use catalogue::Catalogue;
use cluster::Cluster;
use health::Readiness;
use identity::Identities;
use index::Index;
use models::{HistoryWriter, Models};
use reconcile::controller::Controller;
use reconcile::queue::work_queue;
use secrets::KnownSecrets;
use settings::Settings;
use shutdown::Shutdown;
use watch::watches::Watches;
use work_order::reconciler::OrderReconciler;

/// How long orders wait for Providers and Budgets to be listed.
const CATALOGUE_PATIENCE: Duration = Duration::from_secs(10);

/// What every part of the operator may fail with.
pub type Failure = Box<dyn Error + Send + Sync>;

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

async fn serve(settings: Settings, metrics: Metrics, secrets: KnownSecrets) -> Result<(), Failure> {
    let shutdown = Shutdown::default();
    let client = Client::try_default().await?;
    let readiness = Readiness::default();
    let index = Arc::new(Index::default());
    let store = ArtifactStore::open(&settings.artifacts)?;
    let cluster = Cluster::new(client.clone(), settings.watch_namespace.clone(), metrics.clone());

    let metrics_listener = TcpListener::bind(settings.metrics_address).await?;
    let api_listener = TcpListener::bind(settings.api_address).await?;
    let health = health::serve(metrics_listener, metrics.clone(), readiness.clone(), index.clone(), shutdown.token());
    shutdown.spawn("health", health);
    let identities = Identities::new(client.clone(), index.clone());
    let api = ArtifactApi::new(identities.clone(), index.clone(), store, metrics.clone());
    shutdown.spawn("artifacts", artifacts::serve(api_listener, api, shutdown.token()));

    let (queue, scheduled) = work_queue();
    let models = match &settings.gateway {
        Some(gateway) => {
            let catalogue = Catalogue::new(secrets.clone())?;
            let mut watches = Watches::new(cluster.clone());
            let account = settings.service_account.clone();
            let providers = catalogue::provider::controller(&mut watches, &cluster, &catalogue, account);
            let budgets = catalogue::budget::controller(&mut watches, &cluster, &catalogue);
            let stop = || shutdown.token().cancelled_owned();
            shutdown.spawn("Providers", providers.run(std::future::ready(()), stop()));
            shutdown.spawn("Budgets", budgets.run(std::future::ready(()), stop()));
            Some(models::start(gateway, catalogue, index.clone(), identities, metrics.clone(), &shutdown).await?)
        }
        None => None,
    };
    if let (Some(models), Some(gateway)) = (&models, &settings.gateway) {
        shutdown.spawn_until_end("maintenance", models::maintain(models.clone(), queue.clone(), gateway.retention));
    }
    let superseded = superseded(models.as_ref().map(|models| models.ledger.superseded()));
    let catalogue_listed = models.as_ref().map(|models| models.catalogue.until_listed());
    // It notes what changes from the first watch event on.
    let historian = historian(&settings, models.as_ref());
    let reconciler = OrderReconciler::new(cluster.clone(), index.clone(), &settings, queue.clone(), models);
    let orders = Controller::new(reconciler, (queue.clone(), scheduled), &metrics, settings.concurrency);
    let watches = work_order::watching::start(cluster, index, queue);
    if let Some(historian) = historian {
        let kept = historian.run(watches.listed(), settings.watch_namespace.clone());
        shutdown.spawn_until_end("history", kept);
    }
    let listed = watches.listed();
    let watched = async move {
        listed.await;
        readiness.ready();
    };
    let synced = synced(watched, catalogue_listed);
    shutdown.spawn("controller", orders.run(synced, shutdown.token().cancelled_owned()));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "the operator has started");

    let mut ended = Ok(());
    tokio::select! {
        () = told_to_end()? => tracing::info!("told to end"),
        () = shutdown.token().cancelled_owned() => {}
        watch = watches.ended() => tracing::error!(ended = ?watch, "a watch has ended"),
        error = superseded => {
            tracing::error!(%error, "the operator ends, so that it is started anew");
            ended = Err(error.into());
        }
    }
    shutdown.finish(settings.shutdown_timeout).await;
    ended
}

/// Resolves when another process writes to the ledger in the place of this one.
async fn superseded(ledger: Option<impl Future<Output = LedgerError>>) -> LedgerError {
    match ledger {
        Some(superseded) => superseded.await,
        None => std::future::pending().await,
    }
}

/// Resolves when all is seen that exists. Who may not list Providers or Budgets has no models, and orders that need none go on.
async fn synced(watches: impl Future<Output = ()>, catalogue: Option<impl Future<Output = ()>>) {
    watches.await;
    if let Some(catalogue) = catalogue
        && tokio::time::timeout(CATALOGUE_PATIENCE, catalogue).await.is_err()
    {
        tracing::error!("Providers and Budgets cannot be listed; until they are, no World calls a model");
    }
}

fn historian(settings: &Settings, models: Option<&Models>) -> Option<HistoryWriter> {
    let (gateway, models) = (settings.gateway.as_ref()?, models?);
    Some(HistoryWriter::new(models.ledger.clone(), models.index.clone(), gateway.retention, gateway.checkpoints))
}

fn told_to_end() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Prints an error with everything that caused it.
pub fn print_error(error: &(dyn Error + 'static)) {
    // Nothing is left to tell about a standard error that is closed.
    let _ = writeln!(std::io::stderr(), "manyworlds-operator: {}", manyworlds_api::errors::error_chain(error));
}
