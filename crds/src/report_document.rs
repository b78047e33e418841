//! `report@1`: the report on one World, as plain JSON. It is the artifact `report`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::order_document::OrderIdentity;
use crate::result::WorldResult;

/// Name of the document.
pub const SCHEMA: &str = "report@1";
/// Version of its schema.
pub const SCHEMA_VERSION: &str = "1.1";

/// The report on one World.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportDocument {
    /// `report@1`.
    #[schemars(extend("const" = SCHEMA))]
    pub schema: String,
    /// `1.1`.
    #[schemars(regex(pattern = r"^1\.[0-9]+$"))]
    pub schema_version: String,
    /// The order.
    pub identity: OrderIdentity,
    /// Name of the variant.
    #[schemars(length(min = 1, max = 16))]
    pub world: String,
    /// Number of the attempt, from 1.
    #[schemars(range(min = 1))]
    pub attempt: i32,
    /// Whether the change passed every required gate and reached `acceptScore`.
    pub status: ReportStatus,
    /// Points out of 100.
    #[schemars(range(min = 0, max = 100))]
    pub score: i32,
    /// The commit that the World started from.
    #[schemars(length(max = 64))]
    pub base_commit: String,
    /// Results of the gates.
    pub result: WorldResult,
    /// End of the worker.
    pub worker: WorkerSummary,
    /// Last output lines of each gate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<GateOutput>,
}

/// The status of a report.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportStatus {
    /// Every required gate passed and the score reached `acceptScore`.
    Success,
    /// A required gate failed or the score is too low.
    Failure,
}

/// The end of the worker.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerSummary {
    /// Exit code of the worker; absent when a signal ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Whether the worker ran out of time.
    #[serde(default)]
    pub timed_out: bool,
    /// Run time of the worker in milliseconds.
    pub milliseconds: u64,
    /// The worker's summary of its work.
    #[serde(default)]
    pub summary: String,
}

/// The last output lines of a gate.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateOutput {
    /// Name of the gate.
    pub gate: String,
    /// Last lines, without control characters.
    pub tail: String,
}
