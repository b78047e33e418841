//! The output of one decision: so specific that carrying it out decides nothing.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use manyworlds_api::conditions::Reason;
use manyworlds_api::object::{ObjectId, Stored};
use manyworlds_api::{WorkOrder, WorkOrderStatus, World, WorldStatus};

use crate::resources::OwnerlessPod;

/// The plan of one order.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Plan {
    /// Writes, in the order in which they must be made where that matters: statuses before deletions.
    pub effects: Vec<Effect>,
    /// The change of the order's status; absent when the status stays as it is.
    pub status: Option<Box<StatusChange>>,
    /// The time of the next look even if nothing happens.
    pub next_check: Option<Timestamp>,
    /// The number of writes that only show progress. They can wait.
    pub progress_writes: u32,
}

impl Plan {
    /// Returns whether it makes a pod.
    pub fn makes_pods(&self) -> bool {
        self.effects.iter().any(Effect::makes_pod)
    }
}

/// A new status of the order.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusChange {
    /// The whole new status.
    pub status: WorkOrderStatus,
    /// The Events that go out once the status is written.
    pub events: Vec<Event>,
    /// The outcome, where this is the end of the order.
    pub outcome: Option<OrderOutcome>,
}

impl StatusChange {
    /// Returns a change that is worth no Event.
    pub(crate) fn quiet(status: WorkOrderStatus) -> Self {
        Self { status, events: Vec::new(), outcome: None }
    }
}

/// The outcome of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderOutcome {
    /// It has a winner.
    Succeeded,
    /// It has no winner.
    Failed,
    /// A person cancelled it.
    Cancelled,
    /// It has no winner, and a fallback allows that.
    Skipped,
}

impl OrderOutcome {
    /// Returns the word of the printer column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
            Self::Skipped => "Skipped",
        }
    }
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Records what became of a World.
    PatchWorld(Box<WorldPatch>),
    /// Makes a World and the pod of its first attempt, which belongs to it.
    OpenWorld {
        /// The World.
        world: Box<World>,
        /// The pod, which the World owns as soon as it has a uid.
        pod: Box<OwnerlessPod>,
    },
    /// Makes the pod of another attempt.
    StartAttempt {
        /// The pod, owner included.
        pod: Box<Pod>,
    },
    /// Makes a pod that judges: an attempt, or the base.
    StartEvaluation {
        /// The pod, owner included.
        pod: Box<Pod>,
    },
    /// Ends a pod.
    DeletePod {
        /// The pod.
        pod: ObjectId<Pod>,
        /// The time that it has to end.
        grace: Grace,
    },
    /// Removes a World that an earlier order of the same name has left.
    DeleteWorld(ObjectId<World>),
    /// Removes the order, whose time to live is over.
    DeleteOrder(ObjectId<WorkOrder>),
}

impl Effect {
    /// Returns whether it makes a pod.
    pub const fn makes_pod(&self) -> bool {
        match self {
            Self::OpenWorld { .. } | Self::StartAttempt { .. } | Self::StartEvaluation { .. } => true,
            Self::PatchWorld(_) | Self::DeletePod { .. } | Self::DeleteWorld(_) | Self::DeleteOrder(_) => false,
        }
    }
}

/// The time that a pod has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grace {
    /// As long as the pod itself says.
    Normal,
    /// No time: its node is lost and cannot confirm anything.
    None,
}

/// The new status of a World.
#[derive(Clone, Debug, PartialEq)]
pub struct WorldPatch {
    /// The World, as it was when this was decided.
    pub world: Arc<Stored<World>>,
    /// The whole new status.
    pub status: WorldStatus,
    /// The Events that go out once the status is written, whatever else of the plan fails.
    pub events: Vec<Event>,
}

/// Something to tell people about the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whether it is good or bad.
    pub kind: EventKind,
    /// One word.
    pub reason: Reason,
    /// The action.
    pub action: &'static str,
    /// One sentence.
    pub message: String,
}

/// Whether an event is good or bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Things go as they should.
    Normal,
    /// Somebody may want to act.
    Warning,
}
