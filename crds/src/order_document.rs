//! `workorder@1`: the order as plain JSON, as workers read it and as the REST API takes it.
//!
//! It holds everything that a WorkOrder resource does, so each can be made from the other without loss.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::work_order::{
    Approval, Budget, Council, Deadlines, Delivery, EarlyTermination, EnvironmentVariable, Evaluation, Fallback,
    PhaseTimeouts, PodTemplate, Retry, Sizing, Source, Task, TimeToLive, Variant, WorkOrderSpec, Worker, Worlds,
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
    /// Which order it is.
    pub identity: OrderIdentity,
    /// Where the code comes from.
    pub source: Source,
    /// What is to be done.
    pub task: Task,
    /// How long each phase may take.
    #[serde(default)]
    pub phase_timeout: PhaseTimeouts,
    /// Who works on it: one for each World. A worker that runs in a World finds itself alone here.
    #[schemars(length(min = 1, max = 50))]
    pub agents: Vec<Variant>,
    /// What the Worlds have in common.
    #[serde(default)]
    pub world: WorldSettings,
    /// The program that works.
    #[serde(default)]
    pub worker: WorkerSettings,
    /// How the change is judged.
    #[serde(default)]
    pub evaluation: Evaluation,
    /// Who ranks eligible Worlds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub council: Option<Council>,
    /// What happens after a failure.
    #[serde(default)]
    pub retry: Retry,
    /// What to try when too few Worlds are eligible.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<Fallback>,
    /// The most that may be spent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// When there are enough good results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_termination: Option<EarlyTermination>,
    /// Whether a person must agree.
    #[serde(default)]
    pub approval: Approval,
    /// What becomes of the winning change.
    #[serde(default)]
    pub delivery: Delivery,
    /// Priority.
    #[serde(default)]
    pub priority: i32,
    /// Whether the order is held.
    #[serde(default)]
    pub suspend: bool,
    /// Whether the order is ended.
    #[serde(default)]
    pub cancel: bool,
    /// How long it may wait and run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadlines: Option<Deadlines>,
    /// How long it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<TimeToLive>,
}

/// Which order a document is about.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderIdentity {
    /// Namespace of the order.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Name of the order.
    #[schemars(length(min = 1, max = 40))]
    pub name: String,
    /// Its uid, once it exists.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub uid: String,
}

/// What the Worlds of an order have in common.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorldSettings {
    /// How many eligible results are enough.
    pub min: i32,
    /// How many run at once.
    pub parallelism: i32,
    /// How large they are.
    pub sizing: Sizing,
}

impl Default for WorldSettings {
    fn default() -> Self {
        let Worlds { min, parallelism, sizing, variants: _ } = Worlds::default();
        Self { min, parallelism, sizing }
    }
}

/// The program that works.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerSettings {
    /// Plugin.
    pub plugin: String,
    /// Model of agents that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvironmentVariable>,
    /// What the pods have besides.
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
    /// Makes the document of an order.
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
            deadlines,
            ttl,
        }
    }

    /// Makes the specification of a resource from the document.
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
            deadlines,
            ttl,
        }
    }
}
