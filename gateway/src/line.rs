//! Who of those that wait for a Provider is next.
//!
//! Priority comes first, then the order that was given the least, then its World that was, then who came first. Who has
//! been away has no claim on what it did not ask for meanwhile.
//!
//! While there is room for all, nobody waits for anybody: the ledger answers those that ask at the same time together. Once
//! one was refused, they ask one after the other.
//!
//! A limit that was used up comes back as it was used: who was quick when there was room would be quick again a minute later,
//! every minute, because its next call is there before the others'. So where a limit was reached and several orders wait, calls
//! go out with pauses between them, which leave the others time to come back.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

/// Of so many orders and Worlds it is remembered what they were given.
const REMEMBERED: usize = 4096;
/// For so long after a limit was reached, calls go out in order and with pauses: as long as what used it up counts.
const REMEMBERED_LIMIT: SignedDuration = SignedDuration::from_secs(60);
/// How often it is said that a Provider cannot be reached.
const COMPLAINT: SignedDuration = SignedDuration::from_secs(60);

/// Those that wait for one Provider.
#[derive(Default)]
pub(crate) struct Line {
    waiting: Mutex<Waiting>,
    /// When it was last said that the Provider cannot be reached.
    complained: Mutex<Option<Timestamp>>,
}

/// Who waits.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    pub(crate) order: String,
    pub(crate) world: String,
    pub(crate) priority: i32,
}

/// A place in the line. It ends with the wait.
pub(crate) struct Place {
    line: Arc<Line>,
    number: u64,
    wake: Arc<Notify>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    waiters: Vec<Waiter>,
    /// How many calls have ended.
    ends: u64,
    given: HashMap<String, u64>,
    /// Until when they ask one after the other.
    ordered_until: Timestamp,
    /// Until when calls go out with pauses.
    paced_until: Timestamp,
    /// When the pause after the last call ends.
    pause_ends: Timestamp,
}

struct Waiter {
    number: u64,
    who: Who,
    /// It waits for something that only its own order can free, so that others go before it.
    aside: bool,
    wake: Arc<Notify>,
}

impl Line {
    /// Joins the line at its end.
    pub(crate) fn join(self: &Arc<Self>, who: Who) -> Place {
        let mut waiting = self.waiting();
        let (number, wake) = (waiting.next, Arc::new(Notify::new()));
        waiting.next += 1;
        waiting.level(&who);
        waiting.waiters.push(Waiter { number, who, aside: false, wake: wake.clone() });
        Place { line: self.clone(), number, wake }
    }

    /// Returns whether to say that the Provider cannot be reached, and notes that it was said.
    pub(crate) fn complains(&self, now: Timestamp) -> bool {
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = complained.is_none_or(|before| now.duration_since(before) >= COMPLAINT);
        if is_new {
            *complained = Some(now);
        }
        is_new
    }

    /// Notes that a call has ended: there may be room for those that stepped aside.
    pub(crate) fn ended(&self) {
        let mut waiting = self.waiting();
        waiting.ends += 1;
        waiting.waiters.iter_mut().for_each(|waiter| waiter.aside = false);
        waiting.wake_head();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it holds the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Returns whether it is this one's turn to ask.
    pub(crate) fn has_turn(&self, now: Timestamp) -> bool {
        let waiting = self.line.waiting();
        now >= waiting.ordered_until || waiting.head().is_some_and(|head| head.number == self.number)
    }

    /// Returns how many calls have ended so far, for [`Place::step_aside`].
    pub(crate) fn ends(&self) -> u64 {
        self.line.waiting().ends
    }

    /// Lets others go first until a call has ended.
    ///
    /// - **Guarantees:** whoever was refused for the sake of a call that has ended meanwhile asks again at once: `ends` is
    ///   what was counted before it asked.
    pub(crate) fn step_aside(&self, ends: u64, now: Timestamp) {
        let mut waiting = self.line.waiting();
        waiting.keep_order(now);
        if waiting.ends != ends {
            self.wake.notify_one();
        } else if let Some(waiter) = waiting.waiters.iter_mut().find(|waiter| waiter.number == self.number) {
            waiter.aside = true;
        }
        waiting.wake_head();
    }

    /// Comes back from aside.
    pub(crate) fn step_back(&self) {
        let mut waiting = self.line.waiting();
        if let Some(waiter) = waiting.waiters.iter_mut().find(|waiter| waiter.number == self.number) {
            waiter.aside = false;
        }
    }

    /// Notes that the limit was reached.
    pub(crate) fn limited(&self, now: Timestamp) {
        let mut waiting = self.line.waiting();
        waiting.keep_order(now);
        waiting.paced_until = waiting.ordered_until;
    }

    /// Returns when the pause ends that this one has to make for the sake of other orders that wait.
    pub(crate) fn pause(&self, now: Timestamp) -> Option<Timestamp> {
        let waiting = self.line.waiting();
        let own = waiting.waiters.iter().find(|waiter| waiter.number == self.number)?;
        let shared = waiting.waiters.iter().any(|waiter| waiter.who.order != own.who.order);
        (shared && now < waiting.paced_until && now < waiting.pause_ends).then_some(waiting.pause_ends)
    }

    /// Notes that this one was given what it waited for. `pause` is how long the next one should wait at least.
    pub(crate) fn given(&self, amount: u64, now: Timestamp, pause: SignedDuration) {
        let mut waiting = self.line.waiting();
        waiting.pause_ends = now.saturating_add(pause).unwrap_or(now);
        let found = waiting.waiters.iter().find(|waiter| waiter.number == self.number).map(|waiter| waiter.who.clone());
        if let Some(who) = found {
            for key in [who.order, who.world] {
                let given = waiting.given.entry(key).or_default();
                *given = given.saturating_add(amount.max(1));
            }
        }
    }

    /// Waits until somebody thinks that it may be this one's turn.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.line.waiting();
        waiting.waiters.retain(|waiter| waiter.number != self.number);
        if waiting.given.len() > REMEMBERED {
            waiting.given.clear();
        }
        waiting.wake_head();
    }
}

impl Waiting {
    fn head(&self) -> Option<&Waiter> {
        let given = |key: &str| self.given.get(key).copied().unwrap_or_default();
        self.waiters.iter().filter(|waiter| !waiter.aside).min_by_key(|waiter| {
            let Who { order, world, priority } = &waiter.who;
            (Reverse(*priority), given(order), given(world), waiter.number)
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

    /// Lifts one that comes to the least of those that wait, so that it gets no more than they do from now on.
    fn level(&mut self, who: &Who) {
        let least = |given: &HashMap<String, u64>, keys: Vec<&String>| {
            keys.into_iter().map(|key| given.get(key).copied().unwrap_or_default()).min()
        };
        let orders = self.waiters.iter().map(|waiter| &waiter.who.order).filter(|order| **order != who.order);
        let order = least(&self.given, orders.collect());
        let worlds = self.waiters.iter().filter(|waiter| waiter.who.order == who.order).map(|waiter| &waiter.who.world);
        let world = least(&self.given, worlds.filter(|world| **world != who.world).collect());
        for (key, floor) in [(&who.order, order), (&who.world, world)] {
            let given = self.given.entry(key.clone()).or_default();
            *given = (*given).max(floor.unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    /// A line in which a limit was reached.
    fn ordered() -> Arc<Line> {
        let line = Arc::new(Line::default());
        line.waiting().keep_order(NOW);
        line
    }

    fn who(order: &str, world: &str, priority: i32) -> Who {
        Who { order: order.into(), world: format!("{order}-{world}"), priority }
    }

    /// Serves the line so many times; each one that was served comes back at once.
    fn serve(line: &Arc<Line>, mut places: Vec<(Who, Place)>, times: usize) -> HashMap<String, usize> {
        let mut served = HashMap::new();
        for _ in 0..times {
            let head = places.iter().position(|(_, place)| place.has_turn(NOW)).unwrap();
            let (who, place) = places.remove(head);
            place.given(100, NOW, SignedDuration::ZERO);
            drop(place);
            *served.entry(who.world.clone()).or_default() += 1;
            places.push((who.clone(), line.join(who)));
        }
        served
    }

    fn joined(line: &Arc<Line>, all: Vec<Who>) -> Vec<(Who, Place)> {
        all.into_iter().map(|who| (who.clone(), line.join(who))).collect()
    }

    #[test]
    fn they_ask_together_until_one_is_refused() {
        let line = Arc::new(Line::default());
        let waits = joined(&line, vec![who("a", "w", 0), who("b", "w", 0)]);
        assert!(waits.iter().all(|(_, place)| place.has_turn(NOW)));
        waits[1].1.limited(NOW);
        assert!(waits[0].1.has_turn(NOW) && !waits[1].1.has_turn(NOW), "the first one is next");
        let later = NOW + REMEMBERED_LIMIT;
        assert!(waits[1].1.has_turn(later), "nothing of what filled the limit counts any more");
    }

    #[test]
    fn orders_share_evenly_however_many_worlds_they_have() {
        let line = ordered();
        let mut all: Vec<_> = (0..4).map(|world| who("large", &world.to_string(), 0)).collect();
        all.push(who("small", "a", 0));
        let places = joined(&line, all);
        let served = serve(&line, places, 80);
        assert_eq!(served["small-a"], 40);
        assert!((0..4).all(|world| served[&format!("large-{world}")] == 10), "{served:?}");
    }

    #[test]
    fn priority_comes_first() {
        let line = ordered();
        let places = joined(&line, vec![who("a", "w", 0), who("b", "w", 5)]);
        assert_eq!(serve(&line, places, 10), HashMap::from([("b-w".to_owned(), 10)]));
    }

    #[test]
    fn who_was_away_does_not_catch_up() {
        let line = ordered();
        serve(&line, joined(&line, vec![who("a", "w", 0)]), 1000);
        let served = serve(&line, joined(&line, vec![who("a", "w", 0), who("b", "w", 0)]), 100);
        assert_eq!(served["a-w"], 50, "{served:?}");
    }

    #[test]
    fn calls_pause_only_where_the_limit_was_reached_and_several_orders_wait() {
        let line = Arc::new(Line::default());
        let at = |seconds| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
        let waits = joined(&line, vec![who("a", "v", 0), who("a", "w", 0), who("b", "w", 0)]);
        let give = |number: usize| waits[number].1.given(1, at(100), SignedDuration::from_secs(3));
        give(0);
        assert_eq!(waits[2].1.pause(at(100)), None, "there was room for all");
        waits[0].1.limited(at(100));
        give(1);
        assert_eq!(waits[2].1.pause(at(102)), Some(at(103)));
        assert_eq!(waits[2].1.pause(at(103)), None);
        line.waiting().waiters.retain(|waiter| waiter.who.order == "a");
        assert_eq!(waits[0].1.pause(at(102)), None, "nobody else waits");
        let other = line.join(who("b", "w", 0));
        other.given(1, at(161), SignedDuration::from_secs(3));
        assert_eq!(other.pause(at(162)), None, "what used the limit up no longer counts");
    }

    #[test]
    fn who_steps_aside_lets_others_go_and_is_back_when_a_call_has_ended() {
        let line = Arc::new(Line::default());
        let (first, second) = (line.join(who("a", "w", 0)), line.join(who("b", "w", 0)));
        assert!(first.has_turn(NOW));
        first.step_aside(first.ends(), NOW);
        assert!(second.has_turn(NOW));
        let before = first.ends();
        line.ended();
        assert!(first.has_turn(NOW));
        first.step_aside(before, NOW);
        assert!(first.has_turn(NOW), "a call has ended since it asked");
        drop(first);
        assert!(second.has_turn(NOW));
    }

    #[test]
    fn that_a_provider_gives_no_answer_is_said_once_a_minute() {
        let line = Line::default();
        let now = Timestamp::UNIX_EPOCH;
        let said = [0, 59, 60, 61].map(|second| line.complains(now + SignedDuration::from_secs(second)));
        assert_eq!(said, [true, false, true, false]);
    }
}
