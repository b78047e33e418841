//! The gateway's own thread: what the operator does for orders never makes a call wait.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::Client;
use manyworlds_gateway::{Clients, Gateway, WaitList};
use manyworlds_ledger::{Ledger, migrations};
use manyworlds_telemetry::{IntGauge, Metrics};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use super::Models;
use super::access::WorldAccess;
use crate::catalogue::Catalogue;
use crate::index::Index;
use crate::settings::GatewaySettings;
use crate::{Failure, Stop, stopped};

/// How long calls that are under way may go on after the operator was told to end. What is left then is settled at its upper
/// bound by the next one.
const DRAIN: Duration = Duration::from_secs(20);
/// How often it is looked whether they have ended.
const DRAIN_LOOK: Duration = Duration::from_millis(50);

/// A gateway that serves.
pub(crate) struct Serving {
    /// What is known of models.
    pub(crate) models: Models,
    thread: JoinHandle<()>,
}

impl Serving {
    /// Waits until the gateway has ended and its ledger is closed.
    pub(crate) fn join(self) {
        let Self { models, thread } = self;
        drop(models);
        if thread.join().is_err() {
            tracing::error!("the gateway's thread broke off");
        }
    }
}

/// Migrates and opens the ledger, and starts the gateway.
///
/// # Errors
///
/// When the ledger cannot be opened or the address is in use.
pub(crate) async fn start(
    settings: &GatewaySettings,
    catalogue: Catalogue,
    index: Arc<Index>,
    metrics: Metrics,
    stop: watch::Receiver<Stop>,
) -> Result<Serving, Failure> {
    migrations::up(&settings.ledger).await?;
    let waits = WaitList::default();
    let (opened, ledger) = oneshot::channel();
    let settings = settings.clone();
    let thread = thread::Builder::new().name("gateway".to_owned()).spawn({
        let known = Known { catalogue: catalogue.clone(), index: index.clone(), waits: waits.clone() };
        move || run(&settings, known, metrics, stop, opened)
    })?;
    let ledger = ledger.await??;
    Ok(Serving { models: Models { catalogue, ledger, index, waits }, thread })
}

/// What is known before the ledger is open.
struct Known {
    catalogue: Catalogue,
    index: Arc<Index>,
    waits: WaitList,
}

fn run(
    settings: &GatewaySettings,
    known: Known,
    metrics: Metrics,
    stop: watch::Receiver<Stop>,
    opened: oneshot::Sender<Result<Ledger, Failure>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(opened.send(Err(error.into()))),
    };
    runtime.block_on(async move {
        let running = metrics.llm_running.clone();
        let prepared = prepare(settings, known, metrics).await;
        match prepared {
            Ok((ledger, gateway, listener)) => {
                // Who asked may have given up, and then the process ends.
                let _ = opened.send(Ok(ledger.clone()));
                gateway.serve(listener, stopped(stop)).await;
                drained(&running).await;
                if let Err(error) = ledger.close().await {
                    tracing::warn!(%error, "the ledger could not be closed");
                }
            }
            Err(error) => drop(opened.send(Err(error))),
        }
    });
}

/// Waits until no call is under way, or for as long as the kubelet leaves time.
async fn drained(running: &IntGauge) {
    let end = Instant::now() + DRAIN;
    while running.get() > 0 && Instant::now() < end {
        tokio::time::sleep(DRAIN_LOOK).await;
    }
}

async fn prepare(
    settings: &GatewaySettings,
    known: Known,
    metrics: Metrics,
) -> Result<(Ledger, Gateway<WorldAccess>, TcpListener), Failure> {
    let clients = Clients::new(settings.certificates.as_deref())?;
    let client = Client::try_default().await?;
    let listener = TcpListener::bind(settings.address).await?;
    let ledger = Ledger::open(&settings.ledger, &settings.writer, Timestamp::now()).await?;
    let Known { catalogue, index, waits } = known;
    let models = Models { catalogue, ledger: ledger.clone(), index, waits: waits.clone() };
    let access = WorldAccess::new(models, client, settings.cache_scope);
    let gateway = Gateway::new(access, ledger.clone(), metrics, clients, settings.cache_bytes, waits);
    Ok((ledger, gateway, listener))
}
