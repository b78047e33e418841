//! The pod of one attempt of a World: prepare, work and evaluate.

use k8s_openapi::api::core::v1::{Container, EnvVar, ResourceRequirements, SecretVolumeSource, Volume, VolumeMount};
use manyworlds_api::object::Stored;
use manyworlds_api::order_document::{OrderDocument, OrderIdentity};
use manyworlds_api::work_order::{PodTemplate, Variant};
use manyworlds_api::{WorkOrder, World, labels};

use super::common::{common_labels, longest_life};
use super::pod::{
    Access, Attempt, OwnerlessPod, Parts, container, empty_directory, extra_mount, extra_volume, mount, pod_of,
    resources, token_volume, variable,
};
use super::world::{command, variables};
use crate::node_resources::Resources;
use crate::role::WORK;
use crate::snapshot::Settings;

/// The lifetime of a World's token; the kubelet renews it.
const TOKEN_SECONDS: i64 = 3600;

const ORDER_VOLUME: &str = "order";
const RUNNER_VOLUME: &str = "runner";
const WORK_VOLUME: &str = "work";
const EVALUATION_VOLUME: &str = "evaluation";
const TOKEN_VOLUME: &str = "token";
const GATEWAY_TOKEN_VOLUME: &str = "gateway-token";
const CREDENTIAL_VOLUME: &str = "repository-credential";

/// Returns the pod of one attempt of a World.
///
/// - **Shape:** to be owned by the World, which need not exist yet.
/// - **Guarantees:** holds no secret but the repository's in `prepare`, and no token that the API server accepts.
pub fn pod(order: &Stored<WorkOrder>, world: &World, attempt: i32, settings: &Settings) -> OwnerlessPod {
    let order_name = order.name();
    let variant = world.spec.variant.name.as_str();
    let template = order.spec.worker.pod_template.clone().unwrap_or_default();
    let environment = environment(order, world, attempt, settings);
    let resources = resources(&world.spec.blueprint.resources);
    let parts = Parts {
        stages: vec![
            prepare(order, world, &environment, &resources, settings),
            work(world, &template, &environment, &resources, settings),
            evaluate(order, world, &template, &environment, &resources),
        ],
        volumes: volumes(order, world, &template, settings),
    };
    let attempt = Attempt {
        role: &WORK,
        name: labels::pod_name(order_name, variant, attempt),
        owner: labels::world_name(order_name, variant),
        number: attempt,
        labels: common_labels(order_name, variant),
    };
    pod_of(order, attempt, parts)
}

fn environment(order: &Stored<WorkOrder>, world: &World, attempt: i32, settings: &Settings) -> Vec<EnvVar> {
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
fn with_disk(environment: &[EnvVar], world: &World) -> Vec<EnvVar> {
    let mut env = environment.to_vec();
    if let Ok(room) = Resources::of_world(&world.spec.blueprint.resources) {
        env.push(variable(labels::ENV_DISK_BYTES, &room.storage.to_string()));
    }
    env
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

fn prepare(
    order: &Stored<WorkOrder>,
    world: &World,
    environment: &[EnvVar],
    resources: &ResourceRequirements,
    settings: &Settings,
) -> Container {
    let mut env = environment.to_vec();
    let json = serde_json::to_string(&document(order, world)).unwrap_or_default();
    env.push(variable(labels::ENV_ORDER, &json));
    let mut mounts = vec![
        mount(ORDER_VOLUME, labels::ORDER_DIRECTORY, Access::Write),
        mount(RUNNER_VOLUME, labels::RUNNER_DIRECTORY, Access::Write),
        mount(WORK_VOLUME, labels::WORK_DIRECTORY, Access::Write),
        mount(&scratch(labels::PREPARE), "/tmp", Access::Write),
        mount(TOKEN_VOLUME, labels::TOKEN_DIRECTORY, Access::Read),
    ];
    if order.spec.source.git.secret_ref.is_some() {
        mounts.push(mount(CREDENTIAL_VOLUME, labels::CREDENTIAL_DIRECTORY, Access::Read));
    }
    let program = format!("/{}", labels::RUNNER_FILE);
    container(labels::PREPARE, &settings.runner_image, program, env, mounts, resources)
}

/// Returns where the gateway is, for a World that has a model.
fn gateway<'a>(world: &World, settings: &'a Settings) -> Option<&'a str> {
    world.model().and(settings.gateway_url.as_deref())
}

fn work(
    world: &World,
    template: &PodTemplate,
    environment: &[EnvVar],
    resources: &ResourceRequirements,
    settings: &Settings,
) -> Container {
    let mut mounts = vec![
        mount(ORDER_VOLUME, labels::ORDER_DIRECTORY, Access::Read),
        mount(RUNNER_VOLUME, labels::RUNNER_DIRECTORY, Access::Read),
        mount(WORK_VOLUME, labels::WORK_DIRECTORY, Access::Write),
        mount(&scratch(labels::WORK), "/tmp", Access::Write),
    ];
    mounts.extend(template.volumes.iter().map(extra_mount));
    let mut env = with_disk(environment, world);
    if let Some(url) = gateway(world, settings) {
        env.push(variable(labels::ENV_GATEWAY_URL, url));
        mounts.push(mount(GATEWAY_TOKEN_VOLUME, labels::GATEWAY_TOKEN_DIRECTORY, Access::Read));
    }
    let program = format!("{}/{}", labels::RUNNER_DIRECTORY, labels::RUNNER_FILE);
    container(labels::WORK, &world.spec.blueprint.image, program, env, mounts, resources)
}

fn evaluate(
    order: &WorkOrder,
    world: &World,
    template: &PodTemplate,
    environment: &[EnvVar],
    resources: &ResourceRequirements,
) -> Container {
    let mut mounts = vec![
        mount(ORDER_VOLUME, labels::ORDER_DIRECTORY, Access::Read),
        mount(RUNNER_VOLUME, labels::RUNNER_DIRECTORY, Access::Read),
        mount(WORK_VOLUME, labels::WORK_DIRECTORY, Access::Read),
        mount(EVALUATION_VOLUME, labels::EVALUATION_DIRECTORY, Access::Write),
        mount(&scratch(labels::EVALUATE), "/tmp", Access::Write),
        mount(TOKEN_VOLUME, labels::TOKEN_DIRECTORY, Access::Read),
    ];
    mounts.extend(template.volumes.iter().map(|volume| VolumeMount { read_only: Some(true), ..extra_mount(volume) }));
    let env = with_disk(environment, world);
    let program = format!("{}/{}", labels::RUNNER_DIRECTORY, labels::RUNNER_FILE);
    let image = order.spec.evaluation.image.as_ref().unwrap_or(&world.spec.blueprint.image);
    container(labels::EVALUATE, image, program, env, mounts, resources)
}

/// Returns the name of a container's own `/tmp`: stages do not share one, so that none can plant files for the next.
fn scratch(container: &str) -> String {
    format!("{container}-tmp")
}

fn volumes(order: &WorkOrder, world: &World, template: &PodTemplate, settings: &Settings) -> Vec<Volume> {
    let limit = &world.spec.blueprint.resources.ephemeral_storage;
    let own = [ORDER_VOLUME, RUNNER_VOLUME, WORK_VOLUME, EVALUATION_VOLUME].map(str::to_owned);
    let scratches = [labels::PREPARE, labels::WORK, labels::EVALUATE].map(scratch);
    let mut volumes: Vec<Volume> =
        own.into_iter().chain(scratches).map(|name| empty_directory(name, Some(limit.clone()))).collect();
    volumes.push(token_volume(TOKEN_VOLUME, labels::TOKEN_AUDIENCE, TOKEN_SECONDS));
    if gateway(world, settings).is_some() {
        // A worker that others wrote reads a variable once, and never the file that is renewed.
        let seconds = TOKEN_SECONDS.max(longest_life(order));
        volumes.push(token_volume(GATEWAY_TOKEN_VOLUME, labels::GATEWAY_AUDIENCE, seconds));
    }
    if let Some(secret) = &order.spec.source.git.secret_ref {
        volumes.push(Volume {
            name: CREDENTIAL_VOLUME.to_owned(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(secret.name.clone()),
                // A missing Secret would hold the pod up without a word; prepare says what is missing instead.
                optional: Some(true),
                default_mode: Some(0o440),
                items: None,
            }),
            ..Volume::default()
        });
    }
    volumes.extend(template.volumes.iter().map(extra_volume));
    volumes
}
