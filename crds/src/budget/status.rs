//! What a Budget reports.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::Money;

/// How a Budget stands.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// `Ready`: the Budget holds. `Exceeded`: nothing is left of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::foreign::conditions")]
    pub conditions: Vec<Condition>,

    /// One sentence on what is wrong, where something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,

    /// When the present period began; absent when there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_start: Option<Time>,

    /// When it ends; absent when it never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_end: Option<Time>,

    /// What the calls of the period have cost, in dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<Money>,

    /// What the calls that are under way may cost at most, in dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<Money>,

    /// What may still be spent, in dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Money>,

    /// What the period will have cost at its end if money is spent at the present pace, in dollars; absent when it never ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Money>,

    /// The greatest percentage of `warnAt` that is reached; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warned: Option<i32>,
}
