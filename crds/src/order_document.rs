//! `workorder@1`: the order as plain JSON, for workers and the REST API.
//!
//! The document and the WorkOrder resource convert into each other without loss.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::work_order::{
    Approval, Budget, Council, Deadlines, Delivery, EarlyTermination, EnvironmentVariable, Evaluation, Fallback,
    PhaseTimeouts, PodTemplate, Reevaluation, Retry, Sizing, Source, Task, TimeToLive, Variant, WorkOrderSpec, Worker,
    Worlds,
};

/// Name of the document.
pub const SCHEMA: &str = "workorder@1";
/// Version of its schema.
pub const SCHEMA_VERSION: &str = "1.1";

/// An order as plain JSON.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderDocument {
    /// `workorder@1`.
    #[schemars(extend("const" = SCHEMA))]
    pub schema: String,
    /// `1.1`.
    #[schemars(regex(pattern = r"^1\.[0-9]+$"))]
    pub schema_version: String,
    /// Name of the order.
    pub identity: OrderIdentity,
    /// The repository and revision.
    pub source: Source,
    /// The task.
    pub task: Task,
    /// Time-out of each phase.
    #[serde(default)]
    pub phase_timeout: PhaseTimeouts,
    /// The variants, one for each World. The document in a World has only its own variant.
    #[schemars(length(min = 1, max = 50))]
    pub agents: Vec<Variant>,
    /// Settings of all Worlds.
    #[serde(default)]
    pub world: WorldSettings,
    /// The worker program.
    #[serde(default)]
    pub worker: WorkerSettings,
    /// The gates and the score that a change needs.
    #[serde(default)]
    pub evaluation: Evaluation,
    /// The voters that rank eligible Worlds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub council: Option<Council>,
    /// The rules for failed attempts.
    #[serde(default)]
    pub retry: Retry,
    /// The fallbacks when too few Worlds are eligible.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<Fallback>,
    /// The most that the order may spend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// The condition for ending early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_termination: Option<EarlyTermination>,
    /// Whether a person must approve.
    #[serde(default)]
    pub approval: Approval,
    /// Delivery of the winning change.
    #[serde(default)]
    pub delivery: Delivery,
    /// Priority; higher goes first.
    #[serde(default)]
    pub priority: i32,
    /// Whether the order is suspended.
    #[serde(default)]
    pub suspend: bool,
    /// Whether the order is cancelled.
    #[serde(default)]
    pub cancel: bool,
    /// The last request to judge Worlds again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reevaluate: Option<Reevaluation>,
    /// Time limits of waiting and running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadlines: Option<Deadlines>,
    /// Time to keep the finished order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<TimeToLive>,
}

/// The identity of an order.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderIdentity {
    /// Namespace of the order.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Name of the order.
    #[schemars(length(min = 1, max = 40))]
    pub name: String,
    /// Uid of the order; empty before it exists.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub uid: String,
}

/// Settings of all Worlds of an order.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorldSettings {
    /// Eligible Worlds that the order needs.
    pub min: i32,
    /// Worlds that may run at once.
    pub parallelism: i32,
    /// Size of each World.
    pub sizing: Sizing,
}

impl Default for WorldSettings {
    fn default() -> Self {
        let Worlds { min, parallelism, sizing, variants: _ } = Worlds::default();
        Self { min, parallelism, sizing }
    }
}

/// The worker program.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerSettings {
    /// Worker plugin.
    pub plugin: String,
    /// Model of variants that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Image of the worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Command of the worker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Environment of the worker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvironmentVariable>,
    /// Additions to the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        let Worker { plugin, model, image, command, env, phase_timeouts: _, pod_template } = Worker::default();
        Self { plugin, model, image, command, env, pod_template }
    }
}

impl OrderDocument {
    /// Returns the document of an order.
    ///
    /// - **Guarantees:** [`OrderDocument::into_spec`] gives the same specification back.
    pub fn new(identity: OrderIdentity, spec: WorkOrderSpec) -> Self {
        let WorkOrderSpec {
            source,
            task,
            worlds: Worlds { min, parallelism, sizing, variants },
            worker: Worker { plugin, model, image, command, env, phase_timeouts, pod_template },
            evaluation,
            council,
            retry,
            fallbacks,
            budget,
            early_termination,
            approval,
            delivery,
            priority,
            suspend,
            cancel,
            reevaluate,
            deadlines,
            ttl,
        } = spec;
        Self {
            schema: SCHEMA.to_owned(),
            schema_version: SCHEMA_VERSION.to_owned(),
            identity,
            source,
            task,
            phase_timeout: phase_timeouts,
            agents: variants,
            world: WorldSettings { min, parallelism, sizing },
            worker: WorkerSettings { plugin, model, image, command, env, pod_template },
            evaluation,
            council,
            retry,
            fallbacks,
            budget,
            early_termination,
            approval,
            delivery,
            priority,
            suspend,
            cancel,
            reevaluate,
            deadlines,
            ttl,
        }
    }

    /// Returns the specification of a resource.
    pub fn into_spec(self) -> WorkOrderSpec {
        let Self {
            schema: _,
            schema_version: _,
            identity: _,
            source,
            task,
            phase_timeout,
            agents,
            world: WorldSettings { min, parallelism, sizing },
            worker: WorkerSettings { plugin, model, image, command, env, pod_template },
            evaluation,
            council,
            retry,
            fallbacks,
            budget,
            early_termination,
            approval,
            delivery,
            priority,
            suspend,
            cancel,
            reevaluate,
            deadlines,
            ttl,
        } = self;
        WorkOrderSpec {
            source,
            task,
            worlds: Worlds { min, parallelism, sizing, variants: agents },
            worker: Worker { plugin, model, image, command, env, phase_timeouts: phase_timeout, pod_template },
            evaluation,
            council,
            retry,
            fallbacks,
            budget,
            early_termination,
            approval,
            delivery,
            priority,
            suspend,
            cancel,
            reevaluate,
            deadlines,
            ttl,
        }
    }
}
