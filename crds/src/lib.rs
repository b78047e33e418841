//! The resources, documents and wire formats of Manyworlds.
//!
//! Everything that crosses a process boundary is declared here once: the kinds that people apply, the order and report
//! documents of the worker SDK, the result that a World leaves in its pod's termination message, and the labels,
//! environment variables and paths that the operator and the runner agree on.
//!
//! **Architecture invariant:** this crate has no Kubernetes client, no asynchronous runtime and no other member of the
//! workspace among its dependencies, so that a third party can depend on it alone.

#![expect(
    clippy::duplicated_attributes,
    reason = "each printer column is an attribute of its own with a type of its own"
)]

pub mod artifacts;
pub mod baseline_document;
pub mod budget;
pub mod conditions;
pub mod duration;
pub mod errors;
mod foreign;
pub mod generate;
pub mod labels;
pub mod money;
pub mod object;
pub mod order_document;
pub mod provider;
pub mod report_document;
pub mod result;
pub mod work_order;
pub mod world;

pub use budget::{Budget, BudgetSpec, BudgetStatus};
pub use duration::Duration;
pub use money::Money;
pub use provider::{Provider, ProviderSpec, ProviderStatus};
pub use work_order::{WorkOrder, WorkOrderSpec, WorkOrderStatus};
pub use world::{World, WorldSpec, WorldStatus};

/// API group of every kind.
pub const GROUP: &str = "manyworlds.dev";
/// API version of every kind.
pub const VERSION: &str = "v1alpha1";
