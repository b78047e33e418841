//! Refusals: what an order does after the API server did not take a World or a pod of it (a quota, an admission rule, a
//! missing right).
//!
//! Until its next try it asks for no slot, so that it holds nothing that others could use. Then it tries one World, and
//! twice as many each time that all were taken: a quota may have room for one and not for the next.

use jiff::Timestamp;
use manyworlds_api::conditions::Reason;

/// The last refusal of what an order wanted to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    reason: Reason,
    message: String,
    in_a_row: u32,
    retry: Option<Timestamp>,
    most: usize,
}

impl Refusal {
    /// Takes note of a refusal, with the number of those in a row that it ends, and the time of the next try.
    pub fn new(reason: Reason, message: String, in_a_row: u32, retry: Timestamp) -> Self {
        Self { reason, message, in_a_row, retry: Some(retry), most: 1 }
    }

    /// Returns the number of refusals in a row.
    pub fn in_a_row(&self) -> u32 {
        self.in_a_row
    }

    /// Returns the time of the next try, where that is still to come.
    pub fn retry_after(&self, now: Timestamp) -> Option<Timestamp> {
        self.retry.filter(|retry| *retry > now)
    }

    /// Returns what people are told until the next try.
    pub fn said(&self, now: Timestamp) -> Option<(Reason, &str)> {
        self.retry_after(now).map(|_| (self.reason, self.message.as_str()))
    }

    /// Returns the most Worlds that may be started now.
    pub fn most(&self, now: Timestamp) -> usize {
        if self.retry_after(now).is_some() { 0 } else { self.most }
    }

    /// Has the next try come at once: something of the order has gone, and left room.
    pub fn try_again(&mut self) {
        self.retry = None;
    }

    /// Returns what is left of it once a try succeeded, for an order of so many Worlds.
    ///
    /// - **Shape:** `None` once it bounds nothing any more.
    pub fn after_success(mut self, worlds: usize) -> Option<Self> {
        self.most = self.most.saturating_mul(2);
        self.in_a_row = 0;
        self.retry = None;
        (self.most < worlds).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_order_that_was_refused_tries_nothing_until_it_is_time_and_then_one_and_twice_as_many() {
        let refusal = Refusal::new(Reason::PermissionDenied, "exceeded quota".to_owned(), 3, at(5));
        assert_eq!((refusal.most(at(4)), refusal.retry_after(at(4))), (0, Some(at(5))));
        assert_eq!(refusal.said(at(4)), Some((Reason::PermissionDenied, "exceeded quota")));
        assert_eq!((refusal.most(at(5)), refusal.said(at(5))), (1, None));
        let refusal = refusal.after_success(5).unwrap();
        assert_eq!((refusal.most(at(5)), refusal.in_a_row()), (2, 0));
        let refusal = refusal.after_success(5).unwrap();
        assert_eq!(refusal.most(at(5)), 4);
        assert_eq!(refusal.after_success(5), None);
    }

    #[test]
    fn what_goes_may_leave_room_for_the_next_try() {
        let mut refusal = Refusal::new(Reason::Rejected, String::new(), 1, at(5));
        refusal.try_again();
        assert_eq!(refusal.most(at(0)), 1);
    }
}
