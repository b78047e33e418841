//! Reasons why a model cannot be called, or an order cannot be held by its Budgets.

use manyworlds_metering::budget_selection::MissingBudget;
use manyworlds_metering::model_choice::ModelError;

use super::budget_status::UnknownZone;

/// Providers and Budgets have not been listed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Providers and Budgets have not been listed yet; try again in a moment, and where this lasts, look in the operator's log whether it may list them"
)]
pub struct NotListed;

/// A reason why a model cannot be called.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// Providers have not been listed yet.
    #[error(transparent)]
    NotListed(#[from] NotListed),
    /// Its Provider's key is still to be read.
    #[error("the key of the Provider {0:?} has not been read yet; try again in a moment")]
    KeyNotRead(String),
    /// No model is meant, or more than one, or its price is not known.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Its Provider has no key.
    #[error("the Provider {provider:?} cannot be used: {said}")]
    NoKey {
        /// Name of the Provider.
        provider: String,
        /// The problem, and what to do.
        said: String,
    },
}

impl LookupError {
    /// Returns whether the reason passes by itself.
    pub const fn passes(&self) -> bool {
        matches!(self, Self::NotListed(_) | Self::KeyNotRead(_))
    }
}

/// A reason why the Budgets of an order are not known.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// Budgets have not been listed yet.
    #[error(transparent)]
    NotListed(#[from] NotListed),
    /// One that may hold it cannot be read.
    #[error("the Budget {0:?} may hold the order and cannot be read by this version of the operator; see its Events")]
    Unreadable(String),
    /// The order names one that is not there.
    #[error(transparent)]
    Missing(#[from] MissingBudget),
    /// None holds it, and one has to.
    #[error(
        "no Budget holds the order, and in this namespace one has to (the value budgets.required of the chart); make a Budget whose selector selects the order, give the order the labels that one selects, or name one in spec.budget.budgetRef"
    )]
    Required,
    /// One has a time zone that is not known.
    #[error("the Budget {name:?} cannot be used")]
    Zone {
        /// Name of the Budget.
        name: String,
        /// The problem.
        #[source]
        source: UnknownZone,
    },
}
