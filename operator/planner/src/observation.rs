//! The observed cluster, reduced to what a decision needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Taint, Toleration};
use manyworlds_api::object::{ObjectId, PodName, PodUid, ResourceVersion};

use crate::node_resources::Resources;
use crate::role::{OwnerKind, PodRole};
pub use crate::stages::{OUT_OF_MEMORY, StageState, Stages};

/// A pod of an order, reduced to what decides.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderPod {
    /// Which pod it is.
    pub id: ObjectId<Pod>,
    /// Its version.
    pub version: ResourceVersion,
    /// The object that owns it.
    pub owner: PodOwner,
    /// Number of the attempt, from 1.
    pub attempt: i32,
    /// Number of the pod among those of its role and attempt, from 1: an attempt may be judged more than once.
    pub number: i32,
    /// Whether it still exists. A pod that is gone keeps its last state until the attempt is recorded.
    pub presence: Presence,
    /// The node that it was bound to.
    pub node: Option<Arc<str>>,
    /// The reason of the scheduler for which no node takes it.
    pub unschedulable: Option<String>,
    /// When it was created.
    pub created: Timestamp,
    /// Its phase.
    pub phase: PodPhase,
    /// The reason for which the pod itself ended, such as `Evicted`.
    pub reason: Option<String>,
    /// A sentence on that.
    pub message: Option<String>,
    /// Types of its conditions that are true.
    pub conditions: Vec<String>,
    /// Its role, and its containers.
    pub stages: Stages,
    /// Its requests to its node.
    pub requests: Resources,
}

/// The object that owns a pod of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodOwner {
    /// Its kind.
    pub kind: OwnerKind,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

impl OrderPod {
    /// Returns its name.
    pub const fn name(&self) -> &PodName {
        &self.id.name
    }

    /// Returns its uid.
    pub const fn uid(&self) -> &PodUid {
        &self.id.uid
    }

    /// Returns the role of the pod.
    pub const fn role(&self) -> &'static PodRole {
        self.stages.role()
    }

    /// Returns whether this is the pod of an attempt of a role, for an owner.
    pub fn is_attempt(&self, role: &PodRole, owner_uid: &str, attempt: i32) -> bool {
        self.role().name == role.name && self.owner.uid == owner_uid && self.attempt == attempt
    }

    /// Returns how soon somebody should look at what the pod has become.
    pub fn urgency(&self) -> Urgency {
        let is_well = self.presence == Presence::Present
            && matches!(self.phase, PodPhase::Pending | PodPhase::Running)
            && self.unschedulable.is_none()
            && self.reason.is_none()
            && self.conditions.is_empty();
        let goes_on = is_well
            && self.stages.before_last().iter().all(|stage| !stage.has_failed() && !stage.is_stuck())
            && matches!(self.stages.last(), StageState::Pending | StageState::Running { .. });
        if goes_on { Urgency::Routine } else { Urgency::Now }
    }
}

/// The urgency of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Something has ended or cannot go on: a World, a slot or a person waits for it.
    Now,
    /// Things go their way; it only shows how far they are.
    Routine,
}

/// Whether a pod still exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It exists.
    Present,
    /// It is being deleted.
    Terminating,
    /// It is gone.
    Gone,
}

/// Phase of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodPhase {
    /// Not every container has started.
    #[default]
    Pending,
    /// It runs.
    Running,
    /// Every container ended well.
    Succeeded,
    /// A container ended badly.
    Failed,
    /// Its node does not say.
    Unknown,
}

impl PodPhase {
    /// Returns whether the pod holds nothing of its node any more.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// A node, reduced to what decides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObservedNode {
    /// Name of the node.
    pub name: Arc<str>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// Whether new pods may come.
    pub schedulable: bool,
    /// Whether its kubelet answers and is well.
    pub readiness: Readiness,
    /// The resources of all its pods together.
    pub allocatable: Resources,
}

/// Whether a node's kubelet answers and is well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Readiness {
    /// It is well.
    Ready,
    /// It says that it is not.
    NotReady,
    /// It does not answer, or has never answered.
    #[default]
    Lost,
}

/// Which nodes a World may run on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Placement {
    /// Labels that the node must have.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the World tolerates.
    pub tolerations: Vec<Toleration>,
}
