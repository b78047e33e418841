//! The access of Worlds to models: which one, with which key, under which budgets. The gateway asks here.

use jiff::Timestamp;
use manyworlds_api::artifacts::hexadecimal;
use manyworlds_api::provider::Protocol;
use manyworlds_api::work_order::Worker;
use manyworlds_api::{Money, WorkOrder, labels};
use manyworlds_gateway::access::{Access, Grant, ListedModel, Sampling};
use manyworlds_gateway::refusal::Refusal;
use manyworlds_ledger::Caller;
use manyworlds_metering::model_choice::{PricedModel, is_named};
use manyworlds_planner::policy::support::CODER;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::ledger_view::{Models, provider_key};
use crate::catalogue::{BudgetError, CallableModel, LookupError};
use crate::identity::{Audience, Identities, IdentityError, NotAtWork};
use crate::index::lookup::Attempt;
use crate::settings::CacheScope;

/// Answers the gateway's questions from the watches.
pub(crate) struct WorldAccess {
    models: Models,
    identities: Identities,
    cache_scope: CacheScope,
}

impl WorldAccess {
    pub(crate) fn new(models: Models, identities: Identities, cache_scope: CacheScope) -> Self {
        Self { models, identities, cache_scope }
    }

    fn attempt(&self, caller: &Caller) -> Result<Attempt, Refusal> {
        self.identities.caller_at_work(caller).map_err(not_at_work)
    }
}

/// Returns the refusal of a call whose token opens nothing.
fn no_identity(error: &IdentityError) -> Refusal {
    match error {
        IdentityError::Invalid | IdentityError::Forbidden { .. } => Refusal::Token,
        IdentityError::NoPod => Refusal::Stopped,
        IdentityError::Review(_) => {
            tracing::error!(error = %manyworlds_api::errors::error_chain(error), "a token could not be reviewed");
            Refusal::Unavailable
        }
    }
}

/// Returns the refusal of a call whose attempt is not at work.
fn not_at_work(why: NotAtWork) -> Refusal {
    match why {
        // The kubelet's report is on its way, so the client is to try again.
        NotAtWork::NotYet => Refusal::Unavailable,
        NotAtWork::Over => Refusal::Stopped,
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

impl Access for WorldAccess {
    async fn caller(&self, token: &SecretString) -> Result<Caller, Refusal> {
        let pod = self.identities.pod_of_token(token.expose_secret(), Audience::Gateway).await;
        let pod = pod.map_err(|error| no_identity(&error))?;
        let Attempt { key, order, pod, .. } = self.identities.attempt_at_work(&pod).await.map_err(not_at_work)?;
        Ok(Caller {
            namespace: key.namespace.to_string(),
            work_order: key.name.to_string(),
            order_uid: order.uid().to_string(),
            world: pod.owner.name.clone(),
            world_uid: pod.owner.uid.clone(),
            attempt: u32::try_from(pod.attempt).unwrap_or_default(),
        })
    }

    fn may_call(&self, caller: &Caller) -> Result<(), Refusal> {
        self.attempt(caller).map(drop)
    }

    fn grant(&self, caller: &Caller, protocol: Protocol, model: &str) -> Result<Grant, Refusal> {
        let attempt = self.attempt(caller)?;
        let refused = || Refusal::Model(model.to_owned());
        let not_found = |error: LookupError| {
            tracing::warn!(world = caller.world, error = %error, "a World's model cannot be called");
            if error.passes() { Refusal::Unavailable } else { refused() }
        };
        let wanted = attempt.world.model().ok_or_else(refused)?;
        let found = if wanted == labels::AUTOMATIC_MODEL {
            self.models.catalogue.choice(&caller.namespace, model).map_err(not_found)?.ok_or_else(refused)?
        } else {
            let found = self.models.catalogue.model(&caller.namespace, wanted).map_err(not_found)?;
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
        self.granted(caller, &attempt, found)
    }

    fn fallbacks(&self, caller: &Caller, protocol: Protocol) -> Vec<Grant> {
        let Ok(attempt) = self.attempt(caller) else { return Vec::new() };
        let fallbacks = attempt.order.spec.fallbacks.iter();
        let names = fallbacks.filter_map(|fallback| Some(&fallback.switch_model.as_ref()?.model));
        let found = names.filter_map(|name| self.models.catalogue.model(&caller.namespace, name).ok());
        let speaking = found.filter(|found| found.provider.protocol == protocol);
        speaking.filter_map(|found| self.granted(caller, &attempt, found).ok()).collect()
    }

    fn models(&self, caller: &Caller, protocol: Protocol) -> Result<Vec<ListedModel>, Refusal> {
        let Attempt { order, world, .. } = self.attempt(caller)?;
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
            let choices = catalogue.choices(&caller.namespace).map_err(|_| Refusal::Unavailable)?.into_iter();
            let named = choices.map(|found| (found.model.full_name(), found));
            return Ok(named.filter_map(|(name, found)| listed(name, found)).collect());
        }
        let found = catalogue.model(&caller.namespace, wanted).ok();
        Ok(found.and_then(|found| listed(wanted.to_owned(), found)).into_iter().collect())
    }
}

impl WorldAccess {
    fn granted(&self, caller: &Caller, attempt: &Attempt, found: CallableModel) -> Result<Grant, Refusal> {
        let Attempt { order, world, .. } = attempt;
        let budgets = self.models.budget_accounts(order, Timestamp::now()).map_err(|error| {
            tracing::warn!(order = caller.work_order, error = %error, "the budgets of an order cannot be told");
            no_budgets(&error)
        })?;
        Ok(Grant {
            provider_key: provider_key(&caller.namespace, &found.model.provider),
            prices: fingerprint(&found.model.prices),
            key: found.key.map(|key| SecretString::from(key.reveal())),
            provider: found.provider,
            sampling: Sampling { temperature: world.temperature() },
            budgets,
            cache_scope: Some(match self.cache_scope {
                CacheScope::World => caller.world_uid.clone(),
                CacheScope::Order => caller.order_uid.clone(),
                CacheScope::Namespace => format!("namespace/{}", caller.namespace),
            }),
            filter: is_ours(&order.spec.worker).then(|| self.models.catalogue.filter(&caller.namespace)),
            priority: order.spec.priority,
            model: found.model,
        })
    }
}

/// Returns the refusal of a call of an order whose budgets cannot be told.
fn no_budgets(error: &BudgetError) -> Refusal {
    match error {
        // What is not known may still hold it, so nothing passes; the client is to try again.
        BudgetError::NotListed(_) | BudgetError::Unreadable(_) => Refusal::Unavailable,
        BudgetError::Missing(_) | BudgetError::Required | BudgetError::Zone { .. } => {
            Refusal::Budget(error.to_string())
        }
    }
}

/// Returns a name for prices that changes with them, so that a row of the ledger says which ones it was computed with.
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
        order.object_mut().spec.budget = serde_json::from_value(json!({"maxCost": "5.00"})).unwrap();
        assert_eq!(cost_share(&order), Some("1.00".parse().unwrap()), "five Worlds are the default");
        order.object_mut().spec.worlds.variants.truncate(3);
        assert_eq!(cost_share(&order), Some("1.666666666666".parse().unwrap()));
    }

    #[test]
    fn calls_that_no_budget_can_hold_yet_are_refused_for_a_moment() {
        for error in [BudgetError::NotListed(NotListed), BudgetError::Unreadable("month".to_owned())] {
            let reason = no_budgets(&error);
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
