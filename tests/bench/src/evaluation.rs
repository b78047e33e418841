//! What judging in a pod of its own adds to a World, on a real node: for an ordinary repository, for one of many lines and for
//! one of many bytes.

use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::wait::await_condition;
use manyworlds_api::{WorkOrder, World, labels};
use manyworlds_tests::{Namespace, Result, orders};
use serde_json::json;

use crate::context::Bench;
use crate::figures::{Figure, Report, Target, percentile};
use crate::real;

/// The figures of this part. The memory of the Worlds with many lines is bounded to 300 MiB, and with it that of their judge.
pub const FIGURES: [Figure; 3] = [
    Figure { id: "evaluation_added_p50_s", unit: "s", target: Target::Below(1.5) },
    Figure { id: "evaluation_start_200k_lines_s", unit: "s", target: Target::Below(5.0) },
    Figure { id: "evaluation_start_1gb_s", unit: "s", target: Target::Below(60.0) },
];

/// The longest wait for a World with a large repository.
const PATIENCE: Duration = Duration::from_mins(8);

/// What a World's pods need.
struct Needs {
    memory: &'static str,
    disk: &'static str,
}

const ORDINARY: Needs = Needs { memory: "128Mi", disk: "512Mi" };
const MANY_LINES: Needs = Needs { memory: "300Mi", disk: "1Gi" };
const MANY_BYTES: Needs = Needs { memory: "1Gi", disk: "6Gi" };

/// The times at which something of one World was seen.
struct Seen {
    worked: Instant,
    gate_began: Instant,
    scored: Instant,
}

/// Measures it, where there is a cluster with a real node.
///
/// # Errors
///
/// When an order does not come to its end, or the part was asked for by name and there is no cluster for it.
pub async fn measure(bench: &Bench, report: &mut Report) -> Result {
    eprintln!("evaluation on a real node");
    let Some(cluster) = real::cluster(bench, FIGURES[0].id, report).await? else { return Ok(()) };
    let namespace = Namespace::new(&cluster, "bench").await?;
    if bench.wants(&FIGURES[..1]) {
        ordinary(bench, &namespace, report).await?;
    }
    let large = [(FIGURES[1], "lines", "many-lines", MANY_LINES), (FIGURES[2], "bytes", "many-bytes", MANY_BYTES)];
    for (figure, what, name, needs) in large {
        if bench.wants(&[figure]) {
            let repository = generated(bench, what)?;
            let seen = world(&namespace, name, &repository, &needs).await?;
            report.add(figure, (seen.gate_began - seen.worked).as_secs_f64());
            report.note(format!(
                "{name}: from the end of the pod that worked to the first gate, with {} of memory; its score was there after {:.2} s",
                needs.memory,
                (seen.scored - seen.worked).as_secs_f64()
            ));
        }
    }
    Ok(())
}

async fn ordinary(bench: &Bench, namespace: &Namespace, report: &mut Report) -> Result {
    world(namespace, "warm-up", &bench.settings.repository, &ORDINARY).await?;
    let mut seconds = Vec::new();
    for number in 0..bench.settings.first_output_orders {
        let seen = world(namespace, &format!("order-{number}"), &bench.settings.repository, &ORDINARY).await?;
        seconds.push((seen.scored - seen.worked).as_secs_f64());
    }
    report.add(FIGURES[0], percentile(&mut seconds, 50.0));
    report.note(format!(
        "evaluation: {} orders of one World, one after the other, from the end of the pod that worked to the score, with a gate \
         that does nothing; the slowest took {:.2} s",
        seconds.len(),
        percentile(&mut seconds, 100.0)
    ));
    Ok(())
}

/// Has the demo's git server serve a repository that is made for this, and returns its address.
fn generated(bench: &Bench, what: &str) -> Result<String> {
    let kubeconfig = bench.settings.real_kubeconfig.as_deref().ok_or("there is no kubeconfig")?;
    let made = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../demo/repository"))
        .args(["generated", what])
        .env("KUBECONFIG", kubeconfig)
        .output()?;
    if !made.status.success() {
        return Err(format!("tests/demo/repository generated {what}: {}", String::from_utf8_lossy(&made.stderr)).into());
    }
    Ok(String::from_utf8(made.stdout)?.trim().to_owned())
}

/// Makes an order of one World, and returns when its parts were seen; waits until the order is over.
async fn world(namespace: &Namespace, name: &str, repository: &str, needs: &Needs) -> Result<Seen> {
    let mut order = real::order(name, repository, &["sh", "-c", "echo done >CHANGES.md"]);
    order["spec"]["worlds"]["sizing"]["perWorld"] =
        json!({"cpu": "100m", "memory": needs.memory, "ephemeralStorage": needs.disk});
    let gate = json!({"name": "checks", "kind": "Custom", "points": 100, "command": ["true"]});
    order["spec"]["evaluation"] = json!({"gates": [gate]});
    let order: WorkOrder = serde_json::from_value(order)?;
    let (api, pods): (Api<WorkOrder>, Api<Pod>) = (namespace.api(), namespace.api());
    let worlds: Api<World> = namespace.api();
    orders::create(&api, &order).await?;
    let (pod, judge) = (labels::pod_name(name, "w1", 1), labels::evaluation_pod_name(name, "w1", 1, 1));
    let world = format!("{name}-w1");
    let worked = async {
        let over = |pod: Option<&Pod>| pod.is_some_and(|pod| phase(pod) == "Succeeded" || phase(pod) == "Failed");
        await_condition(pods.clone(), &pod, over).await?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Instant::now())
    };
    let gate_began = async {
        real::printed(&pods, &judge, labels::JUDGE, "gate checks:", PATIENCE).await?;
        Ok(Instant::now())
    };
    let scored = async {
        let over = |world: Option<&World>| {
            world.and_then(|world| world.status.as_ref()).is_some_and(|status| status.score.is_some())
        };
        await_condition(worlds, &world, over).await?;
        Ok(Instant::now())
    };
    let all = Box::pin(async { tokio::try_join!(worked, gate_began, scored) });
    let (worked, gate_began, scored) = tokio::time::timeout(PATIENCE, all).await??;
    let order = real::finished(&api, name).await?;
    if order.status.as_ref().is_none_or(|status| status.worlds.scored != 1) {
        return Err(format!("the World of {name} has no score: {:?}", order.status).into());
    }
    Ok(Seen { worked, gate_began, scored })
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}
