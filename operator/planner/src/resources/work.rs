//! The pod in which an attempt of a World works: prepare, work and collect.

use k8s_openapi::api::core::v1::{Container, EnvVar, ResourceRequirements, SecretVolumeSource, Volume};
use manyworlds_api::object::Stored;
use manyworlds_api::work_order::PodTemplate;
use manyworlds_api::{WorkOrder, World, labels};

use super::common::{common_labels, longest_life};
use super::pod::{
    Access, Attempt, OwnerlessPod, Parts, container, empty_directory, extra_mount, extra_volume, mount, pod_of,
    resources, token_volume, variable,
};
use super::world_pod::{
    ORDER_VOLUME, RUNNER_VOLUME, TOKEN_SECONDS, TOKEN_VOLUME, environment, runner, runner_of_image, scratch, with_disk,
    with_order,
};
use crate::role::WORK;
use crate::snapshot::Settings;

const WORK_VOLUME: &str = "work";
const GATEWAY_TOKEN_VOLUME: &str = "gateway-token";
const CREDENTIAL_VOLUME: &str = "repository-credential";

/// Returns the pod in which an attempt of a World works.
///
/// - **Shape:** to be owned by the World, which need not exist yet.
/// - **Guarantees:** holds no secret but the repository's in `prepare`, and no token that the API server accepts. The worker
///   holds no token but that of the gateway, and has ended before `collect` begins.
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
            collect(&environment, &resources, settings),
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

fn prepare(
    order: &Stored<WorkOrder>,
    world: &World,
    environment: &[EnvVar],
    resources: &ResourceRequirements,
    settings: &Settings,
) -> Container {
    let env = with_order(environment, order, world);
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
    container(labels::PREPARE, &settings.runner_image, runner_of_image(), env, mounts, resources)
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
    container(labels::WORK, &world.spec.blueprint.image, runner(), env, mounts, resources)
}

/// Returns the stage that takes what the worker left. It runs in the runner's image: in the worker's, that image would choose the
/// programs that read it.
fn collect(environment: &[EnvVar], resources: &ResourceRequirements, settings: &Settings) -> Container {
    let mounts = vec![
        mount(ORDER_VOLUME, labels::ORDER_DIRECTORY, Access::Read),
        mount(WORK_VOLUME, labels::WORK_DIRECTORY, Access::Read),
        mount(&scratch(labels::COLLECT), "/tmp", Access::Write),
        mount(TOKEN_VOLUME, labels::TOKEN_DIRECTORY, Access::Read),
    ];
    let env = environment.to_vec();
    container(labels::COLLECT, &settings.runner_image, runner_of_image(), env, mounts, resources)
}

fn volumes(order: &WorkOrder, world: &World, template: &PodTemplate, settings: &Settings) -> Vec<Volume> {
    let limit = &world.spec.blueprint.resources.ephemeral_storage;
    let own = [ORDER_VOLUME, RUNNER_VOLUME, WORK_VOLUME].map(str::to_owned);
    let scratches = [labels::PREPARE, labels::WORK, labels::COLLECT].map(scratch);
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
