//! The roles of an order's pods.
//!
//! A role is data: its name, the kind of its owner and its stages. Observation, failures, clean-up, capacity and access
//! read the data and know no role by name. `docs/how-to/add-a-pod-role.md` says what a new role needs.

use manyworlds_api::artifacts::ArtifactName;
use manyworlds_api::conditions::WorldCondition;
use manyworlds_api::labels;
use manyworlds_api::result::FailureClass;
use manyworlds_api::world::WorldStage;

/// A role of an order's pods.
#[derive(Debug, PartialEq, Eq)]
pub struct PodRole {
    /// Its name: the value of the label [`labels::ROLE`].
    pub name: &'static str,
    /// The kind that owns its pods.
    pub owner: OwnerKind,
    /// What its last stage reports when it ends well.
    pub leaves: Leaves,
    /// Its stages, in the order in which they run. Each is a container.
    pub stages: &'static [Stage],
}

/// What the last stage of a role reports when it ends well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaves {
    /// What the worker left, which is stored by then. A pod of another role judges it.
    Collection,
    /// The result of the gates: that of a World, or of the base.
    Result,
}

/// A stage of a role: one container of its pod.
#[derive(Debug, PartialEq, Eq)]
pub struct Stage {
    /// Name of the container.
    pub container: &'static str,
    /// The stage that the owner's status shows while this one runs.
    pub shown_as: WorldStage,
    /// Class of a failure that the stage itself does not report.
    pub failure_class: FailureClass,
    /// Whether it may call models.
    pub models: ModelCalls,
    /// What it does with the order's base.
    pub base: BaseAccess,
    /// What it does with what the gates give at that base.
    pub baseline: BaselineAccess,
    /// The artifacts that it stores.
    pub stores: &'static [ArtifactName],
    /// The artifacts of its own attempt that it reads.
    pub reads: &'static [ArtifactName],
    /// The point that the owner has reached once the stage has ended well; absent where that is worth no record.
    pub done: Option<Milestone>,
}

/// A point that a World reaches.
#[derive(Debug, PartialEq, Eq)]
pub struct Milestone {
    /// The condition of the World that is true from then on.
    pub condition: WorldCondition,
    /// The type of the checkpoint in the history.
    pub checkpoint: &'static str,
}

/// Whether a stage may call models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelCalls {
    /// It holds a token of the gateway.
    Allowed,
    /// It holds none.
    Refused,
}

/// What a stage does with the commit that its order starts from, and with the bundle of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseAccess {
    /// Nothing.
    None,
    /// It fetches the repository, so it says which commit that is and stores the bundle.
    Stores,
    /// It reads the bundle.
    Reads,
}

/// What a stage does with what the gates of its order give at the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaselineAccess {
    /// Nothing.
    None,
    /// It has run them there, and stores it.
    Stores,
    /// It reads it.
    Reads,
}

/// The kind of an object that owns pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerKind {
    /// A World.
    World,
    /// The order itself.
    WorkOrder,
}

impl OwnerKind {
    /// Returns the kind as owner references have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::World => "World",
            Self::WorkOrder => "WorkOrder",
        }
    }
}

/// The role of the pods in which Worlds work: fetch the repository, run the worker, store what it left.
pub static WORK: PodRole = PodRole {
    name: "work",
    owner: OwnerKind::World,
    leaves: Leaves::Collection,
    stages: &[
        Stage {
            container: labels::PREPARE,
            shown_as: WorldStage::Preparing,
            failure_class: FailureClass::Infrastructure,
            models: ModelCalls::Refused,
            base: BaseAccess::Stores,
            baseline: BaselineAccess::None,
            stores: &[ArtifactName::PrepareLog],
            reads: &[],
            done: Some(Milestone { condition: WorldCondition::Prepared, checkpoint: "WorktreeCreated" }),
        },
        Stage {
            container: labels::WORK,
            shown_as: WorldStage::Working,
            failure_class: FailureClass::Worker,
            models: ModelCalls::Allowed,
            // It has no token for the artifact API; the stage behind it stores what it left.
            base: BaseAccess::None,
            baseline: BaselineAccess::None,
            stores: &[],
            reads: &[],
            done: None,
        },
        Stage {
            container: labels::COLLECT,
            shown_as: WorldStage::Working,
            // It reads what a worker left, so a failure that it cannot report counts against the World.
            failure_class: FailureClass::Evaluation,
            models: ModelCalls::Refused,
            base: BaseAccess::None,
            baseline: BaselineAccess::None,
            stores: &[ArtifactName::Change, ArtifactName::WorkLog, ArtifactName::Transcript],
            reads: &[],
            done: Some(Milestone { condition: WorldCondition::Worked, checkpoint: "WorldCompleted" }),
        },
    ],
};

/// The role of the pods in which Worlds are judged: check out the base, run the gates on the change.
///
/// It shares nothing with the pod that worked but what the artifact API has of it.
pub static EVALUATION: PodRole = PodRole {
    name: "evaluation",
    owner: OwnerKind::World,
    leaves: Leaves::Result,
    stages: &[
        Stage {
            container: labels::CHECKOUT,
            shown_as: WorldStage::Evaluating,
            failure_class: FailureClass::Infrastructure,
            models: ModelCalls::Refused,
            base: BaseAccess::Reads,
            baseline: BaselineAccess::Reads,
            stores: &[],
            reads: &[ArtifactName::Change],
            done: None,
        },
        Stage {
            container: labels::JUDGE,
            shown_as: WorldStage::Evaluating,
            failure_class: FailureClass::Evaluation,
            models: ModelCalls::Refused,
            base: BaseAccess::Reads,
            baseline: BaselineAccess::Reads,
            stores: &[ArtifactName::Patch, ArtifactName::Report, ArtifactName::EvaluateLog],
            reads: &[ArtifactName::Change],
            done: Some(Milestone { condition: WorldCondition::Evaluated, checkpoint: "EvaluationDone" }),
        },
    ],
};

/// The role of the pods in which the base of an order is judged, without any change: the same stages as those of [`EVALUATION`].
pub static BASELINE: PodRole = PodRole {
    name: "baseline",
    owner: OwnerKind::WorkOrder,
    leaves: Leaves::Result,
    stages: &[
        Stage {
            container: labels::CHECKOUT,
            shown_as: WorldStage::Evaluating,
            failure_class: FailureClass::Infrastructure,
            models: ModelCalls::Refused,
            base: BaseAccess::Reads,
            baseline: BaselineAccess::None,
            stores: &[],
            reads: &[],
            done: None,
        },
        Stage {
            container: labels::JUDGE,
            shown_as: WorldStage::Evaluating,
            failure_class: FailureClass::Evaluation,
            models: ModelCalls::Refused,
            base: BaseAccess::None,
            baseline: BaselineAccess::Stores,
            stores: &[],
            reads: &[],
            done: None,
        },
    ],
};

/// A set of roles, by which the pods of a cluster are read.
pub type Roles = &'static [&'static PodRole];

/// Every role of this version.
pub static ROLES: Roles = &[&WORK, &EVALUATION, &BASELINE];

/// Returns the role that a pod's label names; [`WORK`] where it has no label, as pods of version 0.1 have none.
pub fn role_of(roles: Roles, label: Option<&str>) -> Option<&'static PodRole> {
    match label {
        Some(name) => roles.iter().copied().find(|role| role.name == name),
        None => Some(&WORK),
    }
}
