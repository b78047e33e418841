//! The fair queue in front of a Provider.
//!
//! The highest priority comes first, then the order that was granted the least, then its World that was, then the call that
//! came first. An order or World that was away makes up for nothing afterwards.
//!
//! While the limits leave room for all, nobody waits for anybody: the ledger answers calls that ask at the same time together.
//! For a minute after one was refused, calls ask one after the other.
//!
//! A limit that was used up comes back in the order in which it was used. The World that was quick when there was room would
//! be quick again every minute, because its next call is there before the others. So after a limit was reached, and while
//! several orders wait, calls go out with pauses between them. The pauses leave the other orders time to come back.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

/// The number of orders and Worlds whose grants are remembered.
const REMEMBERED: usize = 4096;
/// Calls go out in order and with pauses for so long after a limit was reached: as long as what used it up counts.
const REMEMBERED_LIMIT: SignedDuration = SignedDuration::from_secs(60);
/// The time between two log lines that say that a Provider cannot be reached.
const OUTAGE_LOG_INTERVAL: SignedDuration = SignedDuration::from_secs(60);

/// The calls that wait for one Provider.
#[derive(Default)]
pub(crate) struct FairQueue {
    state: Mutex<QueueState>,
    /// When the last log line said that the Provider cannot be reached.
    outage_logged: Mutex<Option<Timestamp>>,
}

/// The owner of a call that waits.
#[derive(Clone, Debug)]
pub(crate) struct Requester {
    pub(crate) order: String,
    pub(crate) world: String,
    pub(crate) priority: i32,
}

/// A place in the queue. Dropping it leaves the queue.
pub(crate) struct Ticket {
    queue: Arc<FairQueue>,
    number: u64,
    wake: Arc<Notify>,
}

#[derive(Default)]
struct QueueState {
    next_number: u64,
    entries: Vec<Entry>,
    /// The number of calls that have ended.
    ended_calls: u64,
    /// The tokens that each order and World was granted.
    granted: HashMap<String, u64>,
    /// Calls ask one after the other until then.
    ordered_until: Timestamp,
    /// Calls go out with pauses until then.
    paced_until: Timestamp,
    /// The end of the pause after the last call.
    pause_ends: Timestamp,
}

struct Entry {
    number: u64,
    requester: Requester,
    /// It waits for something that only its own order can free, so the others go first.
    parked: bool,
    wake: Arc<Notify>,
}

impl FairQueue {
    /// Joins the queue at its end.
    pub(crate) fn join(self: &Arc<Self>, requester: Requester) -> Ticket {
        let mut state = self.state();
        let (number, wake) = (state.next_number, Arc::new(Notify::new()));
        state.next_number += 1;
        state.level(&requester);
        state.entries.push(Entry { number, requester, parked: false, wake: wake.clone() });
        Ticket { queue: self.clone(), number, wake }
    }

    /// Returns whether to log now that the Provider cannot be reached, and notes that it was logged.
    pub(crate) fn should_log_outage(&self, now: Timestamp) -> bool {
        let mut logged = self.outage_logged.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = logged.is_none_or(|before| now.duration_since(before) >= OUTAGE_LOG_INTERVAL);
        if is_due {
            *logged = Some(now);
        }
        is_due
    }

    /// Notes that a call has ended: there may be room for parked calls.
    pub(crate) fn call_ended(&self) {
        let mut state = self.state();
        state.ended_calls += 1;
        state.entries.iter_mut().for_each(|entry| entry.parked = false);
        state.wake_head();
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Returns whether this call may ask the ledger now.
    pub(crate) fn may_ask(&self, now: Timestamp) -> bool {
        let state = self.queue.state();
        now >= state.ordered_until || state.head().is_some_and(|head| head.number == self.number)
    }

    /// Returns how many calls have ended so far, for [`Ticket::park`].
    pub(crate) fn ended_calls(&self) -> u64 {
        self.queue.state().ended_calls
    }

    /// Lets other calls go first until a call has ended.
    ///
    /// - **Shape:** `ended_calls` is the count from before this call asked.
    /// - **Guarantees:** where a call has ended since then, this one asks again at once.
    pub(crate) fn park(&self, ended_calls: u64, now: Timestamp) {
        let mut state = self.queue.state();
        state.keep_order(now);
        if state.ended_calls != ended_calls {
            self.wake.notify_one();
        } else if let Some(entry) = state.entries.iter_mut().find(|entry| entry.number == self.number) {
            entry.parked = true;
        }
        state.wake_head();
    }

    /// Takes its place in the queue again.
    pub(crate) fn unpark(&self) {
        let mut state = self.queue.state();
        if let Some(entry) = state.entries.iter_mut().find(|entry| entry.number == self.number) {
            entry.parked = false;
        }
    }

    /// Notes that the Provider's limit was reached.
    pub(crate) fn limit_reached(&self, now: Timestamp) {
        let mut state = self.queue.state();
        state.keep_order(now);
        state.paced_until = state.ordered_until;
    }

    /// Returns the end of the pause that this call has to make while other orders wait.
    pub(crate) fn pause(&self, now: Timestamp) -> Option<Timestamp> {
        let state = self.queue.state();
        let own = state.entries.iter().find(|entry| entry.number == self.number)?;
        let others_wait = state.entries.iter().any(|entry| entry.requester.order != own.requester.order);
        (others_wait && now < state.paced_until && now < state.pause_ends).then_some(state.pause_ends)
    }

    /// Notes that this call was granted.
    ///
    /// - **Units:** `amount` is in tokens. `pause` is the shortest time until the next call.
    pub(crate) fn granted(&self, amount: u64, now: Timestamp, pause: SignedDuration) {
        let mut state = self.queue.state();
        state.pause_ends = now.saturating_add(pause).unwrap_or(now);
        let own = state.entries.iter().find(|entry| entry.number == self.number);
        if let Some(requester) = own.map(|entry| entry.requester.clone()) {
            for key in [requester.order, requester.world] {
                let granted = state.granted.entry(key).or_default();
                *granted = granted.saturating_add(amount.max(1));
            }
        }
    }

    /// Waits until this call may have become the next one.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        state.entries.retain(|entry| entry.number != self.number);
        if state.granted.len() > REMEMBERED {
            state.granted.clear();
        }
        state.wake_head();
    }
}

impl QueueState {
    fn head(&self) -> Option<&Entry> {
        let granted = |key: &str| self.granted.get(key).copied().unwrap_or_default();
        self.entries.iter().filter(|entry| !entry.parked).min_by_key(|entry| {
            let Requester { order, world, priority } = &entry.requester;
            (Reverse(*priority), granted(order), granted(world), entry.number)
        })
    }

    fn keep_order(&mut self, now: Timestamp) {
        self.ordered_until = now.saturating_add(REMEMBERED_LIMIT).unwrap_or(now);
    }

    fn wake_head(&self) {
        if let Some(head) = self.head() {
            head.wake.notify_one();
        }
    }

    /// Lifts the grants of a newcomer to the least of those that wait, so that it gets no more than they do from now on.
    fn level(&mut self, newcomer: &Requester) {
        let least = |granted: &HashMap<String, u64>, keys: Vec<&String>| {
            keys.into_iter().map(|key| granted.get(key).copied().unwrap_or_default()).min()
        };
        let requesters = || self.entries.iter().map(|entry| &entry.requester);
        let orders = requesters().map(|other| &other.order).filter(|order| **order != newcomer.order);
        let order = least(&self.granted, orders.collect());
        let worlds = requesters().filter(|other| other.order == newcomer.order).map(|other| &other.world);
        let world = least(&self.granted, worlds.filter(|world| **world != newcomer.world).collect());
        for (key, floor) in [(&newcomer.order, order), (&newcomer.world, world)] {
            let granted = self.granted.entry(key.clone()).or_default();
            *granted = (*granted).max(floor.unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    /// Returns a queue in which a limit was reached.
    fn ordered() -> Arc<FairQueue> {
        let queue = Arc::new(FairQueue::default());
        queue.state().keep_order(NOW);
        queue
    }

    fn requester(order: &str, world: &str, priority: i32) -> Requester {
        Requester { order: order.into(), world: format!("{order}-{world}"), priority }
    }

    /// Serves the queue so many times. Each call that was served comes back at once.
    fn serve(queue: &Arc<FairQueue>, mut tickets: Vec<(Requester, Ticket)>, times: usize) -> HashMap<String, usize> {
        let mut served = HashMap::new();
        for _ in 0..times {
            let head = tickets.iter().position(|(_, ticket)| ticket.may_ask(NOW)).unwrap();
            let (requester, ticket) = tickets.remove(head);
            ticket.granted(100, NOW, SignedDuration::ZERO);
            drop(ticket);
            *served.entry(requester.world.clone()).or_default() += 1;
            tickets.push((requester.clone(), queue.join(requester)));
        }
        served
    }

    fn joined(queue: &Arc<FairQueue>, all: Vec<Requester>) -> Vec<(Requester, Ticket)> {
        all.into_iter().map(|requester| (requester.clone(), queue.join(requester))).collect()
    }

    #[test]
    fn calls_ask_together_until_one_is_refused() {
        let queue = Arc::new(FairQueue::default());
        let waits = joined(&queue, vec![requester("a", "w", 0), requester("b", "w", 0)]);
        assert!(waits.iter().all(|(_, ticket)| ticket.may_ask(NOW)));
        waits[1].1.limit_reached(NOW);
        assert!(waits[0].1.may_ask(NOW) && !waits[1].1.may_ask(NOW), "the first one is next");
        let later = NOW + REMEMBERED_LIMIT;
        assert!(waits[1].1.may_ask(later), "nothing of what filled the limit counts any more");
    }

    #[test]
    fn orders_share_evenly_however_many_worlds_they_have() {
        let queue = ordered();
        let mut all: Vec<_> = (0..4).map(|world| requester("large", &world.to_string(), 0)).collect();
        all.push(requester("small", "a", 0));
        let tickets = joined(&queue, all);
        let served = serve(&queue, tickets, 80);
        assert_eq!(served["small-a"], 40);
        assert!((0..4).all(|world| served[&format!("large-{world}")] == 10), "{served:?}");
    }

    #[test]
    fn priority_comes_first() {
        let queue = ordered();
        let tickets = joined(&queue, vec![requester("a", "w", 0), requester("b", "w", 5)]);
        assert_eq!(serve(&queue, tickets, 10), HashMap::from([("b-w".to_owned(), 10)]));
    }

    #[test]
    fn an_order_that_was_away_does_not_catch_up() {
        let queue = ordered();
        serve(&queue, joined(&queue, vec![requester("a", "w", 0)]), 1000);
        let served = serve(&queue, joined(&queue, vec![requester("a", "w", 0), requester("b", "w", 0)]), 100);
        assert_eq!(served["a-w"], 50, "{served:?}");
    }

    #[test]
    fn calls_pause_only_where_the_limit_was_reached_and_several_orders_wait() {
        let queue = Arc::new(FairQueue::default());
        let at = |seconds| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
        let waits = joined(&queue, vec![requester("a", "v", 0), requester("a", "w", 0), requester("b", "w", 0)]);
        let give = |number: usize| waits[number].1.granted(1, at(100), SignedDuration::from_secs(3));
        give(0);
        assert_eq!(waits[2].1.pause(at(100)), None, "there was room for all");
        waits[0].1.limit_reached(at(100));
        give(1);
        assert_eq!(waits[2].1.pause(at(102)), Some(at(103)));
        assert_eq!(waits[2].1.pause(at(103)), None);
        queue.state().entries.retain(|entry| entry.requester.order == "a");
        assert_eq!(waits[0].1.pause(at(102)), None, "nobody else waits");
        let other = queue.join(requester("b", "w", 0));
        other.granted(1, at(161), SignedDuration::from_secs(3));
        assert_eq!(other.pause(at(162)), None, "what used the limit up no longer counts");
    }

    #[test]
    fn a_parked_call_lets_others_go_and_is_back_when_a_call_has_ended() {
        let queue = Arc::new(FairQueue::default());
        let (first, second) = (queue.join(requester("a", "w", 0)), queue.join(requester("b", "w", 0)));
        assert!(first.may_ask(NOW));
        first.park(first.ended_calls(), NOW);
        assert!(second.may_ask(NOW));
        let before = first.ended_calls();
        queue.call_ended();
        assert!(first.may_ask(NOW));
        first.park(before, NOW);
        assert!(first.may_ask(NOW), "a call has ended since it asked");
        drop(first);
        assert!(second.may_ask(NOW));
    }

    #[test]
    fn that_a_provider_gives_no_answer_is_logged_once_a_minute() {
        let queue = FairQueue::default();
        let now = Timestamp::UNIX_EPOCH;
        let said = [0, 59, 60, 61].map(|second| queue.should_log_outage(now + SignedDuration::from_secs(second)));
        assert_eq!(said, [true, false, true, false]);
    }
}
