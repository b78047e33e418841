//! WorkOrder: one task, done in several Worlds at once; the best result wins.

mod council;
mod evaluation;
mod policy;
mod reevaluation;
mod size;
mod source;
mod status;
mod task;
mod worker;
mod worlds;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

pub use council::{Council, CouncilFailure, Voter};
pub use evaluation::{Canary, CanaryCommand, Evaluation, EvaluationNetwork, Gate, GateKind, Sealing, ToolFiles};
pub use policy::{
    AcceptPartialSuccess, Approval, Budget, BudgetExceeded, Deadlines, Delivery, DeliveryMode, EarlyTermination,
    Fallback, LocalReference, Retry, RetryAction, RetryRule, RetryWithLowerTemperature, Skip, SwitchModel, TimeToLive,
    WaitForHuman,
};
pub use reevaluation::{Reevaluation, ReevaluationStatus};
pub use source::{GitSource, Source};
pub use status::{
    ArtifactCounts, BaselineGateStatus, BaselineState, BaselineStatus, MOST_BUDGETS, RankedWorld, Usage,
    WorkOrderStatus, WorldCounts,
};
pub use task::{IssueReference, Task, TaskMode};
pub use worker::{
    ConfigMapVolume, EmptyDirectory, EnvironmentVariable, ExtraVolume, PersistentVolumeClaimVolume, PhaseTimeouts,
    PodTemplate, Worker,
};
pub use worlds::{ResourceAmounts, Sizing, SizingMode, Variant, VariantWorker, Worlds, default_variants};

/// A task, and the rules for doing, judging and delivering it.
///
/// All fields are fixed at creation, except `priority`, `suspend`, `cancel` and `reevaluate`, and `budget` and `deadlines`, which may be raised.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "manyworlds.dev",
    version = "v1alpha1",
    kind = "WorkOrder",
    plural = "workorders",
    shortname = "wo",
    category = "manyworlds",
    namespaced,
    status = "WorkOrderStatus",
    derive = "PartialEq",
    doc = "A WorkOrder is one task (\"fix issue 270 in this repository\"), worked on in several Worlds at once. Every World's change is built, tested and scored; the best one wins.",
    printcolumn(name = "Status", type_ = "string", json_path = ".status.summary", description = "How the order stands, or why it waits"),
    printcolumn(name = "Worlds", type_ = "string", json_path = ".status.worlds.summary", description = "Worlds that have ended, of all"),
    printcolumn(name = "Winner", type_ = "string", json_path = ".status.winner", description = "The World whose change won"),
    printcolumn(name = "Score", type_ = "integer", json_path = ".status.best.score", description = "The best score so far, out of 100"),
    printcolumn(name = "Cost", type_ = "string", json_path = ".status.usage.cost", description = "What the model calls have cost, in dollars"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", description = "One sentence on the status", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 40").message("the name of a WorkOrder has at most 40 characters, because its Worlds and pods are named after it"),
    validation = Rule::new("!self.metadata.name.contains('.')").message("the name of a WorkOrder has no dots, because its Worlds and pods are named after it"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.worker.plugin == 'command' || self.worlds.variants.all(v, !has(v.worker) || !has(v.worker.command) || v.worker.command.size() == 0)").message("only the plugin command runs a command; set worker.plugin to command, or leave worker.command out of worlds.variants").field_path(".worker.plugin"),
    validation = Rule::new(size::COMMANDS).message("the commands of worker, worlds.variants and evaluation.gates may together have 40 KiB; put longer scripts into the repository, an image or a ConfigMap"),
    validation = Rule::new(size::TEXTS).message("task.body, the environments of worker and worlds.variants, their prompts and the stances of council.voters may together have 168 KiB; put longer texts into the repository, an image or a ConfigMap"),
    validation = Rule::new("self.source == oldSelf.source").message("source cannot change once the order exists; make a new WorkOrder").field_path(".source"),
    validation = Rule::new("self.task == oldSelf.task").message("task cannot change once the order exists; make a new WorkOrder").field_path(".task"),
    validation = Rule::new("self.worlds == oldSelf.worlds").message("worlds cannot change once the order exists; make a new WorkOrder").field_path(".worlds"),
    validation = Rule::new("self.worker == oldSelf.worker").message("worker cannot change once the order exists; make a new WorkOrder").field_path(".worker"),
    validation = Rule::new("self.evaluation == oldSelf.evaluation").message("evaluation cannot change once the order exists; make a new WorkOrder").field_path(".evaluation"),
    validation = Rule::new("has(self.council) == has(oldSelf.council) && (!has(self.council) || self.council == oldSelf.council)").message("council cannot change once the order exists; make a new WorkOrder"),
    validation = Rule::new("self.retry == oldSelf.retry").message("retry cannot change once the order exists; make a new WorkOrder").field_path(".retry"),
    validation = Rule::new("has(self.fallbacks) == has(oldSelf.fallbacks) && (!has(self.fallbacks) || self.fallbacks == oldSelf.fallbacks)").message("fallbacks cannot change once the order exists; make a new WorkOrder"),
    validation = Rule::new("has(self.earlyTermination) == has(oldSelf.earlyTermination) && (!has(self.earlyTermination) || self.earlyTermination == oldSelf.earlyTermination)").message("earlyTermination cannot change once the order exists; make a new WorkOrder"),
    validation = Rule::new("self.approval == oldSelf.approval").message("approval cannot change once the order exists; make a new WorkOrder").field_path(".approval"),
    validation = Rule::new("self.delivery == oldSelf.delivery").message("delivery cannot change once the order exists; make a new WorkOrder").field_path(".delivery"),
    validation = Rule::new("has(self.ttl) == has(oldSelf.ttl) && (!has(self.ttl) || self.ttl == oldSelf.ttl)").message("ttl cannot change once the order exists; make a new WorkOrder"),
    validation = Rule::new("!oldSelf.cancel || self.cancel").message("a cancelled order stays cancelled; use 'kubectl worlds retry' to run it again as a new one").field_path(".cancel"),
    validation = Rule::new("!has(oldSelf.budget) || has(self.budget)").message("a budget can be raised but not removed"),
    validation = Rule::new("!has(oldSelf.deadlines) || has(self.deadlines)").message("deadlines can be raised but not removed"),
)]
pub struct WorkOrderSpec {
    /// The repository, and the commit at which every World starts.
    pub source: Source,

    /// The task.
    pub task: Task,

    /// Number and size of the Worlds, and their variants.
    #[serde(default)]
    pub worlds: Worlds,

    /// The program that does the coding work.
    #[serde(default)]
    pub worker: Worker,

    /// Evaluation of each change: gates with points that add up to 100, on evidence that the worker cannot touch.
    #[serde(default)]
    pub evaluation: Evaluation,

    /// Voters that rank the eligible Worlds. Without a council the highest score wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub council: Option<Council>,

    /// Rules for attempts that fail for a reason other than the score.
    #[serde(default)]
    pub retry: Retry,

    /// Fallbacks, tried in this sequence, when fewer Worlds than `worlds.min` are eligible.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub fallbacks: Vec<Fallback>,

    /// The most that the order may spend on model calls. It may be raised later, never lowered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,

    /// Ends the order as soon as there are enough good results; the Worlds that still run are cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_termination: Option<EarlyTermination>,

    /// Whether a person must approve the winning change before its delivery.
    #[serde(default)]
    pub approval: Approval,

    /// Delivery of the winning change. The patch is always kept as an artifact.
    #[serde(default)]
    pub delivery: Delivery,

    /// Within a namespace, orders with a higher priority get free slots first, and the oldest among equals. May be changed at any time.
    #[serde(default)]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub priority: i32,

    /// While true no World runs and the active deadline stands still. May be changed at any time.
    #[serde(default)]
    pub suspend: bool,

    /// Set to true to end the order for good. Unlike a deletion, the record stays.
    #[serde(default)]
    pub cancel: bool,

    /// Judges Worlds again whose change is stored, without working anew. May be set at any time; each request is served once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reevaluate: Option<Reevaluation>,

    /// Time limits of waiting and running. They may be raised later, never lowered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadlines: Option<Deadlines>,

    /// Time until a finished order is deleted. Without it the order is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<TimeToLive>,
}

impl WorkOrder {
    /// Returns whether the order has ended, in success or failure.
    pub fn is_finished(&self) -> bool {
        self.status.as_ref().is_some_and(WorkOrderStatus::is_finished)
    }
}
