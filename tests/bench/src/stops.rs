//! Calls that reach a model after its World was stopped: suspended, cancelled, deleted, or out of money.
//!
//! Each trial is an order with one World on a fake node. This program takes the World's part: it asks the API server for a
//! token that is bound to the World's pod, and calls the model without a pause through the gateway of the operator, on two
//! connections. Then the order is stopped. What reaches the scripted model from the moment at which the resources show that
//! the operator has seen the stop is what is counted; the callers go on for a second after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use manyworlds_api::{WorkOrder, labels};
use manyworlds_tests::played::{RUNS, runs, token};
use manyworlds_tests::{LIMIT, Namespace, Result, eventually, orders, resources};
use manyworlds_upstream::{Script, Upstream};
use serde_json::{Value, json};

use crate::context::Bench;
use crate::figures::{Figure, Report, Target};
use crate::gateway::load::{Connection, Manner, Server};

/// The figures of this part.
pub const FIGURES: [Figure; 1] = [Figure { id: "calls_after_stop", unit: "calls", target: Target::Exactly(0.0) }];

/// The way in which an order is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Suspend,
    Cancel,
    Delete,
    Budget,
}

const STOPS: [Stop; 4] = [Stop::Suspend, Stop::Cancel, Stop::Delete, Stop::Budget];
/// Trials of each.
const TRIALS: usize = 100;
/// Trials at the same time.
const AT_ONCE: usize = 16;
/// Connections of a World.
const CONNECTIONS: usize = 2;
/// Models of one Provider.
const MODELS: usize = 50;
/// Some seven calls of 140 millionths of a dollar.
const BUDGET: &str = "0.001";
/// The time for which callers go on after the stop was seen.
const AFTER: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(2);

/// The result of a trial, in calls that reached the model.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    /// After the operator had seen the stop.
    after: u64,
    /// Between the API server's answer to the stop and that moment.
    between: u64,
}

/// Measures it.
///
/// # Errors
///
/// When an order does not start, or a stop is not seen.
pub async fn measure(bench: &Bench, report: &mut Report) -> Result {
    eprintln!("{TRIALS} stops of {} kinds", STOPS.len());
    let reply = json!({"text": "It is done.", "usage": {"input": 100, "output": 20}});
    let script = json!({"models": {"*": [{"reply": reply}]}});
    let upstream = Upstream::start(Script::read(&script.to_string())?).await?;
    let namespace = bench.namespace().await?;
    let operator = bench.operator().await?;
    let trials: Vec<_> = STOPS.iter().flat_map(|stop| [*stop; TRIALS]).collect();
    for provider in 0..trials.len().div_ceil(MODELS) {
        resources::apply(&bench.cluster.client, &provider_of(&namespace, &upstream, provider)).await?;
    }
    let world = World { namespace: &namespace, upstream: &upstream, gateway: operator.gateway().to_owned() };
    let numbered = trials.iter().enumerate().map(|(number, stop)| world.trial(number, *stop));
    let outcomes: Vec<Result<Outcome>> = futures::stream::iter(numbered).buffer_unordered(AT_ONCE).collect().await;
    let outcomes = outcomes.into_iter().collect::<Result<Vec<_>>>()?;
    let after: u64 = outcomes.iter().map(|outcome| outcome.after).sum();
    let between: u64 = outcomes.iter().map(|outcome| outcome.between).sum();
    report.add(FIGURES[0], f64::from(u32::try_from(after)?));
    report.note(format!(
        "{} stops with {} calls before; {between} calls between the API server's answer to a stop and the operator's having seen it",
        outcomes.len(),
        upstream.count(),
    ));
    operator.kill()?;
    bench.clear(namespace).await
}

fn model(number: usize) -> String {
    format!("trial-{number}")
}

fn provider_of(namespace: &Namespace, upstream: &Upstream, number: usize) -> Value {
    let models: Vec<_> = (number * MODELS..(number + 1) * MODELS)
        .map(|number| json!({"name": model(number), "prices": {"input": "1.00", "output": "2.00"}}))
        .collect();
    json!({
        "apiVersion": "manyworlds.dev/v1alpha1",
        "kind": "Provider",
        "metadata": {"name": format!("provider-{number}"), "namespace": namespace.name},
        "spec": {
            "protocol": "OpenAI",
            "baseUrl": format!("{}/v1", upstream.url()),
            "models": models,
            "limits": {"requestsPerMinute": 1_000_000, "tokensPerMinute": 1_000_000_000},
        },
    })
}

/// The parts that all trials share.
struct World<'a> {
    namespace: &'a Namespace,
    upstream: &'a Upstream,
    gateway: String,
}

impl World<'_> {
    async fn trial(&self, number: usize, stop: Stop) -> Result<Outcome> {
        let name = format!("stop-{number}");
        self.create(&name, number, stop).await?;
        let pod = labels::pod_name(&name, "w1", 1);
        let token = token(self.namespace, &runs(self.namespace, &pod).await?, labels::GATEWAY_AUDIENCE).await?;
        let server = Server { address: self.gateway.clone(), key: token };
        let ends = Arc::new(AtomicBool::new(false));
        let callers: Vec<_> =
            (0..CONNECTIONS).map(|_| tokio::spawn(calls(server.clone(), model(number), ends.clone()))).collect();
        let count = || self.upstream.count_of(&model(number));
        eventually(&format!("{name} calls"), LIMIT, async || Ok((count() > 3).then_some(()))).await?;
        self.stop(&name, stop).await?;
        let acknowledged = count();
        self.seen(&name, &pod, stop).await?;
        let seen = count();
        tokio::time::sleep(AFTER).await;
        let after = count() - seen;
        ends.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.await?;
        }
        if after > 0 {
            eprintln!("{stop:?}: {after} calls of {name} came late");
        }
        // Without money there is nothing that the API server could have answered to.
        let between = if stop == Stop::Budget { 0 } else { seen - acknowledged };
        Ok(Outcome { after, between })
    }

    async fn create(&self, name: &str, number: usize, stop: Stop) -> Result {
        let mut order = serde_json::to_value(orders::fake(name, 1)?)?;
        order["spec"]["worker"]["model"] = json!(model(number));
        order["spec"]["worker"]["podTemplate"]["annotations"][RUNS] = json!("true");
        if stop == Stop::Budget {
            order["spec"]["budget"] = json!({"maxCost": BUDGET});
        }
        orders::create(&self.namespace.api(), &serde_json::from_value(order)?).await.map(drop)
    }

    async fn stop(&self, name: &str, stop: Stop) -> Result {
        let orders: Api<WorkOrder> = self.namespace.api();
        let field = match stop {
            Stop::Suspend => "suspend",
            Stop::Cancel => "cancel",
            Stop::Delete => return Ok(orders.delete(name, &DeleteParams::background()).await.map(drop)?),
            // It comes by itself.
            Stop::Budget => return Ok(()),
        };
        let patch = Patch::Merge(json!({"spec": {field: true}}));
        Ok(orders.patch(name, &PatchParams::default(), &patch).await.map(drop)?)
    }

    /// Waits until the resources show that the operator has seen the stop.
    async fn seen(&self, name: &str, pod: &str, stop: Stop) -> Result {
        let orders: Api<WorkOrder> = self.namespace.api();
        let pods: Api<Pod> = self.namespace.api();
        let wanted = match stop {
            Stop::Suspend => "Suspended",
            Stop::Cancel => "Cancelled",
            Stop::Budget => "BudgetExhausted",
            // An order that is gone shows nothing; its pod goes with it, by the garbage collector or by the operator.
            Stop::Delete => {
                return eventually(&format!("{pod} goes"), LIMIT, async || {
                    let found = pods.get_opt(pod).await?;
                    Ok(found.is_none_or(|pod| pod.metadata.deletion_timestamp.is_some()).then_some(()))
                })
                .await;
            }
        };
        eventually(&format!("{name} is stopped"), LIMIT, async || {
            let status = orders.get(name).await?.status.unwrap_or_default();
            Ok((status.summary.as_deref() == Some(wanted)).then_some(()))
        })
        .await
    }
}

/// Calls without a pause until it is told to end. A refusal is no reason to give up.
async fn calls(server: Server, model: String, ends: Arc<AtomicBool>) {
    let mut connection = None;
    while !ends.load(Ordering::Relaxed) {
        if connection.is_none() {
            connection = Connection::open_for(&server, Manner::Whole, &model).await.ok();
        }
        let answered = match &mut connection {
            Some(connection) => connection.call().await.is_ok(),
            None => false,
        };
        if !answered {
            tokio::time::sleep(PAUSE).await;
            connection = None;
        }
    }
}
