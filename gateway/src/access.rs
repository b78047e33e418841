//! What the gateway asks others: who calls, and what they may call.

use std::future::Future;
use std::sync::Arc;

use manyworlds_api::Money;
use manyworlds_api::provider::{Prices, Protocol, ProviderSpec};
use manyworlds_ledger::{Holder, Party};
use manyworlds_masking::Filter;
use manyworlds_metering::model_choice::PricedModel;
use secrecy::SecretString;

use crate::refusal::Reason;

/// A model that a World may use, with all that is needed to call it.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The model and its prices.
    pub model: PricedModel,
    /// Names the Provider in the ledger, as `<namespace>/<name>`.
    pub provider_key: String,
    /// The Provider.
    pub provider: Arc<ProviderSpec>,
    /// The Provider's key. Without it, calls are sent without a key.
    pub key: Option<SecretString>,
    /// Names the prices that calls are reckoned by.
    pub prices: String,
    /// The variant's sampling values, which take the place of the client's.
    pub sampling: Sampling,
    /// Every budget that holds the World.
    pub holders: Vec<Holder>,
    /// Whose answers at temperature 0 the World may have, and who may have its own; without it, none is kept.
    pub cache_scope: Option<String>,
    /// What must not pass in the calls of our own worker, in either direction. Without it, calls are another client's, and never altered.
    pub filter: Option<Filter>,
    /// Whose turn comes first where there is not room for all: the greater.
    pub priority: i32,
}

/// Sampling values that a variant sets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sampling {
    /// The temperature.
    pub temperature: Option<f64>,
}

/// A model that a World may call, as it is listed for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name by which the World calls it.
    pub name: String,
    /// How able it is, from 1 to 100, where its Provider says so.
    pub strength: Option<i32>,
    /// What its tokens cost, where that is known.
    pub prices: Option<Prices>,
    /// How many input tokens a call may have, where that is known.
    pub context_window: Option<u64>,
    /// How many tokens an answer has at most, where that is known.
    pub max_output_tokens: Option<u64>,
    /// The World's even share of what its order may cost, where that is bounded.
    pub cost_share: Option<Money>,
}

/// Tells whose a token is and what a World may call.
pub trait Access: Send + Sync + 'static {
    /// Returns the attempt of a World that holds a token.
    ///
    /// # Errors
    ///
    /// [`Reason::Token`] or [`Reason::Stopped`].
    fn party(&self, token: &SecretString) -> impl Future<Output = Result<Party, Reason>> + Send;

    /// Returns whether a World may still call.
    ///
    /// - **Guarantees:** asks nobody. A World that was stopped is refused from the moment at which the stop was seen.
    ///
    /// # Errors
    ///
    /// [`Reason::Stopped`].
    fn standing(&self, party: &Party) -> Result<(), Reason>;

    /// Returns the model of a name for a World that speaks a protocol.
    ///
    /// # Errors
    ///
    /// [`Reason::Model`] when the World's variant does not have it.
    fn grant(&self, party: &Party, protocol: Protocol, model: &str) -> Result<Grant, Reason>;

    /// Returns the models that may be called in the place of the wanted one while its breaker is open, in the order in which
    /// they are tried.
    fn fallbacks(&self, party: &Party, protocol: Protocol) -> Vec<Grant>;

    /// Returns the models that a World may call in a protocol.
    ///
    /// # Errors
    ///
    /// [`Reason::Stopped`].
    fn models(&self, party: &Party, protocol: Protocol) -> Result<Vec<Listed>, Reason>;
}
