//! The pods that judge an attempt of a World, or the base of an order: checkout and judge.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVar, ResourceRequirements, Volume};
use manyworlds_api::object::Stored;
use manyworlds_api::result::WorkerReport;
use manyworlds_api::work_order::{EvaluationNetwork, PodTemplate, ResourceAmounts};
use manyworlds_api::{WorkOrder, World, labels};

use super::common::{common_labels, labels_of_order};
use super::pod::{
    Access, Attempt, OwnerlessPod, Parts, container, empty_directory, extra_mount, extra_volume, mount, pod_of,
    resources, token_volume, variable,
};
use super::world::world;
use super::world_pod::{
    ORDER_VOLUME, RUNNER_VOLUME, TOKEN_SECONDS, TOKEN_VOLUME, environment, runner, runner_of_image, scratch, with_disk,
    with_order,
};
use crate::node_resources::Resources;
use crate::role::{BASELINE, EVALUATION};
use crate::snapshot::Settings;

const EVALUATION_VOLUME: &str = "evaluation";

/// What is judged: what the pod that worked has reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The commit that the World started from.
    pub base_commit: String,
    /// The report on its worker.
    pub worker: Option<WorkerReport>,
}

/// One evaluation of a World.
#[derive(Clone, Copy, Debug)]
pub struct Evaluation<'a> {
    /// Number of the attempt that is judged.
    pub attempt: i32,
    /// Number of the evaluation, from 1.
    pub number: i32,
    /// What is judged.
    pub subject: &'a Subject,
}

/// One evaluation of the base of an order.
#[derive(Clone, Copy, Debug)]
pub struct BaseEvaluation<'a> {
    /// Its number, from 1.
    pub number: i32,
    /// The commit that is judged.
    pub base_commit: &'a str,
    /// The resources of a World of the order.
    pub resources: &'a ResourceAmounts,
}

/// Returns the pod that judges an attempt of a World.
///
/// - **Guarantees:** shares no volume with the pod that worked, and holds no token but that of the artifact API and no secret.
///   It reaches what its order's `evaluation.network` says.
pub fn evaluation(
    order: &Stored<WorkOrder>,
    world: &World,
    which: &Evaluation<'_>,
    settings: &Settings,
) -> OwnerlessPod {
    let Evaluation { attempt, number, subject } = *which;
    let (order_name, variant) = (order.name(), world.spec.variant.name.as_str());
    let environment = environment(order, world, attempt, settings);
    let checkout_env = with_base(with_order(&environment, order, world), &subject.base_commit);
    let judge_env = judge_env(&environment, world, subject);
    let attempt = Attempt {
        role: &EVALUATION,
        name: labels::evaluation_pod_name(order_name, variant, attempt, number),
        owner: labels::world_name(order_name, variant),
        number: attempt,
        labels: with_network(common_labels(order_name, variant), order, number),
    };
    pod_of(order, attempt, parts(order, world, [checkout_env, judge_env], settings))
}

/// Returns the pod that judges the base of an order, as [`evaluation`] has one that judges a World.
///
/// - **Shape:** to be owned by the order. Where the gates need an agent, they have the first variant's.
pub fn baseline(order: &Stored<WorkOrder>, which: &BaseEvaluation<'_>, settings: &Settings) -> Option<OwnerlessPod> {
    let BaseEvaluation { number, base_commit, resources } = *which;
    let variant = order.spec.worlds.variants.first()?;
    let mut first = world(order, variant, 0, Resources::default(), settings);
    first.spec.blueprint.resources.clone_from(resources);
    let mut environment = environment(order, &first, number, settings);
    environment.push(variable(labels::ENV_SUBJECT, labels::SUBJECT_BASE));
    let checkout_env = with_base(with_order(&environment, order, &first), base_commit);
    let judge_env = with_disk(&environment, &first);
    let attempt = Attempt {
        role: &BASELINE,
        name: labels::baseline_pod_name(order.name(), number),
        owner: order.name().to_owned(),
        number,
        labels: with_network(labels_of_order(order.name()), order, number),
    };
    Some(pod_of(order, attempt, parts(order, &first, [checkout_env, judge_env], settings)))
}

/// Returns labels with the number of the evaluation, and with the network that its order's gates have.
fn with_network(mut labels: BTreeMap<String, String>, order: &WorkOrder, number: i32) -> BTreeMap<String, String> {
    labels.insert(labels::EVALUATION.to_owned(), number.to_string());
    if order.spec.evaluation.network == EvaluationNetwork::None {
        labels.insert(labels::NETWORK.to_owned(), labels::NETWORK_OF_EVALUATIONS.to_owned());
    }
    labels
}

/// Returns the containers and volumes of a pod that judges, given the environments of `checkout` and `judge`.
fn parts(order: &WorkOrder, world: &World, environments: [Vec<EnvVar>; 2], settings: &Settings) -> Parts {
    let [checkout_env, judge_env] = environments;
    let template = order.spec.worker.pod_template.clone().unwrap_or_default();
    let resources = resources(&world.spec.blueprint.resources);
    Parts {
        stages: vec![
            checkout(checkout_env, &resources, settings),
            judge(order, world, &template, judge_env, &resources),
        ],
        volumes: volumes(world, &template),
    }
}

/// Returns the environment with the commit that the checkout must have.
fn with_base(mut env: Vec<EnvVar>, base_commit: &str) -> Vec<EnvVar> {
    env.push(variable(labels::ENV_BASE_COMMIT, base_commit));
    env
}

fn judge_env(environment: &[EnvVar], world: &World, subject: &Subject) -> Vec<EnvVar> {
    let mut env = with_disk(environment, world);
    if let Some(worker) = &subject.worker {
        let json = serde_json::to_string(worker).unwrap_or_default();
        env.push(variable(labels::ENV_WORKER_REPORT, &json));
    }
    env
}

fn checkout(env: Vec<EnvVar>, resources: &ResourceRequirements, settings: &Settings) -> Container {
    let mounts = vec![
        mount(ORDER_VOLUME, labels::ORDER_DIRECTORY, Access::Write),
        mount(RUNNER_VOLUME, labels::RUNNER_DIRECTORY, Access::Write),
        mount(&scratch(labels::CHECKOUT), "/tmp", Access::Write),
        mount(TOKEN_VOLUME, labels::TOKEN_DIRECTORY, Access::Read),
    ];
    container(labels::CHECKOUT, &settings.runner_image, runner_of_image(), env, mounts, resources)
}

fn judge(
    order: &WorkOrder,
    world: &World,
    template: &PodTemplate,
    env: Vec<EnvVar>,
    resources: &ResourceRequirements,
) -> Container {
    let mut mounts = vec![
        mount(ORDER_VOLUME, labels::ORDER_DIRECTORY, Access::Read),
        mount(RUNNER_VOLUME, labels::RUNNER_DIRECTORY, Access::Read),
        mount(EVALUATION_VOLUME, labels::EVALUATION_DIRECTORY, Access::Write),
        mount(&scratch(labels::JUDGE), "/tmp", Access::Write),
        mount(TOKEN_VOLUME, labels::TOKEN_DIRECTORY, Access::Read),
    ];
    mounts.extend(template.volumes.iter().map(extra_mount));
    let image = order.spec.evaluation.image.as_ref().unwrap_or(&world.spec.blueprint.image);
    container(labels::JUDGE, image, runner(), env, mounts, resources)
}

fn volumes(world: &World, template: &PodTemplate) -> Vec<Volume> {
    let limit = &world.spec.blueprint.resources.ephemeral_storage;
    let own = [ORDER_VOLUME, RUNNER_VOLUME, EVALUATION_VOLUME].map(str::to_owned);
    let scratches = [labels::CHECKOUT, labels::JUDGE].map(scratch);
    let mut volumes: Vec<Volume> =
        own.into_iter().chain(scratches).map(|name| empty_directory(name, Some(limit.clone()))).collect();
    volumes.push(token_volume(TOKEN_VOLUME, labels::TOKEN_AUDIENCE, TOKEN_SECONDS));
    // An empty directory of the order is a fresh one here; what the worker wrote into its own is not judged.
    volumes.extend(template.volumes.iter().map(extra_volume));
    volumes
}
