//! The pod of one attempt: prepare, work and evaluate, one after the other, under the restricted standard.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvVar, LocalObjectReference,
    PersistentVolumeClaimVolumeSource, Pod, PodSecurityContext, PodSpec, ProjectedVolumeSource, ResourceRequirements,
    SeccompProfile, SecretVolumeSource, SecurityContext, ServiceAccountTokenProjection, Toleration, Volume,
    VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use manyworlds_api::order_document::{OrderDocument, OrderIdentity};
use manyworlds_api::work_order::{ExtraVolume, PodTemplate, ResourceAmounts, Variant};
use manyworlds_api::{GROUP, VERSION, WorkOrder, World, labels};

use super::{common_labels, longest_life};
use crate::policy::capacity::Resources;
use crate::snapshot::Settings;

/// User and group of every process in a World's pod.
const USER: i64 = 10_001;
/// How long a stage has to end after it was told to.
const TERMINATION_GRACE_SECONDS: i64 = 10;
/// How long a World waits for a node that does not answer before the cluster removes its pod.
const LOST_NODE_SECONDS: i64 = 30;
/// How long a World's token is valid; the kubelet renews it.
const TOKEN_SECONDS: i64 = 3600;

const ORDER_VOLUME: &str = "order";
const RUNNER_VOLUME: &str = "runner";
const WORK_VOLUME: &str = "work";
const EVALUATION_VOLUME: &str = "evaluation";
const TOKEN_VOLUME: &str = "token";
const GATEWAY_TOKEN_VOLUME: &str = "gateway-token";
const CREDENTIAL_VOLUME: &str = "repository-credential";
/// Prefix of the names of volumes that the order adds, so that they cannot hide one of ours.
const EXTRA_VOLUME_PREFIX: &str = "extra-";

/// Returns the pod of one attempt of a World.
///
/// - **Shape:** owned by the World; the owner's uid is empty when the World does not exist yet, and is filled in when it does.
/// - **Guarantees:** holds no secret but the repository's in `prepare`, and no token that the API server accepts.
pub fn pod(order: &WorkOrder, world: &World, attempt: i32, settings: &Settings) -> Pod {
    let order_name = order.metadata.name.as_deref().unwrap_or_default();
    let variant = world.spec.variant.name.as_str();
    let template = order.spec.worker.pod_template.clone().unwrap_or_default();
    let mut labels = template.labels.clone();
    labels.extend(common_labels(order_name, variant));
    labels.insert(labels::ATTEMPT.to_owned(), attempt.to_string());
    let metadata = ObjectMeta {
        name: Some(labels::pod_name(order_name, variant, attempt)),
        namespace: order.metadata.namespace.clone(),
        labels: Some(labels),
        annotations: (!template.annotations.is_empty()).then(|| template.annotations.clone()),
        owner_references: Some(vec![OwnerReference {
            api_version: format!("{GROUP}/{VERSION}"),
            kind: "World".to_owned(),
            name: world.metadata.name.clone().unwrap_or_default(),
            uid: world.metadata.uid.clone().unwrap_or_default(),
            controller: Some(true),
            block_owner_deletion: None,
        }]),
        ..ObjectMeta::default()
    };
    Pod { metadata, spec: Some(pod_spec(order, world, attempt, settings, &template)), status: None }
}

fn pod_spec(order: &WorkOrder, world: &World, attempt: i32, settings: &Settings, template: &PodTemplate) -> PodSpec {
    let environment = environment(order, world, attempt, settings);
    let resources = resources(&world.spec.blueprint.resources);
    let selector = template.node_selector.clone();
    PodSpec {
        restart_policy: Some("Never".to_owned()),
        init_containers: Some(vec![
            prepare(order, world, &environment, &resources, settings),
            work(world, template, &environment, &resources, settings),
        ]),
        containers: vec![evaluate(order, world, template, &environment, &resources)],
        volumes: Some(volumes(order, world, template, settings)),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        active_deadline_seconds: Some(longest_life(order)),
        termination_grace_period_seconds: Some(TERMINATION_GRACE_SECONDS),
        security_context: Some(pod_security()),
        node_selector: (!selector.is_empty()).then_some(selector),
        tolerations: Some(tolerations(template)),
        affinity: template.affinity.clone().and_then(|affinity| serde_json::from_value(affinity).ok()),
        image_pull_secrets: pull_secrets(template),
        runtime_class_name: template.runtime_class_name.clone(),
        priority_class_name: template.priority_class_name.clone(),
        scheduler_name: template.scheduler_name.clone(),
        ..PodSpec::default()
    }
}

fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        ..SecurityContext::default()
    }
}

fn pull_secrets(template: &PodTemplate) -> Option<Vec<LocalObjectReference>> {
    let secrets = &template.image_pull_secrets;
    (!secrets.is_empty())
        .then(|| secrets.iter().map(|secret| LocalObjectReference { name: secret.name.clone() }).collect())
}

/// Returns the order's tolerations, and ours for nodes that do not answer, unless the order has its own for them.
fn tolerations(template: &PodTemplate) -> Vec<Toleration> {
    let mut tolerations = template.tolerations.clone();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        if tolerations.iter().all(|toleration| toleration.key.as_deref() != Some(key)) {
            tolerations.push(Toleration {
                key: Some(key.to_owned()),
                operator: Some("Exists".to_owned()),
                effect: Some("NoExecute".to_owned()),
                toleration_seconds: Some(LOST_NODE_SECONDS),
                value: None,
            });
        }
    }
    tolerations
}

fn environment(order: &WorkOrder, world: &World, attempt: i32, settings: &Settings) -> Vec<EnvVar> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    [
        (labels::ENV_NAMESPACE, text(&order.metadata.namespace)),
        (labels::ENV_WORK_ORDER, text(&order.metadata.name)),
        (labels::ENV_WORLD, world.spec.variant.name.clone()),
        (labels::ENV_ATTEMPT, attempt.to_string()),
        (labels::ENV_SERVICE_URL, settings.service_url.clone()),
        ("HOME", "/tmp".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| variable(name, value))
    .collect()
}

/// Returns the environment with the disk that the stage may fill: the runner ends who fills it before the node evicts the
/// whole pod.
fn with_disk(environment: &[EnvVar], world: &World) -> Vec<EnvVar> {
    let mut env = environment.to_vec();
    if let Ok(room) = Resources::of_world(&world.spec.blueprint.resources) {
        env.push(variable(labels::ENV_DISK_BYTES, room.storage.to_string()));
    }
    env
}

/// Returns an environment variable with exactly this value.
///
/// The kubelet expands `$(NAME)` and makes `$$` a plain dollar sign, so each dollar sign is doubled.
fn variable(name: &str, value: String) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.replace('$', "$$")), value_from: None }
}

fn resources(amounts: &ResourceAmounts) -> ResourceRequirements {
    let ResourceAmounts { cpu, memory, ephemeral_storage } = amounts;
    let map = BTreeMap::from([
        ("cpu".to_owned(), cpu.clone()),
        ("memory".to_owned(), memory.clone()),
        ("ephemeral-storage".to_owned(), ephemeral_storage.clone()),
    ]);
    ResourceRequirements { requests: Some(map.clone()), limits: Some(map), claims: None }
}

/// Returns the order as a World's worker reads it: with itself as the only agent, every value resolved.
fn document(order: &WorkOrder, world: &World) -> OrderDocument {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let identity = OrderIdentity {
        namespace: text(&order.metadata.namespace),
        name: text(&order.metadata.name),
        uid: text(&order.metadata.uid),
    };
    let mut spec = order.spec.clone();
    let resolved = &world.spec.variant;
    let blueprint = &world.spec.blueprint;
    spec.worlds.variants = vec![Variant {
        name: resolved.name.clone(),
        model: world.model().map(str::to_owned),
        temperature: world.temperature(),
        prompt: resolved.prompt.clone(),
        weight: None,
        worker: None,
    }];
    spec.worker.plugin.clone_from(&blueprint.plugin);
    spec.worker.command.clone_from(&blueprint.command);
    spec.worker.env.clone_from(&blueprint.env);
    spec.worker.pod_template = None;
    OrderDocument::new(identity, spec)
}

fn prepare(
    order: &WorkOrder,
    world: &World,
    environment: &[EnvVar],
    resources: &ResourceRequirements,
    settings: &Settings,
) -> Container {
    let mut env = environment.to_vec();
    let json = serde_json::to_string(&document(order, world)).unwrap_or_default();
    env.push(variable(labels::ENV_ORDER, json));
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
        env.push(variable(labels::ENV_GATEWAY_URL, url.to_owned()));
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

fn container(
    name: &str,
    image: &str,
    program: String,
    env: Vec<EnvVar>,
    mounts: Vec<VolumeMount>,
    resources: &ResourceRequirements,
) -> Container {
    Container {
        name: name.to_owned(),
        image: Some(image.to_owned()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(vec![program, name.to_owned()]),
        env: Some(env),
        volume_mounts: Some(mounts),
        resources: Some(resources.clone()),
        security_context: Some(container_security()),
        termination_message_path: Some(labels::TERMINATION_LOG.to_owned()),
        termination_message_policy: Some("File".to_owned()),
        ..Container::default()
    }
}

/// Whether a container may write to a volume.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

fn mount(volume: &str, path: &str, access: Access) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: (access == Access::Read).then_some(true),
        ..VolumeMount::default()
    }
}

fn extra_mount(volume: &ExtraVolume) -> VolumeMount {
    let access = if volume.empty_dir.is_some() { Access::Write } else { Access::Read };
    mount(&format!("{EXTRA_VOLUME_PREFIX}{}", volume.name), &volume.mount_path, access)
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

fn empty_directory(name: String, size_limit: Option<Quantity>) -> Volume {
    Volume { name, empty_dir: Some(EmptyDirVolumeSource { medium: None, size_limit }), ..Volume::default() }
}

fn token_volume(name: &str, audience: &str, seconds: i64) -> Volume {
    let token = ServiceAccountTokenProjection {
        audience: Some(audience.to_owned()),
        expiration_seconds: Some(seconds),
        path: labels::TOKEN_FILE.to_owned(),
    };
    Volume {
        name: name.to_owned(),
        projected: Some(ProjectedVolumeSource {
            default_mode: Some(0o440),
            sources: Some(vec![VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() }]),
        }),
        ..Volume::default()
    }
}

fn extra_volume(volume: &ExtraVolume) -> Volume {
    let ExtraVolume { name, mount_path: _, config_map, persistent_volume_claim, empty_dir } = volume;
    let mut made = match empty_dir {
        Some(directory) => empty_directory(String::new(), directory.size_limit.clone().map(Quantity)),
        None => Volume::default(),
    };
    made.name = format!("{EXTRA_VOLUME_PREFIX}{name}");
    made.config_map = config_map.as_ref().map(|map| ConfigMapVolumeSource {
        name: map.name.clone(),
        // A ConfigMap may hold a worker.
        default_mode: Some(0o555),
        ..ConfigMapVolumeSource::default()
    });
    made.persistent_volume_claim = persistent_volume_claim
        .as_ref()
        .map(|claim| PersistentVolumeClaimVolumeSource { claim_name: claim.claim_name.clone(), read_only: Some(true) });
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kubelet makes of a value: `$$` is a plain dollar sign, `$(NAME)` a reference.
    fn expanded(value: &str) -> String {
        let mut text = String::new();
        let mut rest = value;
        while let Some((before, behind)) = rest.split_once('$') {
            text.push_str(before);
            match behind.chars().next() {
                Some('$') => text.push('$'),
                Some('(') => panic!("a reference: {behind}"),
                Some(other) => text.extend(['$', other]),
                None => text.push('$'),
            }
            rest = behind.get(1..).unwrap_or_default();
        }
        text + rest
    }

    #[test]
    fn dollar_signs_reach_the_container_as_they_are_written() {
        for text in ["$", "$$", "$$$", "$(HOME)", "$$(HOME)", "a$b", "costs 5$", "$$$(A)$$", "${A}", "no dollar"] {
            let made = variable("A", text.to_owned());
            assert_eq!(expanded(made.value.as_deref().unwrap()), text);
        }
    }
}
