//! Pods and nodes as the watch reads them: only what decides is kept, so that thousands of pods fit into little memory.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ContainerState, Node, NodeSpec, NodeStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::Resource;
use kube::core::ObjectMeta;
use manyworlds_api::labels;
use manyworlds_api::object::ObjectId;
use manyworlds_planner::node_resources::Resources;
use manyworlds_planner::observation::{
    ObservedNode, OrderPod, PodOwner, PodPhase, Presence, Readiness, StageState, Stages,
};
use manyworlds_planner::quantity::thousandths;
use manyworlds_planner::role::{ROLES, role_of};
use serde::Deserialize;

use super::trimmed;
use crate::index::OrderKey;

/// A pod, without the parts that no decision needs.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PodRecord {
    #[serde(deserialize_with = "trimmed::metadata")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: PodSpecRecord,
    #[serde(default)]
    status: PodStatusRecord,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpecRecord {
    node_name: Option<String>,
    containers: Vec<ContainerRecord>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerRecord {
    resources: ResourcesRecord,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ResourcesRecord {
    requests: BTreeMap<String, Quantity>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatusRecord {
    phase: String,
    reason: Option<String>,
    message: Option<String>,
    conditions: Vec<ConditionRecord>,
    init_container_statuses: Vec<ContainerStatusRecord>,
    container_statuses: Vec<ContainerStatusRecord>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ConditionRecord {
    r#type: String,
    status: String,
    reason: Option<String>,
    message: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerStatusRecord {
    name: String,
    state: Option<ContainerState>,
}

impl Resource for PodRecord {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Pod".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "pods".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl PodRecord {
    /// Returns the pod as decisions see it, with the order that it belongs to.
    ///
    /// - **Shape:** `None` for a pod that belongs to no order, or has a role that this version does not know.
    pub(crate) fn into_order_pod(self) -> Option<(OrderKey, OrderPod)> {
        let Self { metadata, spec, status } = self;
        let key = OrderKey::of_label(&metadata)?;
        let labels = metadata.labels.as_ref()?;
        let role = role_of(ROLES, labels.get(labels::ROLE).map(String::as_str))?;
        let owner = metadata.owner_references.as_ref()?.iter().find(|owner| owner.kind == role.owner.as_str())?;
        let scheduled = status.conditions.iter().find(|condition| condition.r#type == "PodScheduled");
        let unschedulable = scheduled
            .filter(|condition| condition.status == "False" && condition.reason.as_deref() == Some("Unschedulable"))
            .map(|condition| condition.message.clone().unwrap_or_default());
        let mut stages = Stages::new(role);
        for container in status.init_container_statuses.into_iter().chain(status.container_statuses) {
            if let Some(state) = container.state {
                stages.set(&container.name, stage_state(state));
            }
        }
        let pod = OrderPod {
            id: ObjectId::parse(&metadata).ok()?,
            version: metadata.resource_version.as_deref()?.parse().ok()?,
            owner: PodOwner { kind: role.owner, name: owner.name.clone(), uid: owner.uid.clone() },
            attempt: labels.get(labels::ATTEMPT)?.parse().ok()?,
            number: labels.get(labels::EVALUATION).map_or(Some(1), |number| number.parse().ok())?,
            presence: match metadata.deletion_timestamp {
                Some(_) => Presence::Terminating,
                None => Presence::Present,
            },
            node: spec.node_name.as_deref().filter(|name| !name.is_empty()).map(Into::into),
            unschedulable,
            created: metadata.creation_timestamp.as_ref()?.0,
            phase: phase(&status.phase),
            reason: status.reason,
            message: status.message,
            conditions: status
                .conditions
                .iter()
                .filter(|condition| condition.status == "True" && condition.r#type == "DisruptionTarget")
                .map(|condition| condition.r#type.clone())
                .collect(),
            stages,
            requests: spec.containers.first().map(|first| requests(&first.resources.requests)).unwrap_or_default(),
        };
        Some((key, pod))
    }
}

fn phase(text: &str) -> PodPhase {
    match text {
        "Running" => PodPhase::Running,
        "Succeeded" => PodPhase::Succeeded,
        "Failed" => PodPhase::Failed,
        "Unknown" => PodPhase::Unknown,
        _ => PodPhase::Pending,
    }
}

fn stage_state(state: ContainerState) -> StageState {
    let ContainerState { running, terminated, waiting } = state;
    if let Some(ended) = terminated {
        StageState::Ended {
            exit_code: ended.exit_code,
            reason: ended.reason.unwrap_or_default(),
            message: ended.message.unwrap_or_default(),
            started: ended.started_at.map(|time| time.0),
            finished: ended.finished_at.map(|time| time.0),
        }
    } else if let Some(running) = running {
        StageState::Running { since: running.started_at.map(|time| time.0) }
    } else {
        match waiting {
            Some(waiting)
                if !matches!(waiting.reason.as_deref(), None | Some("PodInitializing" | "ContainerCreating")) =>
            {
                StageState::Waiting {
                    reason: waiting.reason.unwrap_or_default(),
                    message: waiting.message.unwrap_or_default(),
                }
            }
            _ => StageState::Pending,
        }
    }
}

fn requests(quantities: &BTreeMap<String, Quantity>) -> Resources {
    let (processor, memory, storage) = (
        quantities.get("cpu").and_then(|amount| thousandths(amount).ok()).unwrap_or(0),
        units(quantities.get("memory")),
        units(quantities.get("ephemeral-storage")),
    );
    Resources { processor: u64::try_from(processor).unwrap_or(u64::MAX), memory, storage, pods: 1 }
}

fn units(quantity: Option<&Quantity>) -> u64 {
    let amount = quantity.and_then(|amount| thousandths(amount).ok()).unwrap_or(0);
    u64::try_from(amount.div_ceil(1000)).unwrap_or(u64::MAX)
}

/// Returns a node as decisions see it.
///
/// - **Shape:** `None` where it has no name, which no node of the API server lacks.
pub(crate) fn observed_node(node: Node) -> Option<ObservedNode> {
    let NodeSpec { unschedulable, taints, .. } = node.spec.unwrap_or_default();
    let NodeStatus { allocatable, conditions, .. } = node.status.unwrap_or_default();
    let allocatable = allocatable.unwrap_or_default();
    let ready = conditions.unwrap_or_default().into_iter().find(|condition| condition.type_ == "Ready");
    let mut room = requests(&allocatable);
    room.pods = units(allocatable.get("pods"));
    Some(ObservedNode {
        name: Arc::from(node.metadata.name?),
        labels: node.metadata.labels.unwrap_or_default(),
        taints: taints.unwrap_or_default(),
        schedulable: unschedulable != Some(true),
        readiness: match ready.map(|condition| condition.status).as_deref() {
            Some("True") => Readiness::Ready,
            Some("False") => Readiness::NotReady,
            _ => Readiness::Lost,
        },
        allocatable: room,
    })
}

#[cfg(test)]
mod tests {
    use manyworlds_planner::observation::Urgency;

    use super::*;

    fn pod(state: &str) -> PodRecord {
        let json = format!(
            r#"{{"metadata":{{"name":"fix-alpha-2","namespace":"team","uid":"u","resourceVersion":"7","creationTimestamp":"2026-01-01T00:00:00Z",
            "managedFields":[{{"manager":"kubelet","fieldsV1":{{"f:status":{{}}}}}}],
            "labels":{{"manyworlds.dev/work-order":"fix","manyworlds.dev/world":"alpha","manyworlds.dev/attempt":"2"}},
            "ownerReferences":[{{"apiVersion":"manyworlds.dev/v1alpha1","kind":"World","name":"fix-alpha","uid":"w"}}]}},
            "spec":{{"nodeName":"n","containers":[{{"name":"collect","resources":{{"requests":{{"cpu":"500m","memory":"1Gi"}}}}}}]}},
            "status":{{"phase":"Running","containerStatuses":[{{"name":"collect","state":{state}}}]}}}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn a_pod_is_reduced_to_what_decides() {
        let (key, pod) =
            pod(r#"{"terminated":{"exitCode":0,"message":"{}","reason":"Completed"}}"#).into_order_pod().unwrap();
        assert_eq!((key.to_string(), pod.owner.name.as_str(), pod.attempt), ("team/fix".to_owned(), "fix-alpha", 2));
        assert_eq!(pod.requests, Resources { processor: 500, memory: 1 << 30, storage: 0, pods: 1 });
        assert!(matches!(pod.stages.last(), StageState::Ended { exit_code: 0, .. }));
    }

    #[test]
    fn a_pod_that_judges_is_told_from_the_one_that_works_and_from_its_like() {
        let with = |labels: &[(&str, &str)]| {
            let mut record = pod(r#"{"running":{}}"#);
            let all = record.metadata.labels.get_or_insert_default();
            all.extend(labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
            record.into_order_pod().map(|(_, pod)| (pod.role().name, pod.attempt, pod.number))
        };
        assert_eq!(with(&[]), Some(("work", 2, 1)));
        assert_eq!(with(&[(labels::ROLE, "work")]), Some(("work", 2, 1)));
        let third = [(labels::ROLE, "evaluation"), (labels::EVALUATION, "3")];
        assert_eq!(with(&third), Some(("evaluation", 2, 3)));
        assert_eq!(with(&[(labels::EVALUATION, "many")]), None);
        assert_eq!(with(&[(labels::ROLE, "another")]), None);
    }

    #[test]
    fn a_container_that_waits_for_its_turn_has_no_trouble() {
        for (state, expected) in [
            (r#"{"waiting":{"reason":"PodInitializing"}}"#, StageState::Pending),
            (
                r#"{"waiting":{"reason":"ImagePullBackOff","message":"no such image"}}"#,
                StageState::Waiting { reason: "ImagePullBackOff".to_owned(), message: "no such image".to_owned() },
            ),
        ] {
            assert_eq!(*pod(state).into_order_pod().unwrap().1.stages.last(), expected);
        }
    }

    #[test]
    fn only_what_ends_or_goes_wrong_cannot_wait() {
        for (state, expected) in [
            (r#"{"waiting":{"reason":"PodInitializing"}}"#, Urgency::Routine),
            (r#"{"running":{"startedAt":"2026-01-01T00:00:00Z"}}"#, Urgency::Routine),
            (r#"{"waiting":{"reason":"ImagePullBackOff"}}"#, Urgency::Now),
            (r#"{"terminated":{"exitCode":0}}"#, Urgency::Now),
        ] {
            assert_eq!(pod(state).into_order_pod().unwrap().1.urgency(), expected, "{state}");
        }
        let (_, running) = pod(r#"{"running":{}}"#).into_order_pod().unwrap();
        let ended = |exit_code| StageState::Ended {
            exit_code,
            reason: String::new(),
            message: String::new(),
            started: None,
            finished: None,
        };
        let with = |change: fn(&mut OrderPod)| {
            let mut pod = running.clone();
            change(&mut pod);
            pod.urgency()
        };
        assert_eq!(with(|pod| pod.phase = PodPhase::Failed), Urgency::Now);
        assert_eq!(with(|pod| pod.presence = Presence::Terminating), Urgency::Now);
        assert_eq!(with(|pod| pod.unschedulable = Some(String::new())), Urgency::Now);
        assert_eq!(with(|pod| pod.conditions.push("DisruptionTarget".to_owned())), Urgency::Now);
        for (exit_code, expected) in [(0, Urgency::Routine), (11, Urgency::Now)] {
            let mut pod = running.clone();
            pod.stages.set(labels::PREPARE, ended(exit_code));
            assert_eq!(pod.urgency(), expected, "prepare ended with {exit_code}");
        }
    }

    #[test]
    fn a_pod_without_our_labels_is_nobodys() {
        let json = r#"{"metadata":{"name":"other","namespace":"team"}}"#;
        assert!(serde_json::from_str::<PodRecord>(json).unwrap().into_order_pod().is_none());
    }
}
