//! The orders that are there, and those that go away, by their uids: for what is kept of an order outside of the cluster.

use jiff::Timestamp;
use manyworlds_api::object::OrderUid;
use tokio::sync::mpsc;

use super::key::OrderKey;
use super::state::{Index, State};

/// The most deleted orders that wait for whoever asked for them. Who asks looks for further ones by itself.
const WAITING: usize = 10_000;

/// What has been seen of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrderState {
    /// It goes on; or it is there, and nobody can say how it stands.
    Active,
    /// It has finished, at that time.
    Finished(Timestamp),
    /// It was not seen, or is gone.
    Absent,
}

impl Index {
    /// Begins to tell which orders go away. Whoever asked before is told no more.
    pub(crate) fn gone_orders(&self) -> mpsc::Receiver<OrderUid> {
        let (sender, receiver) = mpsc::channel(WAITING);
        self.lock().gone = Some(sender);
        receiver
    }

    /// Takes note of an order that is there and cannot be read.
    pub(crate) fn order_unreadable(&self, uid: OrderUid) {
        self.lock().unreadable.insert(uid);
    }

    /// Returns what has been seen of the order with a uid.
    pub(crate) fn order_state(&self, uid: &str) -> OrderState {
        let seen = self.lock();
        if seen.unreadable.contains(uid) {
            return OrderState::Active;
        }
        let Some(key) = seen.uids.get(uid) else { return OrderState::Absent };
        let order = seen.orders.get(key).and_then(|entry| entry.order.as_ref()).filter(|order| order.is_finished());
        let status = order.and_then(|order| order.status.as_ref());
        let finished = status.and_then(|status| status.completion_time.as_ref());
        finished.map_or(OrderState::Active, |time| OrderState::Finished(time.0))
    }

    /// Returns the name of the order with a uid.
    pub(crate) fn order_key(&self, uid: &str) -> Option<OrderKey> {
        self.lock().uids.get(uid).cloned()
    }
}

impl State {
    /// Notes that an order is gone, and tells who asked for that.
    pub(super) fn on_gone(&mut self, uid: &OrderUid) {
        self.unreadable.remove(uid);
        if let Some(gone) = &self.gone {
            // Where there is no room, or nobody asks any more, nobody waits.
            let _ = gone.try_send(uid.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixtures;
    use super::*;

    #[test]
    fn an_order_goes_on_until_it_finishes_and_is_absent_once_it_is_gone() {
        let index = Index::default();
        let mut gone = index.gone_orders();
        assert_eq!(index.order_state("o"), OrderState::Absent);
        let order = fixtures::order(json!({}));
        index.order_seen(order.clone());
        assert_eq!(index.order_state("o"), OrderState::Active);
        assert_eq!(index.order_key("o"), Some(OrderKey::of(order.id())));
        let condition = json!({
            "type": "Finished", "status": "True", "reason": "Succeeded", "message": "",
            "lastTransitionTime": "2026-01-01T01:00:00Z",
        });
        let status = json!({"completionTime": "2026-01-01T01:00:00Z", "conditions": [condition]});
        index.order_seen(fixtures::as_of(&fixtures::order(status), "o", 2));
        assert_eq!(index.order_state("o"), OrderState::Finished("2026-01-01T01:00:00Z".parse().unwrap()));
        assert!(gone.try_recv().is_err(), "it is there");
        index.order_gone(order.id(), "3".parse().unwrap());
        assert_eq!((index.order_state("o"), index.order_key("o")), (OrderState::Absent, None));
        assert_eq!(gone.try_recv().unwrap().as_str(), "o");
    }

    #[test]
    fn an_order_that_cannot_be_read_is_there_until_it_is_gone() {
        let index = Index::default();
        let order = fixtures::order(json!({}));
        index.order_unreadable(order.uid().clone());
        assert_eq!(index.order_state("o"), OrderState::Active);
        index.order_gone(order.id(), "2".parse().unwrap());
        assert_eq!(index.order_state("o"), OrderState::Absent);
    }
}
