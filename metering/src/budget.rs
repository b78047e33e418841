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
pub struct SpendingLimit {
    /// Dollars.
    pub cost: Option<Money>,
    /// Tokens.
    pub tokens: Option<u64>,
}

impl SpendingLimit {
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
pub enum BudgetDecision {
    /// It may.
    Granted,
    /// Perhaps when a call that is under way has ended and cost less than it might have.
    WaitForAnother,
    /// No: all is spent.
    Exhausted,
}

/// What was spent, and what calls that are under way may yet cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// What calls that have ended have cost.
    pub spent: Amount,
    /// What calls that are under way may cost at most.
    pub reserved: Amount,
}

impl Balance {
    /// Returns whether a call may be made that may cost so much.
    ///
    /// - **Guarantees:** calls are made together only where the most that all of them can cost is within the limit. The
    ///   last one, of which less is left than it can cost at most, is made alone. So money that is left is never out of
    ///   reach, and the limit is passed by at most what a single call costs.
    pub fn decide(&self, limit: &SpendingLimit, most: Amount) -> BudgetDecision {
        if limit.is_reached(self.spent) {
            BudgetDecision::Exhausted
        } else if limit.holds(self.spent.plus(self.reserved).plus(most)) || self.reserved == Amount::default() {
            BudgetDecision::Granted
        } else {
            BudgetDecision::WaitForAnother
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

    fn most(cost: u128) -> SpendingLimit {
        SpendingLimit { cost: Some(Money::from_trillionths(cost)), tokens: None }
    }

    #[test]
    fn calls_that_together_might_pass_the_limit_wait_for_each_other() {
        let (limit, mut account) = (most(100), Balance::default());
        account.reserve(amount(60));
        assert_eq!(account.decide(&limit, amount(60)), BudgetDecision::WaitForAnother);
        account.settle(amount(60), amount(10));
        assert_eq!(account.decide(&limit, amount(60)), BudgetDecision::Granted);
    }

    #[test]
    fn what_is_left_can_be_spent_and_then_no_more() {
        let (limit, mut account) = (most(100), Balance::default());
        account.settle(Amount::default(), amount(90));
        assert_eq!(account.decide(&limit, amount(60)), BudgetDecision::Granted, "ten are left");
        account.reserve(amount(60));
        account.settle(amount(60), amount(10));
        assert_eq!(account.decide(&limit, amount(0)), BudgetDecision::Exhausted);
        assert_eq!(account.decide(&most(101), amount(60)), BudgetDecision::Granted, "the limit was raised");
    }

    #[test]
    fn tokens_have_a_limit_of_their_own() {
        let limit = SpendingLimit { cost: None, tokens: Some(50) };
        let account = Balance { spent: amount(50), reserved: Amount::default() };
        assert_eq!(account.decide(&limit, amount(1)), BudgetDecision::Exhausted);
        assert_eq!(account.decide(&SpendingLimit::default(), amount(1)), BudgetDecision::Granted);
    }

    proptest! {
        #[test]
        fn the_limit_is_passed_by_at_most_one_call(
            most_spent in 1_u128..1000,
            steps in prop::collection::vec((1_u128..300, 0_u128..=100, any::<bool>()), 1..200),
        ) {
            let (limit, mut account, mut under_way) = (most(most_spent), Balance::default(), Vec::new());
            let mut dearest = 0;
            for (cost, share, ends) in steps {
                if ends && !under_way.is_empty() {
                    let reserved: u128 = under_way.remove(0);
                    let used = reserved * share / 100;
                    dearest = dearest.max(used);
                    account.settle(amount(reserved), amount(used));
                } else if account.decide(&limit, amount(cost)) == BudgetDecision::Granted {
                    account.reserve(amount(cost));
                    under_way.push(cost);
                }
                prop_assert_eq!(account.reserved, amount(under_way.iter().sum()));
                prop_assert!(account.spent.cost.trillionths() < most_spent + dearest.max(1));
            }
        }
    }
}
