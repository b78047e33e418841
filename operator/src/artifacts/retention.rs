//! The decision whose artifacts are removed (W13). Pure.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use manyworlds_telemetry::RemovalLabel;

use crate::index::orders::OrderState;

/// The time for which an order has to be missed before its artifacts are removed, where nobody saw that it was deleted. It is
/// longer than any list of orders of an API server is behind.
const GRACE: SignedDuration = SignedDuration::from_mins(5);

/// The rules by which artifacts are kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Retention {
    /// The time for which those of a finished order are kept; `None` for as long as the order is there.
    pub(crate) finished: Option<SignedDuration>,
    /// The only namespace whose orders are seen, if there is one.
    pub(crate) namespace: Option<String>,
}

/// An order that something is stored of.
#[derive(Clone, Debug)]
pub(super) struct StoredOrder {
    pub(super) uid: String,
    /// Its namespace, where the store knows it.
    pub(super) namespace: Option<String>,
    /// What has been seen of it.
    pub(super) state: OrderState,
}

/// The orders whose artifacts are removed, and those that are missed and may yet be seen.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Sweep {
    pub(super) removed: Vec<(String, RemovalLabel)>,
    /// Uids, with the time since which they are missed.
    pub(super) missed: HashMap<String, Timestamp>,
}

impl Retention {
    /// Decides about everything that is stored.
    ///
    /// - **Shape:** `missed` is what the decision before this one has returned.
    /// - **Guarantees:** nothing is removed of an order that goes on, or that this process could not see.
    pub(super) fn sweep(&self, stored: Vec<StoredOrder>, missed: &HashMap<String, Timestamp>, now: Timestamp) -> Sweep {
        let mut sweep = Sweep::default();
        for StoredOrder { uid, namespace, state } in stored {
            match state {
                OrderState::Active => {}
                OrderState::Finished(at) => {
                    if self.finished.is_some_and(|kept| now.duration_since(at) >= kept) {
                        sweep.removed.push((uid, RemovalLabel::Expired));
                    }
                }
                OrderState::Absent if !self.sees(namespace.as_deref()) => {}
                OrderState::Absent => {
                    let since = missed.get(&uid).copied().unwrap_or(now);
                    if now.duration_since(since) >= GRACE {
                        sweep.removed.push((uid, RemovalLabel::Deleted));
                    } else {
                        sweep.missed.insert(uid, since);
                    }
                }
            }
        }
        sweep
    }

    /// Returns whether an order of a namespace would have been seen.
    fn sees(&self, namespace: Option<&str>) -> bool {
        self.namespace.as_deref().is_none_or(|watched| namespace == Some(watched))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minute * 60).unwrap()
    }

    fn stored(uid: &str, namespace: Option<&str>, state: OrderState) -> StoredOrder {
        StoredOrder { uid: uid.to_owned(), namespace: namespace.map(Into::into), state }
    }

    #[test]
    fn an_order_that_is_there_keeps_its_artifacts_and_one_that_is_missed_for_long_loses_them() {
        let all = || vec![stored("here", None, OrderState::Active), stored("gone", None, OrderState::Absent)];
        let retention = Retention::default();
        let first = retention.sweep(all(), &HashMap::new(), at(0));
        assert_eq!((first.removed.len(), first.missed.get("gone")), (0, Some(&at(0))), "it may yet be seen");
        let second = retention.sweep(all(), &first.missed, at(4));
        assert_eq!(second, first, "it is missed since the same time");
        let third = retention.sweep(all(), &second.missed, at(5));
        assert_eq!(third.removed, [("gone".to_owned(), RemovalLabel::Deleted)]);
        assert!(third.missed.is_empty());
    }

    #[test]
    fn an_order_that_is_seen_after_all_is_missed_anew_the_next_time() {
        let retention = Retention::default();
        let absent = || vec![stored("late", None, OrderState::Absent)];
        let missed = retention.sweep(absent(), &HashMap::new(), at(0)).missed;
        let seen = retention.sweep(vec![stored("late", None, OrderState::Active)], &missed, at(3));
        assert_eq!(seen, Sweep::default());
        assert!(retention.sweep(absent(), &seen.missed, at(6)).removed.is_empty());
    }

    #[test]
    fn finished_orders_keep_their_artifacts_for_the_time_that_is_set() {
        let finished = || vec![stored("done", None, OrderState::Finished(at(0)))];
        let sweep = |finished_for: Option<SignedDuration>, minute| {
            let retention = Retention { finished: finished_for, namespace: None };
            retention.sweep(finished(), &HashMap::new(), at(minute)).removed
        };
        let hour = Some(SignedDuration::from_hours(1));
        assert!(sweep(hour, 59).is_empty());
        assert_eq!(sweep(hour, 60), [("done".to_owned(), RemovalLabel::Expired)]);
        assert!(sweep(None, 1_000_000).is_empty(), "they are kept for as long as the order is there");
    }

    #[test]
    fn what_another_namespace_may_have_is_not_ours_to_remove() {
        let absent = |namespace| vec![stored("far", namespace, OrderState::Absent)];
        let retention = Retention { finished: None, namespace: Some("team".to_owned()) };
        let missed = HashMap::from([("far".to_owned(), at(0))]);
        for (namespace, removed) in [(Some("team"), 1), (Some("other"), 0), (None, 0)] {
            let sweep = retention.sweep(absent(namespace), &missed, at(60));
            assert_eq!(sweep.removed.len(), removed, "{namespace:?}");
        }
    }
}
