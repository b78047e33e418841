//! The list of calls that wait for room within a Provider's limits, for the operator to show.
//!
//! It lives as long as the process. So do the calls that wait.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use manyworlds_ledger::{Caller, OrderReference};
use manyworlds_metering::waits::Waits;

/// The calls of all orders that wait. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct WaitList(Arc<Mutex<HashMap<String, OrderWaits>>>);

/// The waits of one order.
#[derive(Clone, Debug)]
struct OrderWaits {
    order: OrderReference,
    by_provider: BTreeMap<String, Waits>,
}

/// A call that waits. Dropping it ends the wait.
pub(crate) struct Waiter {
    list: WaitList,
    order_uid: String,
    provider: String,
    begun: Timestamp,
}

impl WaitList {
    /// Returns how an order's calls wait and have waited, by `<namespace>/<name>` of the Provider.
    pub fn of_order(&self, order_uid: &str) -> BTreeMap<String, Waits> {
        self.all().get(order_uid).map(|order_waits| order_waits.by_provider.clone()).unwrap_or_default()
    }

    /// Returns the orders whose calls have lacked room for a while, and forgets those for which that is over.
    pub fn limited(&self, now: Timestamp) -> Vec<OrderReference> {
        let mut all = self.all();
        all.retain(|_, order_waits| order_waits.by_provider.values().any(|waits| !waits.is_idle(now)));
        let limited = all.values().filter(|order_waits| {
            let mut each = order_waits.by_provider.values();
            each.any(|waits| waits.limited_since(now).is_some())
        });
        limited.map(|order_waits| order_waits.order.clone()).collect()
    }

    /// Notes that a call begins to wait.
    pub(crate) fn begin(&self, caller: &Caller, provider: &str, begun: Timestamp) -> Waiter {
        self.change(caller, provider, |waits| waits.start(begun));
        Waiter { list: self.clone(), order_uid: caller.order_uid.clone(), provider: provider.to_owned(), begun }
    }

    /// Notes that the Provider takes no call of an order before a time.
    pub(crate) fn record_pause(&self, caller: &Caller, provider: &str, now: Timestamp, until: Timestamp) {
        self.change(caller, provider, |waits| waits.record_pause(now, until));
    }

    fn change(&self, caller: &Caller, provider: &str, change: impl FnOnce(&mut Waits)) {
        let mut all = self.all();
        let order_waits = all.entry(caller.order_uid.clone()).or_insert_with(|| OrderWaits {
            order: OrderReference {
                namespace: caller.namespace.clone(),
                work_order: caller.work_order.clone(),
                order_uid: caller.order_uid.clone(),
            },
            by_provider: BTreeMap::new(),
        });
        change(order_waits.by_provider.entry(provider.to_owned()).or_default());
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, OrderWaits>> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut all = self.list.all();
        let waits =
            all.get_mut(&self.order_uid).and_then(|order_waits| order_waits.by_provider.get_mut(&self.provider));
        if let Some(waits) = waits {
            waits.end(self.begun, Timestamp::now());
        }
    }
}
