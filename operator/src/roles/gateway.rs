//! The role `gateway`: answers the model calls of Worlds, on a thread of its own. Nothing that another role does makes a call
//! wait.

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

use crate::catalogue::Catalogue;
use crate::failure::Failure;
use crate::identity::Identities;
use crate::index::Index;
use crate::models::{Models, WorldAccess};
use crate::settings::GatewaySettings;
use crate::shutdown::Shutdown;

/// The interval at which the gateway checks whether the calls under way have ended.
const DRAIN_INTERVAL: Duration = Duration::from_millis(50);

/// The inputs of the role.
pub(crate) struct GatewayInputs {
    /// Its settings and those of the ledger.
    pub(crate) settings: GatewaySettings,
    /// Orders, Worlds and pods.
    pub(crate) index: Arc<Index>,
    /// Providers and Budgets.
    pub(crate) catalogue: Catalogue,
    /// Answers whose token a call shows.
    pub(crate) identities: Identities,
    /// Counts.
    pub(crate) metrics: Metrics,
    /// Ends the role.
    pub(crate) shutdown: Shutdown,
}

/// Migrates and opens the ledger, and starts to serve. Returns what another role of the process shares with the gateway. The
/// process waits until the gateway has closed the ledger.
///
/// # Errors
///
/// When the ledger cannot be opened or the address is in use.
pub(crate) async fn start(inputs: GatewayInputs) -> Result<Models, Failure> {
    migrations::up(&inputs.settings.ledger).await?;
    let (opened, models) = oneshot::channel();
    let (stop, held) = (inputs.shutdown.token(), inputs.shutdown.hold());
    thread::Builder::new().name("gateway".to_owned()).spawn(move || {
        // A gateway that breaks off ends the process.
        let ends_the_process = stop.clone().drop_guard();
        run(inputs, stop, opened);
        drop((ends_the_process, held));
    })?;
    models.await?
}

fn run(inputs: GatewayInputs, stop: CancellationToken, opened: oneshot::Sender<Result<Models, Failure>>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(opened.send(Err(error.into()))),
    };
    runtime.block_on(async move {
        let (running, drain) = (inputs.metrics.llm_running.clone(), inputs.settings.drain);
        match prepare(inputs).await {
            Ok((models, gateway, listener)) => {
                let ledger = models.ledger.clone();
                // The process may have given up, and then it ends.
                let _ = opened.send(Ok(models));
                gateway.serve(listener, stop.cancelled_owned()).await;
                drained(&running, drain).await;
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
        tokio::time::sleep(DRAIN_INTERVAL).await;
    }
}

async fn prepare(inputs: GatewayInputs) -> Result<(Models, Gateway<WorldAccess>, TcpListener), Failure> {
    let GatewayInputs { settings, index, catalogue, identities, metrics, shutdown: _ } = inputs;
    let clients = Clients::new(settings.certificates.as_deref())?;
    // The connections of a client belong to the thread that made it.
    let identities = identities.through(Client::try_default().await?);
    let listener = TcpListener::bind(settings.address).await?;
    let ledger = Ledger::open(&settings.ledger, &settings.writer, Timestamp::now()).await?;
    let waits = WaitList::default();
    let requirement = settings.budgets;
    let models = Models { catalogue, ledger: ledger.clone(), index, waits: waits.clone(), requirement };
    let access = WorldAccess::new(models.clone(), identities, settings.cache_scope);
    let gateway = Gateway::new(access, ledger, metrics, clients, settings.cache_bytes, waits);
    Ok((models, gateway, listener))
}
