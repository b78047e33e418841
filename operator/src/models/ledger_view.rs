//! The view of Providers, Budgets, calls and money for the decision about an order and for the gateway.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use jiff::Timestamp;
use manyworlds_api::labels::AUTOMATIC_MODEL;
use manyworlds_api::object::Stored;
use manyworlds_api::provider::BreakerState;
use manyworlds_api::work_order::{BudgetExceeded, Usage};
use manyworlds_api::{Money, WorkOrder};
use manyworlds_gateway::WaitList;
use manyworlds_ledger::{BudgetAccount, Ledger, LedgerError, Spending};
use manyworlds_metering::budget::SpendingLimit;
use manyworlds_metering::budget_selection::HeldOrder;
use manyworlds_metering::model_choice::PricedModel;
use manyworlds_planner::policy::support;
use manyworlds_planner::{Exhausted, ModelUse};

use crate::budget_requirement::BudgetRequirement;
use crate::catalogue::{BudgetError, Catalogue};
use crate::index::Index;

/// The ledger, with the resources that its rows are about. Clones share them.
#[derive(Clone)]
pub(crate) struct Models {
    /// Providers and Budgets.
    pub(crate) catalogue: Catalogue,
    /// Calls and money.
    pub(crate) ledger: Ledger,
    /// Orders and Worlds.
    pub(crate) index: Arc<Index>,
    /// The calls that wait for room within limits, where the gateway is in this process.
    pub(crate) waits: WaitList,
    /// Where a Budget has to hold an order.
    pub(crate) requirement: BudgetRequirement,
}

/// A budget that limits an order.
struct OrderBudget {
    /// The Budget's name; the order's own has none.
    name: Option<String>,
    /// Its account in the ledger.
    account: BudgetAccount,
    /// What it is, for people.
    description: String,
    /// The effect on the order once it is used up.
    on_exceeded: BudgetExceeded,
}

impl Models {
    /// Returns what the decision about an order needs to know.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when the ledger does not answer.
    pub(crate) async fn of_order(&self, order: &Stored<WorkOrder>, now: Timestamp) -> Result<ModelUse, LedgerError> {
        let wanted = support::models(&order.spec);
        if wanted.is_empty() {
            return Ok(ModelUse::default());
        }
        let namespace = order.namespace();
        let (mut callable, mut problem) = (Vec::new(), None);
        for model in wanted {
            match self.callable(namespace, model) {
                Ok(found) => callable.extend(found),
                Err(said) => problem = problem.or(Some(said)),
            }
        }
        let (found, mut unbudgeted) = (self.budgets_of(order, now), None);
        let limits = found.unwrap_or_else(|error| {
            let said = if error == BudgetError::Required { &mut unbudgeted } else { &mut problem };
            said.get_or_insert_with(|| error.to_string());
            Vec::new()
        });
        let budgets = limits.iter().filter_map(|limit| limit.name.clone()).collect();
        let exhausted = self.exhausted(limits).await?;
        let uid = order.uid().as_str();
        let usage = self.ledger.spending_of_order(uid).await?;
        let usage: BTreeMap<_, _> = usage.into_iter().map(|(world, spending)| (world, shown(spending))).collect();
        let unavailable = self.unavailable(namespace, &callable, now).await?;
        // An order's Providers are of its own namespace.
        let named =
            |(key, waits): (String, _)| (key.split_once('/').map_or(key.as_str(), |(_, name)| name).to_owned(), waits);
        let waits = self.waits.of_order(uid).into_iter().map(named).collect();
        Ok(ModelUse { problem, unbudgeted, budgets, usage, exhausted, unavailable, waits })
    }

    /// Returns the model that an order names, or why it cannot be called; `None` where the choice is left to the worker.
    fn callable(&self, namespace: &str, model: &str) -> Result<Option<PricedModel>, String> {
        if model != AUTOMATIC_MODEL {
            let found = self.catalogue.model(namespace, model);
            return found.map(|found| Some(found.model)).map_err(|error| error.to_string());
        }
        if self.catalogue.choices(namespace).map_err(|error| error.to_string())?.is_empty() {
            return Err(format!(
                "the model {AUTOMATIC_MODEL:?} chooses among the models of this namespace that have a strength, and none that can be called has; set strength at models in spec.models of a Provider"
            ));
        }
        Ok(None)
    }

    /// Returns a sentence about the first of the models whose breaker is open.
    async fn unavailable(
        &self,
        namespace: &str,
        models: &[PricedModel],
        now: Timestamp,
    ) -> Result<Option<String>, LedgerError> {
        let mut breakers = BTreeMap::new();
        for PricedModel { provider, model, .. } in models {
            let known = match breakers.entry(provider) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    unknown.insert(self.ledger.breakers(&provider_key(namespace, provider)).await?)
                }
            };
            if known.get(model).is_some_and(|breaker| breaker.state(now) == BreakerState::Open) {
                return Ok(Some(format!(
                    "the model {model} of the Provider {provider} keeps failing and is left alone for a while; the Worlds wait"
                )));
            }
        }
        Ok(None)
    }

    /// Returns the first budget that is used up.
    async fn exhausted(&self, budgets: Vec<OrderBudget>) -> Result<Option<Exhausted>, LedgerError> {
        for OrderBudget { account, description, on_exceeded, .. } in budgets {
            let state = self.ledger.balance(&account.key, account.period_start).await?;
            if account.limit.is_reached(state.spent) {
                return Ok(Some(Exhausted { what: description, on_exceeded }));
            }
        }
        Ok(None)
    }

    /// Returns every budget that limits an order: its own first.
    fn budgets_of(&self, order: &Stored<WorkOrder>, now: Timestamp) -> Result<Vec<OrderBudget>, BudgetError> {
        let namespace = order.namespace();
        let none = BTreeMap::new();
        let labels = order.metadata.labels.as_ref().unwrap_or(&none);
        let own = order.spec.budget.as_ref();
        let named = own.and_then(|own| own.budget_ref.as_ref()).map(|reference| reference.name.as_str());
        let noted = order.status.as_ref().map_or(&[][..], |status| status.budgets.as_slice());
        let found = self.catalogue.applicable_budgets(namespace, HeldOrder { labels, named, noted }, now)?;
        if found.is_empty() && self.requirement.applies_to(namespace) {
            return Err(BudgetError::Required);
        }
        let mut all = vec![own_budget(order)];
        for found in found {
            let account = BudgetAccount {
                key: format!("budget/{}", found.uid),
                name: found.name.clone(),
                limit: SpendingLimit { cost: Some(found.amount), tokens: None },
                period_start: found.bounds.start,
            };
            let description = format!("the Budget {} of {} dollars", found.name, found.amount);
            all.push(OrderBudget { name: Some(found.name), account, description, on_exceeded: found.on_exceeded });
        }
        Ok(all)
    }

    /// Returns the accounts of the budgets that limit an order.
    pub(super) fn budget_accounts(
        &self,
        order: &Stored<WorkOrder>,
        now: Timestamp,
    ) -> Result<Vec<BudgetAccount>, BudgetError> {
        Ok(self.budgets_of(order, now)?.into_iter().map(|budget| budget.account).collect())
    }
}

/// Returns the name of a Provider in the ledger.
pub(super) fn provider_key(namespace: &str, provider: &str) -> String {
    format!("{namespace}/{provider}")
}

/// Returns the budget that an order itself sets.
fn own_budget(order: &Stored<WorkOrder>) -> OrderBudget {
    let uid = order.uid();
    let own = order.spec.budget.as_ref();
    let limit = own.map_or_else(SpendingLimit::default, |own| SpendingLimit {
        cost: Some(own.max_cost),
        tokens: own.max_tokens.and_then(|tokens| u64::try_from(tokens).ok()),
    });
    let cost = own.map_or_else(Money::default, |own| own.max_cost);
    OrderBudget {
        name: None,
        account: BudgetAccount {
            key: format!("order/{uid}"),
            name: "of the order (spec.budget)".to_owned(),
            limit,
            period_start: None,
        },
        description: format!("the order's budget of {cost} dollars (spec.budget)"),
        on_exceeded: own.map_or_else(BudgetExceeded::default, |own| own.on_exceeded),
    }
}

/// Returns a number as the resources hold it.
pub(super) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Returns spending as a status shows it.
fn shown(spending: Spending) -> Usage {
    Usage {
        cost: spending.cost,
        input_tokens: count(spending.input_tokens),
        output_tokens: count(spending.output_tokens),
        cached_tokens: count(spending.cached_tokens),
        calls: count(spending.calls),
    }
}
