//! Orders on a real node.

use std::path::Path;
use std::time::Duration;

use futures::{AsyncBufReadExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use manyworlds_api::WorkOrder;
use manyworlds_tests::{Cluster, LIMIT, Result, eventually, orders};
use serde_json::{Value, json};

use crate::context::Bench;
use crate::figures::Report;

/// Returns the cluster with a real node; none, with a note, where there is none and nobody asked for this part by name.
///
/// # Errors
///
/// When the part was asked for by name and there is no cluster for it.
pub async fn cluster(bench: &Bench, figure: &str, report: &mut Report) -> Result<Option<Cluster>> {
    match connect(bench.settings.real_kubeconfig.as_deref()).await {
        Ok(cluster) => Ok(Some(cluster)),
        Err(error) if bench.settings.only.is_empty() => {
            report.note(format!("{figure} was not measured: {error}"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn connect(kubeconfig: Option<&Path>) -> Result<Cluster> {
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

/// Returns an order of one World whose worker runs a command.
pub fn order(name: &str, repository: &str, command: &[&str]) -> Value {
    let mut order = orders::smallest(name);
    order["spec"]["source"]["git"]["url"] = json!(repository);
    order["spec"]["worlds"] = json!({
        "variants": [{"name": "w1"}],
        "sizing": {"perWorld": {"cpu": "100m", "memory": "128Mi", "ephemeralStorage": "512Mi"}},
    });
    order["spec"]["worker"] = json!({"plugin": "command", "command": command});
    order
}

/// Waits until a container of a pod has printed a text.
///
/// # Errors
///
/// When that takes too long.
pub async fn printed(pods: &Api<Pod>, pod: &str, container: &str, text: &str, limit: Duration) -> Result {
    eventually(&format!("{container} of {pod} has printed {text:?}"), limit, || async {
        let follow = LogParams { container: Some(container.to_owned()), follow: true, ..LogParams::default() };
        let mut lines = pods.log_stream(pod, &follow).await?.lines();
        while let Some(line) = lines.next().await {
            if line?.contains(text) {
                return Ok(Some(()));
            }
        }
        Ok::<Option<()>, Box<dyn std::error::Error + Send + Sync>>(None)
    })
    .await
}

/// Waits until an order is over.
///
/// # Errors
///
/// When that takes too long.
pub async fn finished(orders: &Api<WorkOrder>, name: &str) -> Result<WorkOrder> {
    eventually(&format!("{name} is finished"), LIMIT, || async {
        let order = orders.get(name).await?;
        Ok(order.is_finished().then_some(order))
    })
    .await
}
