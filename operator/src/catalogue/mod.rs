//! Providers and Budgets: what the gateway asks when a call comes, and what both show.
//!
//! Watches keep the resources in memory. Keys are read by name; the operator has no right to list Secrets, and each
//! namespace allows it the ones that its Providers name.

pub(crate) mod budget;
mod budget_status;
mod errors;
mod key;
pub(crate) mod provider;
mod provider_status;
mod records;
mod store;
#[cfg(test)]
mod tests;

pub use budget_status::{Spending, UnknownZone};
pub use errors::{BudgetError, LookupError, NotListed};
pub use key::{ApiKey, KeyState};
pub use provider_status::{Reach, Traffic};
pub(crate) use records::Key;
pub use records::{ApplicableBudget, CallableModel};
pub use store::Catalogue;
