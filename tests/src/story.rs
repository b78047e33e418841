//! The pods and Events of a namespace in which a test waited in vain: the machine of a failed run is gone by then.

use k8s_openapi::api::core::v1::{ContainerStatus, Event, Node, Pod};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use manyworlds_api::WorkOrder;

use crate::Result;

/// The most Events that are told.
const EVENTS: usize = 20;

/// Tells how orders, pods, Events and nodes stand, one line each.
///
/// # Errors
///
/// Whatever the API server says.
pub async fn story(client: &Client, namespace: &str) -> Result<String> {
    let all = ListParams::default();
    let pods = Api::<Pod>::namespaced(client.clone(), namespace).list(&all).await?;
    let mut events = Api::<Event>::namespaced(client.clone(), namespace).list(&all).await?.items;
    events
        .sort_by_key(|event| event.metadata.resource_version.as_ref().and_then(|version| version.parse::<u64>().ok()));
    let nodes = Api::<Node>::all(client.clone()).list(&all).await?;
    let latest = events.iter().skip(events.len().saturating_sub(EVENTS));
    let orders = Api::<WorkOrder>::namespaced(client.clone(), namespace).list(&all).await?;
    let lines = orders
        .iter()
        .map(order)
        .chain(pods.iter().map(pod))
        .chain(latest.map(event))
        .chain(nodes.iter().filter_map(node));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

fn order(order: &WorkOrder) -> String {
    let status = order.status.clone().unwrap_or_default();
    format!("order {} {:?}: {}", order.name_any(), status.summary, status.message.unwrap_or_default())
}

fn pod(pod: &Pod) -> String {
    let status = pod.status.clone().unwrap_or_default();
    let initial = status.init_container_statuses.unwrap_or_default();
    let usual = status.container_statuses.unwrap_or_default();
    let containers: Vec<_> = initial.iter().chain(&usual).map(container).collect();
    let unmet = status.conditions.unwrap_or_default().into_iter().filter(|condition| condition.status != "True");
    let unmet: Vec<_> =
        unmet.map(|condition| format!("{}: {}", condition.type_, condition.message.unwrap_or_default())).collect();
    let phase = status.phase.unwrap_or_default();
    format!("pod {} {phase} [{}] not [{}]", pod.name_any(), containers.join(", "), unmet.join("; "))
}

fn container(status: &ContainerStatus) -> String {
    let state = status.state.clone().unwrap_or_default();
    let (word, detail) = match (state.waiting, state.terminated) {
        (Some(waiting), _) => (waiting.reason.unwrap_or_default(), waiting.message.unwrap_or_default()),
        (_, Some(ended)) => (format!("exit {}", ended.exit_code), ended.message.unwrap_or_default()),
        _ => (if status.ready { "ready" } else { "not ready" }.to_owned(), String::new()),
    };
    format!("{}: {word} {detail}", status.name)
}

fn event(event: &Event) -> String {
    let (name, reason) = (event.involved_object.name.as_deref(), event.reason.as_deref());
    let count = event.count.unwrap_or(1);
    let words = event.message.as_deref().unwrap_or_default();
    format!("event {} {} ({count}): {words}", name.unwrap_or_default(), reason.unwrap_or_default())
}

/// Tells of a node that something is wrong with.
fn node(node: &Node) -> Option<String> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref())?;
    let taints: Vec<_> = taints.iter().map(|taint| taint.key.as_str()).collect();
    (!taints.is_empty()).then(|| format!("node {} is tainted: {}", node.name_any(), taints.join(", ")))
}
