//! The catalogue of Providers and Budgets. The gateway and orders ask here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use manyworlds_masking::Filter;
use manyworlds_metering::budget_selection::{HeldOrder, applicable_budgets};
use manyworlds_metering::model_choice::{find, is_named};
use manyworlds_metering::price_table::{PriceTable, PriceTableError};
use tokio::sync::watch as state;

use super::budget_status::Spending;
use super::errors::{BudgetError, LookupError, NotListed};
use super::provider_status::Traffic;
use super::records::{ApplicableBudget, CallableModel, Records, applicable, callable};
use crate::secrets::KnownSecrets;

/// The Providers and Budgets of the cluster. Clones share them.
#[derive(Clone)]
pub struct Catalogue(Arc<Inner>);

struct Inner {
    secrets: KnownSecrets,
    table: PriceTable,
    records: Mutex<Records>,
    listed: state::Sender<Listed>,
}

/// The kinds that have been listed once.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) providers: bool,
    pub(super) budgets: bool,
}

impl Listed {
    const fn is_all(&self) -> bool {
        self.providers && self.budgets
    }
}

impl Catalogue {
    /// Makes a catalogue that knows nothing yet. Its watches fill it.
    ///
    /// # Errors
    ///
    /// When the price table is not of its form (class: bug).
    pub fn new(secrets: KnownSecrets) -> Result<Self, PriceTableError> {
        Ok(Self(Arc::new(Inner {
            secrets,
            table: PriceTable::listed()?,
            records: Mutex::default(),
            listed: state::Sender::default(),
        })))
    }

    /// Resolves when Providers and Budgets have been listed once.
    pub(crate) fn until_listed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut listed = self.0.listed.subscribe();
        // An error means that the catalogue is gone, and nobody is left who waits.
        async move { drop(listed.wait_for(Listed::is_all).await) }
    }

    /// Refuses as long as Providers and Budgets have not been listed once.
    ///
    /// # Errors
    ///
    /// [`NotListed`] (class: transient).
    pub fn listed(&self) -> Result<(), NotListed> {
        if self.0.listed.borrow().is_all() { Ok(()) } else { Err(NotListed) }
    }

    /// Finds the model that a variant names, among the Providers of the order's namespace.
    ///
    /// # Errors
    ///
    /// [`LookupError`] (class: spec, or transient where it passes), with a sentence on what to do.
    pub fn model(&self, namespace: &str, wanted: &str) -> Result<CallableModel, LookupError> {
        self.listed()?;
        let records = self.records();
        let named: Vec<_> = records.providers_of(namespace).map(|(named, _)| named).collect();
        let model = find(&named, &self.0.table, wanted)?;
        callable(records.providers.get(&(namespace.to_owned(), model.provider.clone())), model)
    }

    /// Returns the models of a namespace among which a worker may choose: those that have a strength and can be called.
    ///
    /// # Errors
    ///
    /// [`LookupError`] that passes by itself: there may be some.
    pub fn choices(&self, namespace: &str) -> Result<Vec<CallableModel>, LookupError> {
        self.strong(namespace, |_, _| true)
    }

    /// Returns the one of them that `<model>` or `<provider>/<model>` names, if there is one.
    ///
    /// # Errors
    ///
    /// [`LookupError`] that passes by itself.
    pub fn choice(&self, namespace: &str, wanted: &str) -> Result<Option<CallableModel>, LookupError> {
        let means = |provider: &str, model: &str| is_named(wanted, provider, model);
        self.strong(namespace, means).map(|found| found.into_iter().next())
    }

    /// Returns the models that can be called of those that are wanted and have a strength; where there is none, whether that may
    /// be because a key is still to be read.
    fn strong(
        &self,
        namespace: &str,
        is_wanted: impl Fn(&str, &str) -> bool,
    ) -> Result<Vec<CallableModel>, LookupError> {
        self.listed()?;
        let (mut callable, mut passing) = (Vec::new(), None);
        for found in self.records().strong(namespace, &self.0.table, is_wanted) {
            match found {
                Ok(found) => callable.push(found),
                Err(error) if error.passes() => passing = Some(error),
                Err(_) => {}
            }
        }
        passing.filter(|_| callable.is_empty()).map_or(Ok(callable), Err)
    }

    /// Returns the Budgets that hold an order of a namespace.
    ///
    /// # Errors
    ///
    /// [`BudgetError`] (class: spec, or transient where nothing has been listed yet): an order that no Budget can hold cannot spend.
    pub fn applicable_budgets(
        &self,
        namespace: &str,
        order: HeldOrder<'_>,
        now: Timestamp,
    ) -> Result<Vec<ApplicableBudget>, BudgetError> {
        self.listed()?;
        let records = self.records();
        if let Some(name) = records.unreadable_budget_of(namespace, order) {
            return Err(BudgetError::Unreadable(name.to_owned()));
        }
        let here = records.budgets.iter().filter(|((found, _), _)| found == namespace);
        let budgets: BTreeMap<_, _> = here.map(|((_, name), record)| (name.as_str(), &record.budget)).collect();
        let found = applicable_budgets(budgets.iter().map(|(name, budget)| (*name, &budget.spec)), order)?;
        found.into_iter().filter_map(|name| budgets.get(name).map(|budget| applicable(name, budget, now))).collect()
    }

    /// Returns what must not pass in the calls of our own worker in a namespace.
    pub(crate) fn filter(&self, namespace: &str) -> Filter {
        self.0.secrets.for_prompts(namespace)
    }

    /// Returns namespace and name of every Provider.
    pub fn providers(&self) -> Vec<(String, String)> {
        self.records().providers.keys().cloned().collect()
    }

    /// Returns every Budget with its namespace, its name and its present period.
    pub fn budgets(&self, now: Timestamp) -> Vec<(String, String, ApplicableBudget)> {
        let records = self.records();
        let found = records.budgets.iter().filter_map(|((namespace, name), record)| {
            Some((namespace.clone(), name.clone(), applicable(name, &record.budget, now).ok()?))
        });
        found.collect()
    }

    /// Notes what the gateway and the ledger know of a Provider. It is shown at the next look.
    pub fn note_traffic(&self, namespace: &str, provider: &str, traffic: Traffic) {
        if let Some(record) = self.records().providers.get_mut(&(namespace.to_owned(), provider.to_owned())) {
            record.traffic = traffic;
        }
    }

    /// Notes what the ledger knows of a Budget. It is shown at the next look.
    pub fn note_spending(&self, namespace: &str, budget: &str, spending: Spending) {
        if let Some(record) = self.records().budgets.get_mut(&(namespace.to_owned(), budget.to_owned())) {
            record.spending = Some(spending);
        }
    }

    /// Notes that a kind has been listed once.
    pub(super) fn note_listed(&self, note: impl FnOnce(&mut Listed)) {
        self.0.listed.send_modify(note);
    }

    /// Returns the prices of models that are known without a Provider naming them.
    pub(super) fn price_table(&self) -> &PriceTable {
        &self.0.table
    }

    /// Notes the value of a key of a namespace, so that it is masked wherever it is printed.
    pub(super) fn note_secret(&self, namespace: &str, value: &str) {
        self.0.secrets.note(namespace, value);
    }

    pub(super) fn records(&self) -> MutexGuard<'_, Records> {
        // Nothing panics while it holds the lock, and what is there is whole after each line.
        self.0.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn subscribe_listed(&self) -> state::Receiver<Listed> {
        self.0.listed.subscribe()
    }
}
