//! From the request that makes an order to the first line of the worker's own output, on a real node.

use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use manyworlds_api::{WorkOrder, labels};
use manyworlds_tests::{LIMIT, Namespace, Result, orders};

use crate::context::Bench;
use crate::figures::{Figure, Report, Target, percentile};
use crate::real;

/// The figures of this part.
pub const FIGURES: [Figure; 1] = [Figure { id: "first_output_p50_s", unit: "s", target: Target::AtMost(3.0) }];

/// The first output of the worker.
const LINE: &str = "the worker has begun";

/// Measures it, where there is a cluster with a real node.
///
/// # Errors
///
/// When an order does not start, or the part was asked for by name and there is no cluster for it.
pub async fn measure(bench: &Bench, report: &mut Report) -> Result {
    eprintln!("first output on a real node");
    let Some(cluster) = real::cluster(bench, FIGURES[0].id, report).await? else { return Ok(()) };
    let namespace = Namespace::new(&cluster, "bench").await?;
    // The first order makes the namespace's policy, and warms what a user's node has long warmed.
    first_line(&namespace, "warm-up", &bench.settings.repository).await?;
    let mut seconds = Vec::new();
    for number in 0..bench.settings.first_output_orders {
        seconds.push(first_line(&namespace, &format!("order-{number}"), &bench.settings.repository).await?);
    }
    report.add(FIGURES[0], percentile(&mut seconds, 50.0));
    report.note(format!(
        "first output: {} orders of one World, one after the other; the slowest took {:.2} s",
        seconds.len(),
        percentile(&mut seconds, 100.0)
    ));
    Ok(())
}

/// Makes an order and returns the seconds until its worker's first line can be read; waits until the order is over.
async fn first_line(namespace: &Namespace, name: &str, repository: &str) -> Result<f64> {
    let command = ["sh", "-c", "echo \"$0\"; echo done >CHANGES.md", LINE];
    let order: WorkOrder = serde_json::from_value(real::order(name, repository, &command))?;
    let (api, pods): (Api<WorkOrder>, Api<Pod>) = (namespace.api(), namespace.api());
    let start = Instant::now();
    orders::create(&api, &order).await?;
    real::printed(&pods, &labels::pod_name(name, "w1", 1), labels::WORK, LINE, LIMIT).await?;
    let elapsed = start.elapsed();
    real::finished(&api, name).await?;
    Ok(elapsed.as_secs_f64())
}
