//! Whose calls wait for room within a Provider's limits, so that it can be said where people look.
//!
//! It is known for as long as the process lives; a call that waits does not outlive it either.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use manyworlds_ledger::{Party, Touched};
use manyworlds_metering::waits::Waits;

/// How the calls of all orders wait. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct WaitList(Arc<Mutex<HashMap<String, Waiting>>>);

/// The waits of one order.
#[derive(Clone, Debug)]
struct Waiting {
    order: Touched,
    by_provider: BTreeMap<String, Waits>,
}

/// A call that waits. It waits no more when this goes.
pub(crate) struct Waiter {
    list: WaitList,
    order_uid: String,
    provider: String,
    begun: Timestamp,
}

impl WaitList {
    /// Returns how an order's calls wait and have waited, by `<namespace>/<name>` of the Provider.
    pub fn of_order(&self, order_uid: &str) -> BTreeMap<String, Waits> {
        self.all().get(order_uid).map(|waiting| waiting.by_provider.clone()).unwrap_or_default()
    }

    /// Returns the orders whose calls have had too little room for a while, and forgets those for which that is over.
    pub fn limited(&self, now: Timestamp) -> Vec<Touched> {
        let mut all = self.all();
        all.retain(|_, waiting| waiting.by_provider.values().any(|waits| !waits.is_over(now)));
        let limited = all.values().filter(|waiting| {
            let mut each = waiting.by_provider.values();
            each.any(|waits| waits.limited_since(now).is_some())
        });
        limited.map(|waiting| waiting.order.clone()).collect()
    }

    /// Notes that a call waits from now on.
    pub(crate) fn begin(&self, party: &Party, provider: &str, begun: Timestamp) -> Waiter {
        self.change(party, provider, |waits| waits.begins(begun));
        Waiter { list: self.clone(), order_uid: party.order_uid.clone(), provider: provider.to_owned(), begun }
    }

    /// Notes that the Provider wants no call of an order before a time.
    pub(crate) fn pauses(&self, party: &Party, provider: &str, now: Timestamp, until: Timestamp) {
        self.change(party, provider, |waits| waits.pauses(now, until));
    }

    fn change(&self, party: &Party, provider: &str, change: impl FnOnce(&mut Waits)) {
        let mut all = self.all();
        let waiting = all.entry(party.order_uid.clone()).or_insert_with(|| Waiting {
            order: Touched {
                namespace: party.namespace.clone(),
                work_order: party.work_order.clone(),
                order_uid: party.order_uid.clone(),
            },
            by_provider: BTreeMap::new(),
        });
        change(waiting.by_provider.entry(provider.to_owned()).or_default());
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut all = self.list.all();
        let waits = all.get_mut(&self.order_uid).and_then(|waiting| waiting.by_provider.get_mut(&self.provider));
        if let Some(waits) = waits {
            waits.ends(self.begun, Timestamp::now());
        }
    }
}
