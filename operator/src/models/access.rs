//! Whose a token is and what a World may call: TokenReview once in a while, the operator's own watch each time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::Client;
use manyworlds_api::artifacts::hexadecimal;
use manyworlds_api::provider::Protocol;
use manyworlds_api::work_order::Worker;
use manyworlds_api::{Money, WorkOrder, World, labels};
use manyworlds_gateway::access::{Access, Grant, ListedModel, Sampling};
use manyworlds_gateway::refusal::Refusal;
use manyworlds_ledger::Party;
use manyworlds_metering::model_choice::{PricedModel, is_named};
use manyworlds_planner::observation::{ObservedPod, Presence};
use manyworlds_planner::policy::support::CODER;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{Models, provider_key};
use crate::artifacts::{PodIdentity, TokenReviews};
use crate::catalogue::{CallableModel, HolderError, LookupError};
use crate::index::OrderKey;
use crate::settings::CacheScope;

/// How long the API server's word on a token is believed. Whether the World may still call is looked at each time.
const BELIEVED: Duration = Duration::from_secs(10);
/// How long it is believed that nobody holds a token.
const DISBELIEVED: Duration = Duration::from_secs(2);
/// The most tokens that are remembered.
const REMEMBERED: usize = 8192;

type Fingerprint = [u8; 32];

/// The gateway's questions, answered from the cluster.
pub(super) struct WorldAccess {
    models: Models,
    reviews: TokenReviews,
    cache_scope: CacheScope,
    known: Mutex<HashMap<Fingerprint, Known>>,
}

struct Known {
    until: Instant,
    pod: Option<PodIdentity>,
}

impl WorldAccess {
    pub(super) fn new(models: Models, client: Client, cache_scope: CacheScope) -> Self {
        Self { models, reviews: TokenReviews::new(client), cache_scope, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Fingerprint, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the pod that a token is bound to.
    async fn pod(&self, token: &SecretString) -> Result<PodIdentity, Refusal> {
        let fingerprint: Fingerprint = Sha256::digest(token.expose_secret().as_bytes()).into();
        let now = Instant::now();
        if let Some(known) = self.known().get(&fingerprint).filter(|known| known.until > now) {
            return known.pod.clone().ok_or(Refusal::Token);
        }
        let pod = match self.reviews.pod(token.expose_secret(), labels::GATEWAY_AUDIENCE).await {
            Ok(pod) => pod,
            Err(error) => {
                tracing::error!(error = %manyworlds_api::errors::error_chain(&error), "a token could not be reviewed");
                return Err(Refusal::Unavailable);
            }
        };
        let until = now + if pod.is_some() { BELIEVED } else { DISBELIEVED };
        let mut known = self.known();
        if known.len() >= REMEMBERED {
            known.retain(|_, known| known.until > now);
        }
        if known.len() < REMEMBERED {
            known.insert(fingerprint, Known { until, pod: pod.clone() });
        }
        pod.ok_or(Refusal::Token)
    }

    fn order_of(&self, party: &Party) -> Result<(Arc<WorkOrder>, Arc<World>), Refusal> {
        let key = OrderKey { namespace: party.namespace.as_str().into(), name: party.work_order.as_str().into() };
        let pod_name = format!("{}-{}", party.world, party.attempt);
        let (order, pod) = self.models.index.pod(&key, &pod_name).ok_or(Refusal::Stopped)?;
        let world = self.models.index.world(&party.namespace, &party.world).ok_or(Refusal::Stopped)?;
        let same = order.metadata.uid.as_deref() == Some(party.order_uid.as_str())
            && world.metadata.uid.as_deref() == Some(party.world_uid.as_str())
            && pod.owner.uid == party.world_uid;
        if same && goes_on(&order) && works(&world, &pod) { Ok((order, world)) } else { Err(Refusal::Stopped) }
    }
}

/// Returns whether a worker's prompts are our own, so that they may be altered.
fn is_ours(worker: &Worker) -> bool {
    worker.plugin == CODER
}

/// Returns what each World of an order may cost if all cost the same, where its money is bounded.
fn cost_share(order: &WorkOrder) -> Option<Money> {
    let worlds = u128::try_from(order.spec.worlds.variants.len()).ok()?;
    let most = order.spec.budget.as_ref()?.max_cost;
    most.trillionths().checked_div(worlds).map(Money::from_trillionths)
}

/// Returns whether an order may still spend.
fn goes_on(order: &WorkOrder) -> bool {
    order.metadata.deletion_timestamp.is_none() && !order.spec.suspend && !order.spec.cancel && !order.is_finished()
}

/// Returns whether the attempt of a pod is the present one and not over.
fn works(world: &World, pod: &ObservedPod) -> bool {
    let recorded = world.status.as_ref().map_or(0, |status| status.attempt_count);
    world.metadata.deletion_timestamp.is_none()
        && pod.attempt > recorded
        && pod.presence == Presence::Present
        && !pod.phase.is_terminal()
}

impl Access for WorldAccess {
    async fn caller(&self, token: &SecretString) -> Result<Party, Refusal> {
        let identity = self.pod(token).await?;
        let (key, order, pod) =
            self.models.index.pod_named(&identity.namespace, &identity.name).ok_or(Refusal::Stopped)?;
        if pod.uid != identity.uid {
            return Err(Refusal::Stopped);
        }
        let party = Party {
            namespace: identity.namespace,
            work_order: key.name.to_string(),
            order_uid: order.metadata.uid.clone().unwrap_or_default(),
            world: pod.owner.name.clone(),
            world_uid: pod.owner.uid.clone(),
            attempt: u32::try_from(pod.attempt).unwrap_or_default(),
        };
        self.may_call(&party).map(|()| party)
    }

    fn may_call(&self, party: &Party) -> Result<(), Refusal> {
        self.order_of(party).map(drop)
    }

    fn grant(&self, party: &Party, protocol: Protocol, model: &str) -> Result<Grant, Refusal> {
        let (order, world) = self.order_of(party)?;
        let refused = || Refusal::Model(model.to_owned());
        let not_found = |error: LookupError| {
            tracing::warn!(world = party.world, error = %error, "a World's model cannot be called");
            if error.passes() { Refusal::Unavailable } else { refused() }
        };
        let wanted = world.model().ok_or_else(refused)?;
        let found = if wanted == labels::AUTOMATIC_MODEL {
            self.models.catalogue.choice(&party.namespace, model).map_err(not_found)?.ok_or_else(refused)?
        } else {
            let found = self.models.catalogue.model(&party.namespace, wanted).map_err(not_found)?;
            if model != wanted && !is_named(model, &found.model.provider, &found.model.model) {
                return Err(refused());
            }
            found
        };
        if found.provider.protocol != protocol {
            return Err(Refusal::Request(format!(
                "the model {model} speaks {}, and this is a request of {}",
                found.provider.protocol.as_str(),
                protocol.as_str()
            )));
        }
        self.granted(party, &order, &world, found)
    }

    fn fallbacks(&self, party: &Party, protocol: Protocol) -> Vec<Grant> {
        let Ok((order, world)) = self.order_of(party) else { return Vec::new() };
        let names = order.spec.fallbacks.iter().filter_map(|fallback| Some(&fallback.switch_model.as_ref()?.model));
        let found = names.filter_map(|name| self.models.catalogue.model(&party.namespace, name).ok());
        let speaking = found.filter(|found| found.provider.protocol == protocol);
        speaking.filter_map(|found| self.granted(party, &order, &world, found).ok()).collect()
    }

    fn models(&self, party: &Party, protocol: Protocol) -> Result<Vec<ListedModel>, Refusal> {
        let (order, world) = self.order_of(party)?;
        let Some(wanted) = world.model() else { return Ok(Vec::new()) };
        let catalogue = &self.models.catalogue;
        catalogue.listed().map_err(|_| Refusal::Unavailable)?;
        let cost_share = cost_share(&order);
        let listed = |name: String, found: CallableModel| {
            let PricedModel { strength, prices, context_window, max_output_tokens, .. } = found.model;
            let listed =
                ListedModel { name, strength, prices: Some(prices), context_window, max_output_tokens, cost_share };
            (found.provider.protocol == protocol).then_some(listed)
        };
        if wanted == labels::AUTOMATIC_MODEL {
            let choices = catalogue.choices(&party.namespace).map_err(|_| Refusal::Unavailable)?.into_iter();
            let named = choices.map(|found| (found.model.full_name(), found));
            return Ok(named.filter_map(|(name, found)| listed(name, found)).collect());
        }
        let found = catalogue.model(&party.namespace, wanted).ok();
        Ok(found.and_then(|found| listed(wanted.to_owned(), found)).into_iter().collect())
    }
}

impl WorldAccess {
    fn granted(&self, party: &Party, order: &WorkOrder, world: &World, found: CallableModel) -> Result<Grant, Refusal> {
        let holders = self.models.holders(order, Timestamp::now()).map_err(|error| {
            tracing::warn!(order = party.work_order, error = %error, "an order cannot be held by its Budgets");
            not_held(&error)
        })?;
        Ok(Grant {
            provider_key: provider_key(&party.namespace, &found.model.provider),
            prices: fingerprint(&found.model.prices),
            key: found.key.map(|key| SecretString::from(key.reveal())),
            provider: found.provider,
            sampling: Sampling { temperature: world.temperature() },
            holders,
            cache_scope: Some(match self.cache_scope {
                CacheScope::World => party.world_uid.clone(),
                CacheScope::Order => party.order_uid.clone(),
                CacheScope::Namespace => format!("namespace/{}", party.namespace),
            }),
            filter: is_ours(&order.spec.worker).then(|| self.models.catalogue.filter()),
            priority: order.spec.priority,
            model: found.model,
        })
    }
}

/// Returns why a World may not call whose order cannot be held by its Budgets.
fn not_held(error: &HolderError) -> Refusal {
    match error {
        // What is not known may still hold it, so nothing passes; the client is to try again.
        HolderError::NotListed(_) | HolderError::Unreadable(_) => Refusal::Unavailable,
        HolderError::Missing(_) | HolderError::Zone { .. } => Refusal::Budget(error.to_string()),
    }
}

/// Names prices by what they are, so that a row of the ledger says which of them it was reckoned by.
fn fingerprint(prices: &manyworlds_api::provider::Prices) -> String {
    let text = serde_json::to_vec(prices).unwrap_or_default();
    let digest = Sha256::digest(&text);
    hexadecimal(&digest[..8])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalogue::NotListed;
    use crate::index::fixtures::order;

    #[test]
    fn a_worlds_share_of_the_orders_money_is_even() {
        let mut order = order(json!({}));
        assert_eq!(cost_share(&order), None, "an order without a budget has no bound");
        order.spec.budget = serde_json::from_value(json!({"maxCost": "5.00"})).unwrap();
        assert_eq!(cost_share(&order), Some("1.00".parse().unwrap()), "five Worlds are the default");
        order.spec.worlds.variants.truncate(3);
        assert_eq!(cost_share(&order), Some("1.666666666666".parse().unwrap()));
    }

    #[test]
    fn calls_that_no_budget_can_hold_yet_are_refused_for_a_moment() {
        for error in [HolderError::NotListed(NotListed), HolderError::Unreadable("month".to_owned())] {
            let reason = not_held(&error);
            assert_eq!((reason.status().as_u16(), reason.client_may_retry()), (503, true), "{error}");
        }
    }

    #[test]
    fn only_the_coders_prompts_are_our_own() {
        for (plugin, ours) in [("coder", true), ("command", false), ("echo", false), ("coder-of-others", false)] {
            assert_eq!(is_ours(&Worker { plugin: plugin.to_owned(), ..Worker::default() }), ours, "{plugin}");
        }
    }
}
