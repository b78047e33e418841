//! The pod of an order, whatever its role: one container after the other, under the restricted standard.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvVar, LocalObjectReference,
    PersistentVolumeClaimVolumeSource, Pod, PodSecurityContext, PodSpec, ProjectedVolumeSource, ResourceRequirements,
    SeccompProfile, SecurityContext, ServiceAccountTokenProjection, Toleration, Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use manyworlds_api::object::{Stored, Uid};
use manyworlds_api::work_order::{ExtraVolume, PodTemplate, ResourceAmounts};
use manyworlds_api::{WorkOrder, labels};

use super::common::{longest_life, owner_reference};
use crate::role::{OwnerKind, PodRole};

/// User and group of every process in a World's pod.
const USER: i64 = 10_001;
/// The time that a stage has to end once it is told to.
const TERMINATION_GRACE_SECONDS: i64 = 10;
/// The time that a World waits for a node that does not answer, before the cluster removes its pod.
const LOST_NODE_SECONDS: i64 = 30;

/// Prefix of the names of volumes that the order adds, so that they cannot hide one of ours.
const EXTRA_VOLUME_PREFIX: &str = "extra-";

/// One attempt of a role, for its owner.
pub(crate) struct Attempt {
    pub(crate) role: &'static PodRole,
    /// Name of the pod.
    pub(crate) name: String,
    /// Name of the owner.
    pub(crate) owner: String,
    pub(crate) number: i32,
    /// The labels of the owner.
    pub(crate) labels: BTreeMap<String, String>,
}

/// The parts in which the roles differ.
pub(crate) struct Parts {
    /// One container for each stage of the role, in its order. All but the last are init containers.
    pub(crate) stages: Vec<Container>,
    pub(crate) volumes: Vec<Volume>,
}

/// A pod to be created as soon as the uid of its owner is known.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnerlessPod {
    pod: Pod,
    kind: OwnerKind,
    owner: String,
}

impl OwnerlessPod {
    /// Returns the pod with its owner.
    pub fn owned_by<K>(self, uid: &Uid<K>) -> Pod {
        let Self { mut pod, kind, owner } = self;
        pod.metadata.owner_references = Some(vec![owner_reference(kind, &owner, uid)]);
        pod
    }

    /// Returns the metadata, without the owner.
    pub const fn metadata(&self) -> &ObjectMeta {
        &self.pod.metadata
    }
}

/// Returns the pod of one attempt of a role.
///
/// - **Guarantees:** runs under the restricted standard, holds no token that the API server accepts, and ends after the
///   time-outs of the order.
pub(crate) fn pod_of(order: &Stored<WorkOrder>, attempt: Attempt, parts: Parts) -> OwnerlessPod {
    let template = order.spec.worker.pod_template.clone().unwrap_or_default();
    let mut labels = template.labels.clone();
    labels.extend(attempt.labels);
    labels.insert(labels::ROLE.to_owned(), attempt.role.name.to_owned());
    labels.insert(labels::ATTEMPT.to_owned(), attempt.number.to_string());
    let metadata = ObjectMeta {
        name: Some(attempt.name),
        namespace: Some(order.namespace().to_owned()),
        labels: Some(labels),
        annotations: (!template.annotations.is_empty()).then(|| template.annotations.clone()),
        ..ObjectMeta::default()
    };
    let pod = Pod { metadata, spec: Some(pod_spec(order, &template, parts)), status: None };
    OwnerlessPod { pod, kind: attempt.role.owner, owner: attempt.owner }
}

fn pod_spec(order: &WorkOrder, template: &PodTemplate, Parts { mut stages, volumes }: Parts) -> PodSpec {
    let selector = template.node_selector.clone();
    let last = stages.pop();
    PodSpec {
        restart_policy: Some("Never".to_owned()),
        init_containers: Some(stages),
        containers: last.into_iter().collect(),
        volumes: Some(volumes),
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

/// Returns an environment variable with exactly this value.
///
/// The kubelet expands `$(NAME)` and makes `$$` a plain dollar sign, so each dollar sign is doubled.
pub(super) fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.replace('$', "$$")), value_from: None }
}

pub(super) fn resources(amounts: &ResourceAmounts) -> ResourceRequirements {
    let ResourceAmounts { cpu, memory, ephemeral_storage } = amounts;
    let map = BTreeMap::from([
        ("cpu".to_owned(), cpu.clone()),
        ("memory".to_owned(), memory.clone()),
        ("ephemeral-storage".to_owned(), ephemeral_storage.clone()),
    ]);
    ResourceRequirements { requests: Some(map.clone()), limits: Some(map), claims: None }
}

pub(crate) fn container(
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
pub(super) enum Access {
    Read,
    Write,
}

pub(super) fn mount(volume: &str, path: &str, access: Access) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: (access == Access::Read).then_some(true),
        ..VolumeMount::default()
    }
}

pub(super) fn extra_mount(volume: &ExtraVolume) -> VolumeMount {
    let access = if volume.empty_dir.is_some() { Access::Write } else { Access::Read };
    mount(&format!("{EXTRA_VOLUME_PREFIX}{}", volume.name), &volume.mount_path, access)
}

pub(super) fn empty_directory(name: String, size_limit: Option<Quantity>) -> Volume {
    Volume { name, empty_dir: Some(EmptyDirVolumeSource { medium: None, size_limit }), ..Volume::default() }
}

pub(super) fn token_volume(name: &str, audience: &str, seconds: i64) -> Volume {
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

pub(super) fn extra_volume(volume: &ExtraVolume) -> Volume {
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

    /// Returns a value as the kubelet reads it: `$$` is a plain dollar sign, `$(NAME)` a reference.
    fn expanded(value: &str) -> String {
        let mut text = String::new();
        let mut rest = value;
        while let Some((before, behind)) = rest.split_once('$') {
            text.push_str(before);
            match behind.chars().next() {
                Some('(') => panic!("a reference: {behind}"),
                Some('$') | None => text.push('$'),
                Some(other) => text.extend(['$', other]),
            }
            rest = behind.get(1..).unwrap_or_default();
        }
        text + rest
    }

    #[test]
    fn dollar_signs_reach_the_container_as_they_are_written() {
        for text in ["$", "$$", "$$$", "$(HOME)", "$$(HOME)", "a$b", "costs 5$", "$$$(A)$$", "${A}", "no dollar"] {
            let made = variable("A", text);
            assert_eq!(expanded(made.value.as_deref().unwrap()), text);
        }
    }
}
