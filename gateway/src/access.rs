//! The questions that the gateway asks its host: who calls, and what may they call?

use std::future::Future;
use std::sync::Arc;

use manyworlds_api::Money;
use manyworlds_api::provider::{Prices, Protocol, ProviderSpec};
use manyworlds_ledger::{BudgetAccount, Caller};
use manyworlds_masking::Filter;
use manyworlds_metering::model_choice::PricedModel;
use secrecy::SecretString;

use crate::refusal::Refusal;

/// A model that a World may use, with all that is needed to call it.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The model and its prices.
    pub model: PricedModel,
    /// The name of the Provider in the ledger: `<namespace>/<name>`.
    pub provider_key: String,
    /// The Provider.
    pub provider: Arc<ProviderSpec>,
    /// The Provider's key. Without it, calls are sent without a key.
    pub key: Option<SecretString>,
    /// The name of the prices by which calls are charged.
    pub prices: String,
    /// The variant's sampling values. They replace the client's.
    pub sampling: Sampling,
    /// Every budget that holds the World.
    pub budgets: Vec<BudgetAccount>,
    /// The scope within which answers at temperature 0 are shared. Without it, no answer is kept.
    pub cache_scope: Option<String>,
    /// The filter that masks secrets in the calls of our own worker, in both directions. Calls of other clients have none and are
    /// never changed.
    pub filter: Option<Filter>,
    /// The priority of the order where there is not room for all calls: the greater comes first.
    pub priority: i32,
}

/// Sampling values that a variant sets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sampling {
    /// The temperature.
    pub temperature: Option<f64>,
}

/// A model in the list of those that a World may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedModel {
    /// The name by which the World calls it.
    pub name: String,
    /// Its strength from 1 to 100, where its Provider gives one.
    pub strength: Option<i32>,
    /// The prices of its tokens, where they are known.
    pub prices: Option<Prices>,
    /// The most input tokens of a call, where that is known.
    pub context_window: Option<u64>,
    /// The most tokens of an answer, where that is known.
    pub max_output_tokens: Option<u64>,
    /// The World's even share of what its order may cost, where that is bounded.
    pub cost_share: Option<Money>,
}

/// Knows the World that holds a token, and the models that it may call.
pub trait Access: Send + Sync + 'static {
    /// Returns the attempt of a World that holds a token.
    ///
    /// # Errors
    ///
    /// [`Refusal::Token`] or [`Refusal::Stopped`].
    fn caller(&self, token: &SecretString) -> impl Future<Output = Result<Caller, Refusal>> + Send;

    /// Checks that a World may still call.
    ///
    /// - **Guarantees:** asks nobody. A World that was stopped is refused from the moment at which the stop was seen.
    ///
    /// # Errors
    ///
    /// [`Refusal::Stopped`].
    fn may_call(&self, caller: &Caller) -> Result<(), Refusal>;

    /// Returns the model of a name, for a World that speaks a protocol.
    ///
    /// # Errors
    ///
    /// [`Refusal::Model`] when the World's variant does not have it.
    fn grant(&self, caller: &Caller, protocol: Protocol, model: &str) -> Result<Grant, Refusal>;

    /// Returns the models that may be called in the place of the wanted one while its breaker is open, in the order in which
    /// they are tried.
    fn fallbacks(&self, caller: &Caller, protocol: Protocol) -> Vec<Grant>;

    /// Returns the models that a World may call in a protocol.
    ///
    /// # Errors
    ///
    /// [`Refusal::Stopped`].
    fn models(&self, caller: &Caller, protocol: Protocol) -> Result<Vec<ListedModel>, Refusal>;
}
