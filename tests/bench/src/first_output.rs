//! From the request that makes an order to the first line of the worker's own output, on a real node.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::{AsyncBufReadExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use manyworlds_api::{WorkOrder, labels};
use manyworlds_tests::{Cluster, LIMIT, Namespace, Result, eventually, orders};
use serde_json::json;

use crate::context::Bench;
use crate::figures::{Figure, Report, Target, percentile};

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
    let cluster = match real(bench.settings.real_kubeconfig.as_deref()).await {
        Ok(cluster) => cluster,
        Err(error) if bench.settings.only.is_empty() => {
            report.note(format!("first_output_p50_s was not measured: {error}"));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
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

async fn real(kubeconfig: Option<&Path>) -> Result<Cluster> {
    let kubeconfig = kubeconfig.ok_or("MANYWORLDS_TEST_KUBECONFIG names no cluster with a real node")?;
    if !kubeconfig.is_file() {
        return Err(format!(
            "there is no {}; `make install` starts a cluster and installs Manyworlds",
            kubeconfig.display()
        )
        .into());
    }
    Cluster::from_file(kubeconfig).await
}

/// Makes an order and returns the seconds until its worker's first line can be read; waits until the order is over.
async fn first_line(namespace: &Namespace, name: &str, repository: &str) -> Result<f64> {
    let mut order = orders::smallest(name);
    order["spec"]["source"]["git"]["url"] = json!(repository);
    order["spec"]["worlds"] = json!({
        "variants": [{"name": "w1"}],
        "sizing": {"perWorld": {"cpu": "100m", "memory": "128Mi", "ephemeralStorage": "512Mi"}},
    });
    let command = ["sh", "-c", "echo \"$0\"; echo done >CHANGES.md", LINE];
    order["spec"]["worker"] = json!({"plugin": "command", "command": command});
    let order: WorkOrder = serde_json::from_value(order)?;
    let (api, pods): (Api<WorkOrder>, Api<Pod>) = (namespace.api(), namespace.api());
    let start = Instant::now();
    orders::create(&api, &order).await?;
    let pod = labels::pod_name(name, "w1", 1);
    let elapsed = eventually("the worker has printed its first line", LIMIT, || async {
        let follow = LogParams { container: Some(labels::WORK.to_owned()), follow: true, ..LogParams::default() };
        let mut lines = pods.log_stream(&pod, &follow).await?.lines();
        while let Some(line) = lines.next().await {
            if line?.contains(LINE) {
                return Ok(Some(start.elapsed()));
            }
        }
        Ok::<Option<Duration>, _>(None)
    })
    .await?;
    eventually(&format!("{name} is finished"), LIMIT, || async {
        Ok(api.get(name).await?.is_finished().then_some(()))
    })
    .await?;
    Ok(elapsed.as_secs_f64())
}
