//! What the gateway asks others: who calls, and what they may call.

use std::future::Future;

use manyworlds_api::provider::{Protocol, ProviderSpec};
use manyworlds_planner::policy::models::PricedModel;
use secrecy::SecretString;

use crate::refusal::Reason;

/// The attempt of a World that a call comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// Namespace of the order.
    pub namespace: String,
    /// Name of the order.
    pub order: String,
    /// Uid of the order.
    pub order_uid: String,
    /// Name of the World.
    pub world: String,
    /// Uid of the World.
    pub world_uid: String,
    /// Number of the attempt, from 1.
    pub attempt: u32,
}

/// Tells whose a token is.
pub trait Callers: Send + Sync {
    /// Returns who holds a token.
    ///
    /// - **Guarantees:** a World that was stopped is refused from the moment at which the stop was seen, whatever was answered before.
    ///
    /// # Errors
    ///
    /// [`Reason::Token`] or [`Reason::Stopped`].
    fn caller(&self, token: &SecretString) -> impl Future<Output = Result<Caller, Reason>> + Send;
}

/// A model that a caller may use, with all that is needed to call it.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The model and its prices.
    pub model: PricedModel,
    /// Its Provider.
    pub provider: ProviderSpec,
    /// The Provider's key. Without it, calls are sent without a key.
    pub key: Option<SecretString>,
}

/// Tells what a World may call.
pub trait Catalogue: Send + Sync {
    /// Returns the model of a name for a caller who speaks a protocol.
    ///
    /// # Errors
    ///
    /// [`Reason::Model`] when the caller's variant does not have it.
    fn grant(
        &self,
        caller: &Caller,
        protocol: Protocol,
        model: &str,
    ) -> impl Future<Output = Result<Grant, Reason>> + Send;
}
