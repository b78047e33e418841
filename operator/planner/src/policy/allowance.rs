//! The allowance for writes that only show progress: a token bucket over all orders.
//!
//! People watch, so stages and counts are shown as they change. When thousands of Worlds change at once, the API server has
//! work to do that orders wait for, and what is shown waits instead.

use jiff::{SignedDuration, Timestamp};

/// A bucket that fills with time and is emptied by writes.
///
/// - **Guarantees:** over any time no more is taken than `burst` and `per_second` times the seconds, rounded up.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// One token each so often.
    interval: SignedDuration,
    burst: u32,
    tokens: u32,
    /// Up to when the bucket has been filled.
    filled: Option<Timestamp>,
}

impl Allowance {
    /// Returns a full bucket.
    ///
    /// - **Shape:** `per_second` tokens come each second, at least one; no more than `burst` are kept.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let interval = SignedDuration::from_secs(1) / i32::try_from(per_second.max(1)).unwrap_or(i32::MAX);
        Self { interval, burst, tokens: burst, filled: None }
    }

    /// Takes as many tokens as there are, at most `wanted`.
    pub fn take(&mut self, wanted: u32, now: Timestamp) -> u32 {
        self.fill(now);
        let taken = wanted.min(self.tokens);
        self.tokens -= taken;
        taken
    }

    /// Gives back tokens that were taken and not used.
    pub fn give_back(&mut self, unused: u32) {
        self.tokens = self.tokens.saturating_add(unused).min(self.burst);
    }

    fn fill(&mut self, now: Timestamp) {
        let filled = *self.filled.get_or_insert(now);
        let due = now.duration_since(filled).as_nanos() / self.interval.as_nanos().max(1);
        let Ok(due) = u32::try_from(due.max(0)) else {
            // So long ago that the bucket is full whatever its size.
            (self.tokens, self.filled) = (self.burst, Some(now));
            return;
        };
        self.tokens = self.tokens.saturating_add(due).min(self.burst);
        let step = self.interval.checked_mul(i32::try_from(due).unwrap_or(i32::MAX));
        self.filled = Some(step.map_or(now, |step| filled + step));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(milliseconds).unwrap()
    }

    #[test]
    fn a_burst_is_followed_by_the_rate() {
        let mut bucket = Allowance::new(5, 10);
        assert_eq!(bucket.take(30, at(0)), 10);
        assert_eq!(bucket.take(1, at(199)), 0);
        assert_eq!(bucket.take(30, at(200)), 1);
        // What is left of an interval counts for the next one.
        assert_eq!(bucket.take(30, at(390)), 0);
        assert_eq!(bucket.take(30, at(400)), 1);
        assert_eq!(bucket.take(30, at(1_400)), 5);
        assert_eq!(bucket.take(30, at(3_600_000)), 10, "no more than a burst is kept");
    }

    #[test]
    fn what_is_given_back_can_be_taken() {
        let mut bucket = Allowance::new(5, 10);
        assert_eq!(bucket.take(6, at(0)), 6);
        bucket.give_back(4);
        assert_eq!(bucket.take(10, at(0)), 8);
        bucket.give_back(100);
        assert_eq!(bucket.take(100, at(0)), 10);
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_and_breaks_nothing() {
        let mut bucket = Allowance::new(5, 1);
        assert_eq!(bucket.take(1, at(10_000)), 1);
        assert_eq!(bucket.take(1, at(0)), 0);
        assert_eq!(bucket.take(1, at(10_200)), 1);
    }
}
