//! A vendor's own rate limit: any minute counts.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::script::RateLimit;

const WINDOW: Duration = Duration::from_mins(1);

/// The calls of the last minute and their tokens.
#[derive(Default)]
pub(crate) struct Window(VecDeque<(Instant, u64)>);

impl Window {
    /// Counts a call, or returns how long it has to wait.
    pub(crate) fn take(&mut self, now: Instant, limit: RateLimit, tokens: u64) -> Result<(), Duration> {
        while self.0.front().is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW) {
            self.0.pop_front();
        }
        let used: u64 = self.0.iter().map(|(_, tokens)| tokens).sum();
        let calls = u64::try_from(self.0.len()).unwrap_or(u64::MAX);
        if calls < limit.requests && used + tokens <= limit.tokens.max(tokens) {
            self.0.push_back((now, tokens));
            return Ok(());
        }
        let first = self.0.front().map_or(now, |(at, _)| *at);
        Err((first + WINDOW).saturating_duration_since(now))
    }

    /// Returns the calls and tokens that are left.
    pub(crate) fn left(&self, limit: RateLimit) -> (u64, u64) {
        let used: u64 = self.0.iter().map(|(_, tokens)| tokens).sum();
        let calls = u64::try_from(self.0.len()).unwrap_or(u64::MAX);
        (limit.requests.saturating_sub(calls), limit.tokens.saturating_sub(used))
    }
}
