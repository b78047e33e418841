//! The output of one decision: so specific that carrying it out decides nothing.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use manyworlds_api::conditions::Reason;
use manyworlds_api::{WorkOrderStatus, World, WorldStatus};

/// What is to be done about one order.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Plan {
    /// Writes, in the order in which they must be made where that matters: statuses before deletions.
    pub effects: Vec<Effect>,
    /// The order's new status; absent when it stays as it is.
    pub status: Option<WorkOrderStatus>,
    /// What to tell people, once the writes have been made.
    pub events: Vec<Event>,
    /// When to look again even if nothing happens.
    pub next_check: Option<Timestamp>,
    /// How many of the writes only show how far things are. They are the ones that can wait.
    pub progress_writes: u32,
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
        /// The pod, without the owner's uid.
        pod: Box<Pod>,
    },
    /// Makes the pod of another attempt.
    StartAttempt {
        /// The pod, owner included.
        pod: Box<Pod>,
    },
    /// Ends a pod.
    DeletePod {
        /// Its name.
        name: String,
        /// Its uid: a pod made again under the same name is spared.
        uid: String,
        /// How long it has to end.
        grace: Grace,
    },
    /// Removes a World that an earlier order of the same name has left.
    DeleteWorld {
        /// Its name.
        name: String,
        /// Its uid.
        uid: String,
    },
    /// Removes the order, whose time to live is over.
    DeleteOrder {
        /// Its uid.
        uid: String,
    },
}

/// How long a pod has to end.
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
    /// Name of the World.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The version that the decision was made on.
    pub resource_version: String,
    /// The whole new status.
    pub status: WorldStatus,
    /// Pods whose end the status records; the operator may forget them.
    pub recorded_pods: Vec<String>,
}

/// Something to tell people about the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whether it is good or bad.
    pub kind: EventKind,
    /// One word.
    pub reason: Reason,
    /// What was done.
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
