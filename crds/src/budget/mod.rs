//! Budget: the money that the selected orders may spend in a period.

mod selector;
mod status;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use selector::{Requirement, Selector, SelectorOperator};
pub use status::BudgetStatus;

use crate::Money;
use crate::work_order::BudgetExceeded;

/// The money that the selected orders may spend in a period.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "manyworlds.dev",
    version = "v1alpha1",
    kind = "Budget",
    plural = "budgets",
    shortname = "bud",
    category = "manyworlds",
    namespaced,
    status = "BudgetStatus",
    derive = "PartialEq",
    doc = "A Budget is the money that the WorkOrders which it selects may spend on models in a period. An order is held by every Budget that selects it, by the one that it names, and by its own limit.",
    printcolumn(name = "Amount", type_ = "string", json_path = ".spec.amount", description = "Dollars for a period"),
    printcolumn(name = "Period", type_ = "string", json_path = ".spec.period"),
    printcolumn(
        name = "Spent",
        type_ = "string",
        json_path = ".status.spent",
        description = "What this period's calls have cost, in dollars"
    ),
    printcolumn(
        name = "Reserved",
        type_ = "string",
        json_path = ".status.reserved",
        description = "What calls that are under way may cost at most, in dollars",
        priority = 1
    ),
    printcolumn(
        name = "Left",
        type_ = "string",
        json_path = ".status.left",
        description = "What may still be spent, in dollars"
    ),
    printcolumn(
        name = "Forecast",
        type_ = "string",
        json_path = ".status.forecast",
        description = "What the period will have cost at its end at this pace, in dollars"
    ),
    printcolumn(
        name = "Exceeded",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Exceeded\")].status",
        description = "Whether the orders wait or end for want of money"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.message",
        description = "One sentence on what is wrong",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct BudgetSpec {
    /// Dollars per period, as a decimal text such as "100.00".
    #[x_kube(validation = Rule::new("quantity(self).isGreaterThan(quantity('0'))").message("amount must be greater than zero; suspend the orders to spend nothing"))]
    pub amount: Money,

    /// The period after which spending is counted from zero again.
    #[serde(default)]
    pub period: Period,

    /// Time zone of the period, as a name of the IANA database such as `Europe/Berlin`.
    #[serde(default = "universal_time")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$"))]
    pub time_zone: String,

    /// The WorkOrders of the Budget's namespace that spend from it. An empty selector selects all.
    #[serde(default)]
    pub selector: Selector,

    /// Percentages of the amount at which an Event and a metric warn.
    #[serde(default = "warnings")]
    #[schemars(length(max = 8), inner(range(min = 1, max = 100)))]
    #[x_kube(validation = Rule::new("self.all(p, self.exists_one(q, q == p))").message("the percentages of warnAt must be unique"))]
    pub warn_at: Vec<i32>,

    /// Effect on the orders when the amount is used up.
    #[serde(default)]
    pub on_exceeded: BudgetExceeded,
}

/// The period of a Budget.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Period {
    /// A day; it begins at midnight.
    Day,
    /// A week; it begins at midnight before Monday.
    Week,
    /// A month; it begins at midnight before the first day.
    #[default]
    Month,
    /// One period without an end.
    Total,
}

fn universal_time() -> String {
    "UTC".to_owned()
}

fn warnings() -> Vec<i32> {
    vec![50, 80, 95]
}
