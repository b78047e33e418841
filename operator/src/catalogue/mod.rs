//! Providers and Budgets: what the gateway asks when a call comes, and what both show.
//!
//! Watches keep the resources in memory. Keys are read by name; the operator has no right to list Secrets, and each
//! namespace allows it the ones that its Providers name.

mod key;
mod status;
mod watching;
#[cfg(test)]
mod watching_tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use kube::Client;
use manyworlds_api::budget::Selector;
use manyworlds_api::work_order::BudgetExceeded;
use manyworlds_api::{Budget, Money, Provider, ProviderSpec};
use manyworlds_masking::Filter;
use manyworlds_metering::budget_selection::{MissingBudget, holders};
use manyworlds_metering::model_choice::{ModelError, NamedProvider, PricedModel, find, is_named, price};
use manyworlds_metering::period::Bounds;
use manyworlds_metering::price_table::{PriceTable, PriceTableError};
use manyworlds_telemetry::Metrics;
use tokio::sync::watch as state;
use tokio::task::JoinHandle;

pub use key::{ApiKey, KeyState};
pub use status::{Reach, Spending, Traffic, UnknownZone};

use crate::events::Recorder;
use crate::requests::Writer;
use crate::secrets::KnownSecrets;

/// Namespace and name.
type Key = (String, String);

/// What is known of Providers and Budgets.
#[derive(Clone)]
pub struct Catalogue(Arc<Inner>);

struct Inner {
    client: Client,
    writer: Writer,
    recorder: Recorder,
    metrics: Metrics,
    secrets: KnownSecrets,
    table: PriceTable,
    account: String,
    known: Mutex<Known>,
    listed: state::Sender<Listed>,
}

#[derive(Default)]
struct Known {
    providers: BTreeMap<Key, HeldProvider>,
    budgets: BTreeMap<Key, HeldBudget>,
    /// Budgets that this version cannot read, with their selectors where at least those can be.
    unreadable_budgets: BTreeMap<Key, Option<Selector>>,
}

/// Which kinds have been listed once.
#[derive(Debug, Default)]
struct Listed {
    providers: bool,
    budgets: bool,
}

impl Listed {
    const fn is_all(&self) -> bool {
        self.providers && self.budgets
    }
}

struct HeldProvider {
    provider: Arc<Provider>,
    /// What it says once more, to be handed to each call without a copy.
    spec: Arc<ProviderSpec>,
    key: Option<(KeyState, Option<ApiKey>)>,
    traffic: Traffic,
}

struct HeldBudget {
    budget: Arc<Budget>,
    spending: Option<Spending>,
}

/// A model that may be called now.
#[derive(Clone, Debug)]
pub struct CallableModel {
    /// The model, with its prices.
    pub model: PricedModel,
    /// How its Provider is called.
    pub provider: Arc<ProviderSpec>,
    /// With which key, where it needs one.
    pub key: Option<ApiKey>,
}

/// It is not known yet what Providers and Budgets there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Providers and Budgets have not been listed yet; try again in a moment, and where this lasts, look in the operator's log whether it may list them"
)]
pub struct NotListed;

/// Why a model cannot be called.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// Nobody knows yet.
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
        /// What is wrong, and what to do.
        said: String,
    },
}

impl LookupError {
    /// Returns whether it passes by itself.
    pub const fn passes(&self) -> bool {
        matches!(self, Self::NotListed(_) | Self::KeyNotRead(_))
    }
}

/// A Budget that holds an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// What may be spent in the period.
    pub amount: Money,
    /// What then becomes of the orders.
    pub on_exceeded: BudgetExceeded,
    /// The present period.
    pub bounds: Bounds,
}

/// Why it is not known which Budgets hold an order.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HolderError {
    /// Nobody knows yet.
    #[error(transparent)]
    NotListed(#[from] NotListed),
    /// One that may hold it cannot be read.
    #[error("the Budget {0:?} may hold the order and cannot be read by this version of the operator; see its Events")]
    Unreadable(String),
    /// The order names one that is not there.
    #[error(transparent)]
    Missing(#[from] MissingBudget),
    /// One has a time zone that is not known.
    #[error("the Budget {name:?} cannot be used")]
    Zone {
        /// Name of the Budget.
        name: String,
        /// What is wrong.
        #[source]
        source: UnknownZone,
    },
}

/// Whose Providers and Budgets are looked at, and by whom.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The one namespace, or all.
    pub namespace: Option<String>,
    /// The operator's service account as `<namespace>:<name>`, for the message that says how to allow it a Secret.
    pub account: String,
}

impl Catalogue {
    /// Starts to watch Providers and Budgets and to write their status.
    ///
    /// # Errors
    ///
    /// When the price table is not of its form (class: bug).
    pub fn start(
        client: &Client,
        metrics: &Metrics,
        secrets: &KnownSecrets,
        scope: Scope,
    ) -> Result<(Self, JoinHandle<()>), PriceTableError> {
        let writer = Writer::new(client.clone(), metrics.clone());
        let catalogue = Self(Arc::new(Inner {
            client: client.clone(),
            recorder: Recorder::start(writer.clone(), metrics.clone()),
            metrics: metrics.clone(),
            secrets: secrets.clone(),
            writer,
            table: PriceTable::listed()?,
            account: scope.account,
            known: Mutex::default(),
            listed: state::Sender::default(),
        }));
        let task = tokio::spawn(watching::run(catalogue.clone(), scope.namespace));
        Ok((catalogue, task))
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
        let known = self.known();
        let named: Vec<_> = known.providers_of(namespace).map(|(named, _)| named).collect();
        let model = find(&named, &self.0.table, wanted)?;
        callable(known.providers.get(&(namespace.to_owned(), model.provider.clone())), model)
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
        for found in self.known().strong(namespace, &self.0.table, is_wanted) {
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
    /// [`HolderError`] (class: spec, or transient where nothing has been listed yet): an order that cannot be held cannot spend.
    pub fn holders(
        &self,
        namespace: &str,
        labels: &BTreeMap<String, String>,
        named: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<Holder>, HolderError> {
        self.listed()?;
        let known = self.known();
        if let Some(name) = known.unreadable_holder(namespace, labels, named) {
            return Err(HolderError::Unreadable(name.to_owned()));
        }
        let here = known.budgets.iter().filter(|((found, _), _)| found == namespace);
        let budgets: BTreeMap<_, _> = here.map(|((_, name), held)| (name.as_str(), &*held.budget)).collect();
        let found = holders(budgets.iter().map(|(name, budget)| (*name, &budget.spec)), labels, named)?;
        found.into_iter().filter_map(|name| budgets.get(name).map(|budget| holder(name, budget, now))).collect()
    }

    /// Returns what must not pass in the calls of our own worker.
    pub(crate) fn filter(&self) -> Filter {
        self.0.secrets.for_prompts()
    }

    /// Returns namespace and name of every Provider.
    pub fn providers(&self) -> Vec<(String, String)> {
        self.known().providers.keys().cloned().collect()
    }

    /// Returns every Budget with its namespace, its name and its present period.
    pub fn budgets(&self, now: Timestamp) -> Vec<(String, String, Holder)> {
        let known = self.known();
        let found = known.budgets.iter().filter_map(|((namespace, name), held)| {
            Some((namespace.clone(), name.clone(), holder(name, &held.budget, now).ok()?))
        });
        found.collect()
    }

    /// Notes what the gateway and the ledger know of a Provider. It is shown at the next look.
    pub fn note_traffic(&self, namespace: &str, provider: &str, traffic: Traffic) {
        if let Some(held) = self.known().providers.get_mut(&(namespace.to_owned(), provider.to_owned())) {
            held.traffic = traffic;
        }
    }

    /// Notes what the ledger knows of a Budget. It is shown at the next look.
    pub fn note_spending(&self, namespace: &str, budget: &str, spending: Spending) {
        if let Some(held) = self.known().budgets.get_mut(&(namespace.to_owned(), budget.to_owned())) {
            held.spending = Some(spending);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing panics while it holds the lock, and what is there is whole after each line.
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn providers_of(&self, namespace: &str) -> impl Iterator<Item = (NamedProvider<'_>, &HeldProvider)> {
        let here = self.providers.iter().filter(move |((found, _), _)| found == namespace);
        here.map(|((_, name), held)| (NamedProvider { name, spec: &held.spec }, held))
    }

    /// Returns a Budget that cannot be read and may hold an order: its selector cannot be read either, or selects the order.
    fn unreadable_holder(
        &self,
        namespace: &str,
        labels: &BTreeMap<String, String>,
        named: Option<&str>,
    ) -> Option<&str> {
        let mut here = self.unreadable_budgets.iter().filter(|((found, _), _)| found == namespace);
        let holds = |name: &str, selector: &Option<Selector>| {
            named == Some(name) || selector.as_ref().is_none_or(|selector| selector.selects(labels))
        };
        here.find(|((_, name), selector)| holds(name, selector)).map(|((_, name), _)| name.as_str())
    }

    /// Returns the models of a namespace that have a strength, of those that the names of Provider and model are wanted of; each
    /// as it can be called, or why it cannot.
    fn strong(
        &self,
        namespace: &str,
        table: &PriceTable,
        is_wanted: impl Fn(&str, &str) -> bool,
    ) -> impl Iterator<Item = Result<CallableModel, LookupError>> {
        self.providers_of(namespace)
            .flat_map(|(named, held)| named.spec.models.iter().map(move |model| (named, held, model)))
            .filter(move |(named, _, model)| model.strength.is_some() && is_wanted(named.name, &model.name))
            .filter_map(|(named, held, model)| Some(callable(Some(held), price(named, model, table).ok()?)))
    }
}

/// Returns a model with all that is needed to call it, where its Provider has its key.
fn callable(held: Option<&HeldProvider>, model: PricedModel) -> Result<CallableModel, LookupError> {
    let no_key = |said: String| LookupError::NoKey { provider: model.provider.clone(), said };
    match held.and_then(|held| held.key.as_ref().map(|key| (held, key))) {
        Some((held, (state, key))) => match state.problem() {
            Some((_, said)) => Err(no_key(said)),
            None => Ok(CallableModel { provider: held.spec.clone(), key: key.clone(), model }),
        },
        None => Err(LookupError::KeyNotRead(model.provider)),
    }
}

fn holder(name: &str, budget: &Budget, now: Timestamp) -> Result<Holder, HolderError> {
    let bounds = status::bounds(budget, now).map_err(|source| HolderError::Zone { name: name.to_owned(), source })?;
    Ok(Holder {
        name: name.to_owned(),
        uid: budget.metadata.uid.clone().unwrap_or_default(),
        amount: budget.spec.amount,
        on_exceeded: budget.spec.on_exceeded,
        bounds,
    })
}
