//! Status of a Provider.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Money;

/// The status of a Provider.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// `Ready`: the key and the prices are known. `Reachable`: the last calls were answered; Unknown before the first call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::foreign::conditions")]
    pub conditions: Vec<Condition>,

    /// One sentence on a problem; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,

    /// Number of models that can be called because their price is known.
    #[serde(default)]
    pub models: i32,

    /// The worst breaker state among its models: `Open`, then `HalfOpen`, then `Closed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerState>,

    /// Use of the limits in the last minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowUse>,

    /// Cost of today's calls in dollars. The day is in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_today: Option<Money>,
}

/// The state of a breaker.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BreakerState {
    /// Calls are sent.
    #[default]
    Closed,
    /// Single calls are sent to test the model.
    HalfOpen,
    /// No call is sent.
    Open,
}

/// The use of the limits in the last minute.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowUse {
    /// Share of the most used limit, such as `80%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub summary: Option<String>,
    /// Number of calls.
    #[serde(default)]
    pub requests: i64,
    /// Number of tokens, input and output together.
    #[serde(default)]
    pub tokens: i64,
}
