//! What a Provider reports.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Money;

/// How a Provider stands.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// `Ready`: key and prices are there. `Reachable`: the last calls were answered; Unknown before the first call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::foreign::conditions")]
    pub conditions: Vec<Condition>,

    /// One sentence on what is wrong, where something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,

    /// How many of its models may be called, because their price is known.
    #[serde(default)]
    pub models: i32,

    /// The breaker that is furthest from closed among those of its models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerState>,

    /// What the last minute used of the limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowUse>,

    /// What today's calls have cost, in dollars. The day is that of Coordinated Universal Time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_today: Option<Money>,
}

/// State of a breaker.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BreakerState {
    /// Calls go through.
    #[default]
    Closed,
    /// Single calls go through, to see whether they are answered.
    HalfOpen,
    /// No call goes through.
    Open,
}

/// What the last minute used of the limits.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowUse {
    /// The share of that limit of which the most was used, such as `80%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub summary: Option<String>,
    /// Calls.
    #[serde(default)]
    pub requests: i64,
    /// Tokens, input and output together.
    #[serde(default)]
    pub tokens: i64,
}
