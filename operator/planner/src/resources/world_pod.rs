//! The parts that the pods of a World share, whether they work or judge.

use k8s_openapi::api::core::v1::EnvVar;
use manyworlds_api::object::Stored;
use manyworlds_api::order_document::{OrderDocument, OrderIdentity};
use manyworlds_api::work_order::Variant;
use manyworlds_api::{WorkOrder, World, labels};

use super::pod::variable;
use super::world::{command, variables};
use crate::node_resources::Resources;
use crate::snapshot::Settings;

/// The lifetime of a World's token; the kubelet renews it.
pub(super) const TOKEN_SECONDS: i64 = 3600;

pub(super) const ORDER_VOLUME: &str = "order";
pub(super) const RUNNER_VOLUME: &str = "runner";
pub(super) const TOKEN_VOLUME: &str = "token";

/// Returns the environment that every container of a World has.
pub(super) fn environment(order: &Stored<WorkOrder>, world: &World, attempt: i32, settings: &Settings) -> Vec<EnvVar> {
    [
        (labels::ENV_NAMESPACE, order.namespace().to_owned()),
        (labels::ENV_WORK_ORDER, order.name().to_owned()),
        (labels::ENV_WORLD, world.spec.variant.name.clone()),
        (labels::ENV_ATTEMPT, attempt.to_string()),
        (labels::ENV_SERVICE_URL, settings.service_url.clone()),
        ("HOME", "/tmp".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| variable(name, &value))
    .collect()
}

/// Returns the environment with the disk that the stage may fill: the runner ends who fills it before the node evicts the
/// whole pod.
pub(super) fn with_disk(environment: &[EnvVar], world: &World) -> Vec<EnvVar> {
    let mut env = environment.to_vec();
    if let Ok(room) = Resources::of_world(&world.spec.blueprint.resources) {
        env.push(variable(labels::ENV_DISK_BYTES, &room.storage.to_string()));
    }
    env
}

/// Returns the environment with the order document, for the stage that writes it to where the others read it.
pub(super) fn with_order(environment: &[EnvVar], order: &Stored<WorkOrder>, world: &World) -> Vec<EnvVar> {
    let json = serde_json::to_string(&document(order, world)).unwrap_or_default();
    let mut env = environment.to_vec();
    env.push(variable(labels::ENV_ORDER, &json));
    env
}

/// Returns the path of the runner's program, where the first stage of a pod has put it.
pub(super) fn runner() -> String {
    format!("{}/{}", labels::RUNNER_DIRECTORY, labels::RUNNER_FILE)
}

/// Returns the path of the runner's program in its own image.
pub(super) fn runner_of_image() -> String {
    format!("/{}", labels::RUNNER_FILE)
}

/// Returns the name of a container's own `/tmp`: stages do not share one, so that none can plant files for the next.
pub(super) fn scratch(container: &str) -> String {
    format!("{container}-tmp")
}

/// Returns the order as a World's worker reads it: with itself as the only agent, every value resolved.
fn document(order: &Stored<WorkOrder>, world: &World) -> OrderDocument {
    let identity = OrderIdentity {
        namespace: order.namespace().to_owned(),
        name: order.name().to_owned(),
        uid: order.uid().to_string(),
    };
    let mut spec = order.spec.clone();
    let name = &world.spec.variant.name;
    // The texts are the order's: what is known of a World may lack them, and neither ever changes.
    let own = order.spec.worlds.variants.iter().find(|variant| variant.name == *name);
    spec.worlds.variants = vec![Variant {
        name: name.clone(),
        model: world.model().map(str::to_owned),
        temperature: world.temperature(),
        prompt: own.and_then(|variant| variant.prompt.clone()),
        weight: None,
        worker: None,
    }];
    spec.worker.plugin.clone_from(&world.spec.blueprint.plugin);
    spec.worker.command = command(order, own);
    spec.worker.env = variables(order, own);
    spec.worker.pod_template = None;
    OrderDocument::new(identity, spec)
}
