//! What may still be spent: by an order and by every Budget that holds it.

use manyworlds_api::Money;
use serde::{Deserialize, Serialize};

/// An amount of money and tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Dollars.
    pub cost: Money,
    /// Tokens, input and output together.
    pub tokens: u64,
}

impl Amount {
    /// Returns the sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            cost: Money::from_trillionths(self.cost.trillionths().saturating_add(other.cost.trillionths())),
            tokens: self.tokens.saturating_add(other.tokens),
        }
    }

    /// Returns the difference, nothing where there would be less.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self {
            cost: Money::from_trillionths(self.cost.trillionths().saturating_sub(other.cost.trillionths())),
            tokens: self.tokens.saturating_sub(other.tokens),
        }
    }
}

/// The most that may be spent; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Dollars.
    pub cost: Option<Money>,
    /// Tokens.
    pub tokens: Option<u64>,
}

impl Allowed {
    fn holds(&self, amount: Amount) -> bool {
        self.cost.is_none_or(|most| amount.cost <= most) && self.tokens.is_none_or(|most| amount.tokens <= most)
    }

    /// Returns whether nothing is left beside an amount.
    pub fn is_reached(&self, amount: Amount) -> bool {
        self.cost.is_some_and(|most| amount.cost >= most) || self.tokens.is_some_and(|most| amount.tokens >= most)
    }
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Granted,
    /// Perhaps when a call that is under way has ended and cost less than it might have.
    AfterAnother,
    /// No: all is spent.
    Exhausted,
}

/// What was spent, and what calls that are under way may yet cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// What calls that have ended have cost.
    pub spent: Amount,
    /// What calls that are under way may cost at most.
    pub reserved: Amount,
}

impl Account {
    /// Returns whether a call may be made that may cost so much.
    ///
    /// - **Guarantees:** calls are made together only where the most that all of them can cost is within the limit. The
    ///   last one, of which less is left than it can cost at most, is made alone. So money that is left is never out of
    ///   reach, and the limit is passed by at most what a single call costs.
    pub fn ask(&self, allowed: &Allowed, most: Amount) -> Verdict {
        if allowed.is_reached(self.spent) {
            Verdict::Exhausted
        } else if allowed.holds(self.spent.plus(self.reserved).plus(most)) || self.reserved == Amount::default() {
            Verdict::Granted
        } else {
            Verdict::AfterAnother
        }
    }

    /// Sets aside what a call may cost at most.
    pub fn reserve(&mut self, most: Amount) {
        self.reserved = self.reserved.plus(most);
    }

    /// Puts what a call has cost in the place of what was set aside for it.
    pub fn settle(&mut self, most: Amount, used: Amount) {
        self.reserved = self.reserved.less(most);
        self.spent = self.spent.plus(used);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn amount(cost: u128) -> Amount {
        Amount { cost: Money::from_trillionths(cost), tokens: u64::try_from(cost).unwrap() }
    }

    fn most(cost: u128) -> Allowed {
        Allowed { cost: Some(Money::from_trillionths(cost)), tokens: None }
    }

    #[test]
    fn calls_that_together_might_pass_the_limit_wait_for_each_other() {
        let (allowed, mut account) = (most(100), Account::default());
        account.reserve(amount(60));
        assert_eq!(account.ask(&allowed, amount(60)), Verdict::AfterAnother);
        account.settle(amount(60), amount(10));
        assert_eq!(account.ask(&allowed, amount(60)), Verdict::Granted);
    }

    #[test]
    fn what_is_left_can_be_spent_and_then_no_more() {
        let (allowed, mut account) = (most(100), Account::default());
        account.settle(Amount::default(), amount(90));
        assert_eq!(account.ask(&allowed, amount(60)), Verdict::Granted, "ten are left");
        account.reserve(amount(60));
        account.settle(amount(60), amount(10));
        assert_eq!(account.ask(&allowed, amount(0)), Verdict::Exhausted);
        assert_eq!(account.ask(&most(101), amount(60)), Verdict::Granted, "the limit was raised");
    }

    #[test]
    fn tokens_have_a_limit_of_their_own() {
        let allowed = Allowed { cost: None, tokens: Some(50) };
        let account = Account { spent: amount(50), reserved: Amount::default() };
        assert_eq!(account.ask(&allowed, amount(1)), Verdict::Exhausted);
        assert_eq!(account.ask(&Allowed::default(), amount(1)), Verdict::Granted);
    }

    proptest! {
        #[test]
        fn the_limit_is_passed_by_at_most_one_call(
            limit in 1_u128..1000,
            steps in prop::collection::vec((1_u128..300, 0_u128..=100, any::<bool>()), 1..200),
        ) {
            let (allowed, mut account, mut under_way) = (most(limit), Account::default(), Vec::new());
            let mut dearest = 0;
            for (cost, share, ends) in steps {
                if ends && !under_way.is_empty() {
                    let reserved: u128 = under_way.remove(0);
                    let used = reserved * share / 100;
                    dearest = dearest.max(used);
                    account.settle(amount(reserved), amount(used));
                } else if account.ask(&allowed, amount(cost)) == Verdict::Granted {
                    account.reserve(amount(cost));
                    under_way.push(cost);
                }
                prop_assert_eq!(account.reserved, amount(under_way.iter().sum()));
                prop_assert!(account.spent.cost.trillionths() < limit + dearest.max(1));
            }
        }
    }
}
