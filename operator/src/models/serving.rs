//! The gateway's own thread: what the operator does for orders never makes a call wait.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::Client;
use manyworlds_gateway::{Clients, Gateway, WaitList};
use manyworlds_ledger::{Ledger, migrations};
use manyworlds_telemetry::{IntGauge, Metrics};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::access::WorldAccess;
use super::ledger_view::Models;
use crate::Failure;
use crate::catalogue::Catalogue;
use crate::identity::Identities;
use crate::index::Index;
use crate::settings::GatewaySettings;
use crate::shutdown::Shutdown;

/// How often the gateway checks whether the calls that are under way have ended.
const DRAIN_LOOK: Duration = Duration::from_millis(50);

/// Migrates and opens the ledger, and starts the gateway. The process waits for it until its ledger is closed.
///
/// # Errors
///
/// When the ledger cannot be opened or the address is in use.
pub(crate) async fn start(
    settings: &GatewaySettings,
    catalogue: Catalogue,
    index: Arc<Index>,
    identities: Identities,
    metrics: Metrics,
    shutdown: &Shutdown,
) -> Result<Models, Failure> {
    migrations::up(&settings.ledger).await?;
    let waits = WaitList::default();
    let (opened, ledger) = oneshot::channel();
    let settings = settings.clone();
    let (stop, held) = (shutdown.token(), shutdown.hold());
    thread::Builder::new().name("gateway".to_owned()).spawn({
        let known = Known { catalogue: catalogue.clone(), index: index.clone(), waits: waits.clone(), identities };
        move || {
            // A gateway that breaks off ends the process.
            let ends_the_process = stop.clone().drop_guard();
            run(&settings, known, metrics, stop, opened);
            drop((ends_the_process, held));
        }
    })?;
    let ledger = ledger.await??;
    Ok(Models { catalogue, ledger, index, waits })
}

/// What is known before the ledger is open.
struct Known {
    catalogue: Catalogue,
    index: Arc<Index>,
    waits: WaitList,
    identities: Identities,
}

fn run(
    settings: &GatewaySettings,
    known: Known,
    metrics: Metrics,
    stop: CancellationToken,
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
                gateway.serve(listener, stop.cancelled_owned()).await;
                drained(&running, settings.drain).await;
                if let Err(error) = ledger.close().await {
                    tracing::warn!(%error, "the ledger could not be closed");
                }
            }
            Err(error) => drop(opened.send(Err(error))),
        }
    });
}

/// Waits until no call is under way, or for as long as calls may go on. What is left then is settled at its upper bound by the
/// next process.
async fn drained(running: &IntGauge, drain: Duration) {
    let end = Instant::now() + drain;
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
    let Known { catalogue, index, waits, identities } = known;
    let models = Models { catalogue, ledger: ledger.clone(), index, waits: waits.clone() };
    let access = WorldAccess::new(models, identities.through(client), settings.cache_scope);
    let gateway = Gateway::new(access, ledger.clone(), metrics, clients, settings.cache_bytes, waits);
    Ok((ledger, gateway, listener))
}
