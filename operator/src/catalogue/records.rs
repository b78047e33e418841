//! The last seen state of Providers and Budgets.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use manyworlds_api::budget::Selector;
use manyworlds_api::object::{ObjectId, Stored, Uid};
use manyworlds_api::work_order::BudgetExceeded;
use manyworlds_api::{Budget, Money, Provider, ProviderSpec};
use manyworlds_metering::budget_selection::HeldOrder;
use manyworlds_metering::model_choice::{NamedProvider, PricedModel, price};
use manyworlds_metering::period::PeriodBounds;
use manyworlds_metering::price_table::PriceTable;

use super::budget_status::{self, Spending};
use super::errors::{BudgetError, LookupError};
use super::key::{ApiKey, KeyState};
use super::provider_status::Traffic;

/// Namespace and name.
pub(crate) type Key = (String, String);

/// Returns namespace and name of an object.
pub(super) fn key_of<K>(object: &ObjectId<K>) -> Key {
    (object.namespace.to_string(), object.name.to_string())
}

/// Providers and Budgets, as they were last seen.
#[derive(Default)]
pub(super) struct Records {
    pub(super) providers: BTreeMap<Key, ProviderRecord>,
    pub(super) budgets: BTreeMap<Key, BudgetRecord>,
    /// Budgets that this version cannot read.
    pub(super) unreadable_budgets: BTreeMap<Key, UnreadableBudget>,
}

/// A Provider, with what is known of it besides.
pub(super) struct ProviderRecord {
    pub(super) provider: Arc<Stored<Provider>>,
    /// Its spec once more, to be handed to each call without a copy.
    pub(super) spec: Arc<ProviderSpec>,
    pub(super) key: Option<(KeyState, Option<ApiKey>)>,
    pub(super) traffic: Traffic,
}

/// A Budget, with what is known of it besides.
pub(super) struct BudgetRecord {
    pub(super) budget: Arc<Stored<Budget>>,
    pub(super) spending: Option<Spending>,
}

/// A Budget that this version cannot read.
pub(super) struct UnreadableBudget {
    pub(super) uid: Uid<Budget>,
    /// The orders that it selects, where at least those can be read.
    pub(super) selector: Option<Selector>,
}

/// A model that may be called now.
#[derive(Clone, Debug)]
pub struct CallableModel {
    /// The model, with its prices.
    pub model: PricedModel,
    /// The way to its Provider.
    pub provider: Arc<ProviderSpec>,
    /// With which key, where it needs one.
    pub key: Option<ApiKey>,
}

/// A Budget that holds an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicableBudget {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: Uid<Budget>,
    /// The limit of the period.
    pub amount: Money,
    /// The effect on its orders once that is spent.
    pub on_exceeded: BudgetExceeded,
    /// The present period.
    pub bounds: PeriodBounds,
}

impl Records {
    /// Takes over a Provider as it was seen.
    pub(super) fn apply_provider(&mut self, provider: Stored<Provider>) {
        let key = key_of(provider.id());
        let before = self.providers.remove(&key);
        // What another Provider of the same name did says nothing of this one, and another Secret has another key.
        let same = before.filter(|record| record.provider.uid() == provider.uid());
        let (key_state, traffic) = same.map_or_else(Default::default, |record| {
            let kept = record.provider.spec.secret_ref == provider.spec.secret_ref;
            (record.key.filter(|_| kept), record.traffic)
        });
        let (spec, provider) = (Arc::new(provider.spec.clone()), Arc::new(provider));
        self.providers.insert(key, ProviderRecord { provider, spec, key: key_state, traffic });
    }

    /// Takes over a Budget as it was seen.
    pub(super) fn apply_budget(&mut self, budget: Stored<Budget>) {
        let key = key_of(budget.id());
        let before = self.budgets.remove(&key);
        let same = before.filter(|record| record.budget.uid() == budget.uid());
        let spending = same.and_then(|record| record.spending);
        self.unreadable_budgets.remove(&key);
        self.budgets.insert(key, BudgetRecord { budget: Arc::new(budget), spending });
    }

    /// Takes over that a Budget cannot be read.
    pub(super) fn apply_unreadable_budget(&mut self, key: Key, budget: UnreadableBudget) {
        self.budgets.remove(&key);
        self.unreadable_budgets.insert(key, budget);
    }

    /// Forgets a Provider, if it is still the one that was meant.
    pub(super) fn delete_provider(&mut self, gone: &ObjectId<Provider>) {
        let key = key_of(gone);
        if self.providers.get(&key).is_some_and(|record| *record.provider.uid() == gone.uid) {
            self.providers.remove(&key);
        }
    }

    /// Forgets a Budget, if it is still the one that was meant.
    pub(super) fn delete_budget(&mut self, gone: &ObjectId<Budget>) {
        let key = key_of(gone);
        if self.budgets.get(&key).is_some_and(|record| *record.budget.uid() == gone.uid) {
            self.budgets.remove(&key);
        }
        if self.unreadable_budgets.get(&key).is_some_and(|record| record.uid == gone.uid) {
            self.unreadable_budgets.remove(&key);
        }
    }

    pub(super) fn providers_of(&self, namespace: &str) -> impl Iterator<Item = (NamedProvider<'_>, &ProviderRecord)> {
        let here = self.providers.iter().filter(move |((found, _), _)| found == namespace);
        here.map(|((_, name), record)| (NamedProvider { name, spec: &record.spec }, record))
    }

    /// Returns a Budget that cannot be read and may hold an order: its selector cannot be read either, or selects the order.
    pub(super) fn unreadable_budget_of(&self, namespace: &str, order: HeldOrder<'_>) -> Option<&str> {
        let mut here = self.unreadable_budgets.iter().filter(|((found, _), _)| found == namespace);
        let holds = |name: &str, budget: &UnreadableBudget| {
            order.names(name) || budget.selector.as_ref().is_none_or(|selector| selector.selects(order.labels))
        };
        here.find(|((_, name), budget)| holds(name, budget)).map(|((_, name), _)| name.as_str())
    }

    /// Returns the models of a namespace that have a strength, of those that the names of Provider and model are wanted of; each
    /// as it can be called, or why it cannot.
    pub(super) fn strong(
        &self,
        namespace: &str,
        table: &PriceTable,
        is_wanted: impl Fn(&str, &str) -> bool,
    ) -> impl Iterator<Item = Result<CallableModel, LookupError>> {
        self.providers_of(namespace)
            .flat_map(|(named, record)| named.spec.models.iter().map(move |model| (named, record, model)))
            .filter(move |(named, _, model)| model.strength.is_some() && is_wanted(named.name, &model.name))
            .filter_map(|(named, record, model)| Some(callable(Some(record), price(named, model, table).ok()?)))
    }
}

/// Returns a model with all that is needed to call it, where its Provider has its key.
pub(super) fn callable(record: Option<&ProviderRecord>, model: PricedModel) -> Result<CallableModel, LookupError> {
    let no_key = |said: String| LookupError::NoKey { provider: model.provider.clone(), said };
    match record.and_then(|record| record.key.as_ref().map(|key| (record, key))) {
        Some((record, (state, key))) => match state.problem() {
            Some((_, said)) => Err(no_key(said)),
            None => Ok(CallableModel { provider: record.spec.clone(), key: key.clone(), model }),
        },
        None => Err(LookupError::KeyNotRead(model.provider)),
    }
}

pub(super) fn applicable(name: &str, budget: &Stored<Budget>, now: Timestamp) -> Result<ApplicableBudget, BudgetError> {
    let bounds =
        budget_status::bounds(budget, now).map_err(|source| BudgetError::Zone { name: name.to_owned(), source })?;
    Ok(ApplicableBudget {
        name: name.to_owned(),
        uid: budget.uid().clone(),
        amount: budget.spec.amount,
        on_exceeded: budget.spec.on_exceeded,
        bounds,
    })
}
