//! The waits of an order's calls for a Provider's limits, where they are long enough to be shown to people (W9, R12).
//!
//! A wait of some seconds is what limits are for. A longer one is shown, until no call has waited long for a while: so the status
//! of an order that waits again and again does not change each time.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

/// The shortest wait that is shown.
const LONG: SignedDuration = SignedDuration::from_secs(5);
/// The time without long waits after which nothing is shown any more.
const CALM: SignedDuration = SignedDuration::from_secs(30);

/// The present and recent waits of an order's calls to one Provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// The starts of the present waits, and the number of waits with that start.
    started: BTreeMap<Timestamp, u32>,
    /// The last span of long waits.
    last: Option<Span>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    since: Timestamp,
    until: Timestamp,
}

impl Span {
    fn is_long(self) -> bool {
        self.until.duration_since(self.since) >= LONG
    }

    fn quiet_at(self) -> Timestamp {
        self.until.saturating_add(CALM).unwrap_or(self.until)
    }
}

impl Waits {
    /// Records that a call starts to wait.
    pub fn start(&mut self, at: Timestamp) {
        *self.started.entry(at).or_default() += 1;
    }

    /// Records the end of a wait.
    pub fn end(&mut self, started: Timestamp, now: Timestamp) {
        if let Some(count) = self.started.get_mut(&started) {
            *count -= 1;
            if *count == 0 {
                self.started.remove(&started);
            }
        }
        self.last = self.joined(Span { since: started, until: now });
    }

    /// Records that upstream wants no call before a time.
    pub fn record_pause(&mut self, now: Timestamp, until: Timestamp) {
        self.last = self.joined(Span { since: now, until });
    }

    /// Returns the start of the long waits; `None` where there are none.
    pub fn limited_since(&self, now: Timestamp) -> Option<Timestamp> {
        let known = match self.started.keys().next() {
            Some(first) => self.joined(Span { since: *first, until: now }),
            None => self.last,
        };
        known.filter(|span| now < span.quiet_at()).map(|span| span.since)
    }

    /// Returns whether it can be forgotten.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.started.is_empty() && self.limited_since(now).is_none()
    }

    /// Returns the last span of long waits after a further wait.
    fn joined(&self, wait: Span) -> Option<Span> {
        match self.last {
            last if !wait.is_long() => last,
            Some(last) if wait.since <= last.quiet_at() => {
                Some(Span { since: last.since.min(wait.since), until: last.until.max(wait.until) })
            }
            _ => Some(wait),
        }
    }
}

/// Returns the name of the Provider that an order has waited for the longest, and the start of the waits.
pub fn longest_limited(waits: &BTreeMap<String, Waits>, now: Timestamp) -> Option<(&str, Timestamp)> {
    let limited = waits.iter().filter_map(|(name, waits)| Some((waits.limited_since(now)?, name.as_str())));
    limited.min().map(|(since, name)| (name, since))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    #[test]
    fn a_wait_is_said_when_it_is_long_and_until_calls_have_flowed_for_a_while() {
        let mut waits = Waits::default();
        waits.start(at(0));
        waits.start(at(1));
        assert_eq!(waits.limited_since(at(4)), None);
        assert_eq!(waits.limited_since(at(5)), Some(at(0)));
        waits.end(at(0), at(6));
        assert_eq!(waits.limited_since(at(6)), Some(at(0)));
        waits.end(at(1), at(7));
        assert_eq!(waits.limited_since(at(36)), Some(at(0)));
        assert!(!waits.is_idle(at(36)));
        assert_eq!(waits.limited_since(at(37)), None);
        assert!(waits.is_idle(at(37)));
    }

    #[test]
    fn short_waits_are_never_said_however_many_there_are() {
        let mut waits = Waits::default();
        for second in 0..600 {
            waits.start(at(second * 5));
            assert_eq!(waits.limited_since(at(second * 5 + 4)), None);
            waits.end(at(second * 5), at(second * 5 + 4));
        }
    }

    /// The sentence changes a few times a minute at most, whatever calls do.
    #[test]
    fn one_that_waits_again_and_again_says_one_thing_all_the_time() {
        let mut waits = Waits::default();
        for round in 0..100 {
            waits.start(at(round * 10));
            waits.end(at(round * 10), at(round * 10 + 6));
            assert_eq!(waits.limited_since(at(round * 10 + 9)), Some(at(0)), "since the first of them");
        }
        waits.start(at(2000));
        assert_eq!(waits.limited_since(at(2006)), Some(at(2000)), "after a while with none it begins anew");
    }

    #[test]
    fn a_pause_that_upstream_asks_for_is_said_at_once_if_it_is_long() {
        let mut waits = Waits::default();
        waits.record_pause(at(0), at(4));
        assert_eq!(waits.limited_since(at(0)), None);
        waits.record_pause(at(10), at(70));
        assert_eq!(waits.limited_since(at(10)), Some(at(10)));
        assert_eq!(waits.limited_since(at(99)), Some(at(10)));
        assert_eq!(waits.limited_since(at(100)), None);
    }

    #[test]
    fn of_several_providers_the_one_is_named_that_has_had_no_room_for_the_longest() {
        let (mut early, mut late) = (Waits::default(), Waits::default());
        early.start(at(0));
        late.start(at(1));
        let all = BTreeMap::from([("a".to_owned(), late), ("b".to_owned(), early), ("c".to_owned(), Waits::default())]);
        assert_eq!(longest_limited(&all, at(10)), Some(("b", at(0))));
        assert_eq!(longest_limited(&BTreeMap::new(), at(10)), None);
    }
}
