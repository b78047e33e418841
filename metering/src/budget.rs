//! The budgets that pay for an order: its own and every Budget that applies to it.

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

    /// Returns the difference, at least zero.
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
    fn covers(&self, amount: Amount) -> bool {
        self.cost.is_none_or(|most| amount.cost <= most) && self.tokens.is_none_or(|most| amount.tokens <= most)
    }

    /// Returns whether an amount reaches the limit.
    pub fn is_reached(&self, amount: Amount) -> bool {
        self.cost.is_some_and(|most| amount.cost >= most) || self.tokens.is_some_and(|most| amount.tokens >= most)
    }
}

/// The decision on a call that asks for money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetDecision {
    /// It may be made.
    Granted,
    /// It may be possible when a call in flight has ended and cost less than its upper bound.
    WaitForAnother,
    /// The limit is reached.
    Exhausted,
}

/// The balance of a budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// The cost of calls that have ended.
    pub spent: Amount,
    /// The most that calls in flight can cost.
    pub reserved: Amount,
}

impl Balance {
    /// Decides on a call that costs `most` at most.
    ///
    /// - **Guarantees:** calls run together only where the most that all of them can cost is within the limit. A call that can
    ///   cost more than what is left runs alone. So the last cent can be spent, and the limit is exceeded by at most the cost
    ///   of one call.
    pub fn decide(&self, limit: &SpendingLimit, most: Amount) -> BudgetDecision {
        if limit.is_reached(self.spent) {
            BudgetDecision::Exhausted
        } else if limit.covers(self.spent.plus(self.reserved).plus(most)) || self.reserved == Amount::default() {
            BudgetDecision::Granted
        } else {
            BudgetDecision::WaitForAnother
        }
    }

    /// Returns whether a call that asks for several answers can cost more than is left. One of its answers, which costs `single`
    /// at most, may: the last cent can be spent.
    pub fn is_passed_by_several(&self, limit: &SpendingLimit, most: Amount, single: Amount) -> bool {
        most != single && !limit.covers(self.spent.plus(most))
    }

    /// Reserves the most that a call can cost.
    pub fn reserve(&mut self, most: Amount) {
        self.reserved = self.reserved.plus(most);
    }

    /// Replaces the reservation of a call by its cost.
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
    fn several_answers_have_to_fit_into_what_is_left_and_one_does_not() {
        let (limit, account) = (most(100), Balance { spent: amount(90), reserved: amount(60) });
        assert!(!account.is_passed_by_several(&limit, amount(60), amount(60)), "one answer");
        assert!(!account.is_passed_by_several(&limit, amount(10), amount(5)), "what is reserved may come back");
        assert!(account.is_passed_by_several(&limit, amount(11), amount(1)));
        assert!(!account.is_passed_by_several(&SpendingLimit::default(), amount(1000), amount(1)), "there is no limit");
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
