//! What the operator has seen of the cluster, reduced to what a decision needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Taint, Toleration};
use manyworlds_api::labels;

use crate::policy::capacity::Resources;

/// The kubelet's word for a container in which a process was killed for its memory.
pub const OUT_OF_MEMORY: &str = "OOMKilled";

/// A World's pod, reduced to what decides.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedPod {
    /// Name of the pod.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its version; greater is newer.
    pub resource_version: u64,
    /// Uid of the World that owns it.
    pub world_uid: String,
    /// Name of the variant.
    pub variant: String,
    /// Number of the attempt, from 1.
    pub attempt: i32,
    /// Whether it still exists. A pod that is gone keeps its last state until the attempt is recorded.
    pub presence: Presence,
    /// The node that it was bound to.
    pub node: Option<Arc<str>>,
    /// Why no node takes it, where the scheduler said so.
    pub unschedulable: Option<String>,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Its phase.
    pub phase: PodPhase,
    /// Why the pod itself ended, such as `Evicted`.
    pub reason: Option<String>,
    /// A sentence on that.
    pub message: Option<String>,
    /// Types of its conditions that are true.
    pub conditions: Vec<String>,
    /// Its containers: prepare, work, evaluate.
    pub stages: Stages,
    /// What it asks of its node.
    pub requests: Resources,
}

impl ObservedPod {
    /// Returns how soon somebody should look at what the pod has become.
    pub fn urgency(&self) -> Urgency {
        let is_well = self.presence == Presence::Present
            && matches!(self.phase, PodPhase::Pending | PodPhase::Running)
            && self.unschedulable.is_none()
            && self.reason.is_none()
            && self.conditions.is_empty();
        let Stages { prepare, work, evaluate } = &self.stages;
        let goes_on = is_well
            && [prepare, work].into_iter().all(|stage| !stage.has_failed() && !stage.is_stuck())
            && matches!(evaluate, StageState::Pending | StageState::Running { .. });
        if goes_on { Urgency::Routine } else { Urgency::Now }
    }
}

/// How soon somebody should look at a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Something has ended or cannot go on: a World, a slot or a person waits for it.
    Now,
    /// Things go their way; it only shows how far they are.
    Routine,
}

/// The three containers of a World's pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    /// Fetches the repository.
    pub prepare: StageState,
    /// Runs the worker.
    pub work: StageState,
    /// Runs the gates.
    pub evaluate: StageState,
}

impl Stages {
    /// Returns the stage of a container; nothing for a container that is not ours.
    pub fn of_container(&mut self, container: &str) -> Option<&mut StageState> {
        match container {
            labels::PREPARE => Some(&mut self.prepare),
            labels::WORK => Some(&mut self.work),
            labels::EVALUATE => Some(&mut self.evaluate),
            _ => None,
        }
    }

    /// Returns how many stages have ended.
    pub fn ended(&self) -> usize {
        self.in_order().iter().filter(|(_, stage)| matches!(stage, StageState::Ended { .. })).count()
    }

    /// Returns the stages with their containers' names, in the order in which they run.
    pub fn in_order(&self) -> [(&'static str, &StageState); 3] {
        [(labels::PREPARE, &self.prepare), (labels::WORK, &self.work), (labels::EVALUATE, &self.evaluate)]
    }
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

/// State of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StageState {
    /// It has not started; the reason is the kubelet's.
    #[default]
    Pending,
    /// It cannot start yet, and the kubelet says why.
    Waiting {
        /// The kubelet's word, such as `ImagePullBackOff`.
        reason: String,
        /// The kubelet's sentence.
        message: String,
    },
    /// It runs.
    Running {
        /// Since when.
        since: Option<Timestamp>,
    },
    /// It has ended.
    Ended {
        /// Its exit code.
        exit_code: i32,
        /// The kubelet's word, such as `OOMKilled`.
        reason: String,
        /// What it left in its termination message.
        message: String,
        /// When it started.
        started: Option<Timestamp>,
        /// When it ended.
        finished: Option<Timestamp>,
    },
}

impl StageState {
    /// Returns whether it has ended badly: by its exit code, or because a process in it was killed for its memory.
    ///
    /// The kubelet starts no container after an init container of which it says the latter, whatever its exit code, and
    /// does not end the pod either.
    pub fn has_failed(&self) -> bool {
        matches!(self, Self::Ended { exit_code, reason, .. } if *exit_code != 0 || reason == OUT_OF_MEMORY)
    }

    /// Returns whether the kubelet says that it cannot start.
    pub fn is_stuck(&self) -> bool {
        matches!(self, Self::Waiting { .. })
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
    /// What its pods may use altogether.
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
