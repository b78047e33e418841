//! Status of a Budget.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::Money;

/// The status of a Budget.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// `Ready`: the Budget limits its orders. `Exceeded`: the amount is used up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::foreign::conditions")]
    pub conditions: Vec<Condition>,

    /// One sentence on a problem; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,

    /// Start of the current period; absent for `Total`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_start: Option<Time>,

    /// End of the current period; absent for `Total`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_end: Option<Time>,

    /// Cost of the calls in this period, in dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<Money>,

    /// The most that the calls in flight can cost, in dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<Money>,

    /// Money that is left, in dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Money>,

    /// Forecast of the cost at the end of the period at the current pace, in dollars; absent for `Total`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Money>,

    /// The highest percentage of `warnAt` that is reached; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warned: Option<i32>,
}
