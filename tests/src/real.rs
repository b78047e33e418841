//! Orders whose pods really run, with the operator that `make install` has put into the cluster.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerStatus, Namespace as NamespaceResource, Pod};
use kube::Api;
use kube::api::{Patch, PatchParams};
use manyworlds_api::{WorkOrder, WorkOrderStatus, World, WorldStatus};
use serde_json::{Value, json};

use crate::{Cluster, Namespace, Result, orders};

/// The repository that `make install` serves in the cluster.
const REPOSITORY: &str = "http://git.manyworlds-demo.svc/xmltodict.git";
/// The longest order of real pods on a busy machine with two cores.
pub const LIMIT: Duration = Duration::from_mins(4);
/// The time within which an order must say that something is wrong, once it can be known.
pub const SHOWN_WITHIN: Duration = Duration::from_secs(10);

/// Makes a namespace that enforces the restricted Pod Security Standard: a World's pod that asked for more would not be made.
///
/// # Errors
///
/// Whatever the API server says.
pub async fn restricted(purpose: &str) -> Result<(Cluster, Namespace)> {
    let cluster = Cluster::any().await?;
    let namespace = Namespace::new(&cluster, purpose).await?;
    let label = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    Api::<NamespaceResource>::all(cluster.client.clone())
        .patch(&namespace.name, &PatchParams::default(), &Patch::Merge(&label))
        .await?;
    Ok((cluster, namespace))
}

/// Returns the manifest of an order of one World, `alpha`, whose worker is a shell script and has one attempt.
pub fn order(name: &str, script: &str) -> Value {
    json!({
        "apiVersion": "manyworlds.dev/v1alpha1",
        "kind": "WorkOrder",
        "metadata": {"name": name},
        "spec": {
            "source": {"git": {"url": REPOSITORY, "revision": "main"}},
            "task": {"title": "Try it"},
            "worlds": {
                "variants": [{"name": "alpha"}],
                "sizing": {"perWorld": {"cpu": "100m", "memory": "256Mi", "ephemeralStorage": "1Gi"}},
            },
            "worker": {
                "plugin": "command",
                "image": "docker.io/manyworlds/worker-python:0.1.0",
                "command": ["sh", "-c", script],
                "phaseTimeouts": {"coding": "60s", "testing": "60s"},
            },
            "retry": {"maxAttempts": 1},
        },
    })
}

/// Makes an order from its manifest.
///
/// # Errors
///
/// When the manifest is no WorkOrder, or whatever the API server says.
pub async fn create(namespace: &Namespace, order: &Value) -> Result<WorkOrder> {
    orders::create(&namespace.api(), &serde_json::from_value(order.clone())?).await
}

/// Waits until an order is over and returns its status.
///
/// # Errors
///
/// When that takes longer than [`LIMIT`].
pub async fn finished(namespace: &Namespace, name: &str) -> Result<WorkOrderStatus> {
    let api: Api<WorkOrder> = namespace.api();
    namespace
        .eventually(&format!("{name} is finished"), LIMIT, || async {
            let order = api.get(name).await?;
            Ok(if order.is_finished() { order.status } else { None })
        })
        .await
}

/// Waits until the worker of a World's pod runs.
///
/// # Errors
///
/// When that takes longer than [`LIMIT`].
pub async fn works(namespace: &Namespace, pod: &str) -> Result {
    let pods: Api<Pod> = namespace.api();
    namespace
        .eventually(&format!("the worker of {pod} runs"), LIMIT, || async {
            let statuses = pods.get(pod).await?.status.and_then(|status| status.init_container_statuses);
            let works = |status: &ContainerStatus| status.name == "work" && status.started == Some(true);
            Ok(statuses.is_some_and(|statuses| statuses.iter().any(works)).then_some(()))
        })
        .await
}

/// Waits until the gates of a pod that judges run.
///
/// # Errors
///
/// When that takes longer than [`LIMIT`].
pub async fn judges(namespace: &Namespace, pod: &str) -> Result {
    let pods: Api<Pod> = namespace.api();
    namespace
        .eventually(&format!("the gates of {pod} run"), LIMIT, || async {
            let statuses = pods.get_opt(pod).await?.and_then(|pod| pod.status?.container_statuses);
            let runs = |status: &ContainerStatus| status.name == "judge" && status.started == Some(true);
            Ok(statuses.is_some_and(|statuses| statuses.iter().any(runs)).then_some(()))
        })
        .await
}

/// Returns the status of a World.
///
/// # Errors
///
/// Whatever the API server says.
pub async fn world(namespace: &Namespace, name: &str) -> Result<WorldStatus> {
    let api: Api<World> = namespace.api();
    Ok(api.get(name).await?.status.unwrap_or_default())
}

/// Returns the reason and the message of a condition of an order, with its status.
///
/// # Errors
///
/// Whatever the API server says, or when the order has no such condition yet.
pub async fn condition(namespace: &Namespace, name: &str, kind: &str) -> Result<(String, String, String)> {
    let order = namespace.api::<WorkOrder>().get(name).await?;
    let conditions = order.status.map(|status| status.conditions).unwrap_or_default();
    let found = conditions.into_iter().find(|condition| condition.type_ == kind);
    let found = found.ok_or_else(|| format!("the order {name} has no condition {kind}"))?;
    Ok((found.status, found.reason, found.message))
}
