//! The prices of a session's calls, and the World's share of its order's budget.
//!
//! **Architecture invariant:** pure. It can only end a session early; the gateway's ledger holds the budget.

use manyworlds_api::Money;
use manyworlds_api::provider::Prices;
use manyworlds_metering::price::{self, CallMode, Tokens};
use serde::Deserialize;
use serde_json::Value;

/// The prices of a model, from the gateway's list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pricing {
    prices: Prices,
    /// The World's even share of what its order may cost.
    cost_share: Money,
}

impl Pricing {
    /// Reads them from a model of the list, where both are there.
    pub(super) fn read(listed: &Value) -> Option<Self> {
        Self::deserialize(listed).ok()
    }

    pub(super) fn share(&self) -> Money {
        self.cost_share
    }

    pub(super) fn cost(&self, tokens: Tokens) -> Money {
        price::cost(&self.prices, tokens, CallMode::Single)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn calls_cost_what_the_list_says() {
        let prices = json!({"input": "3.00", "output": "15.00", "cached": "0.30", "cacheWrite5m": "3.75"});
        let pricing = Pricing::read(&json!({"id": "m", "prices": prices, "costShare": "1.25"})).unwrap();
        assert_eq!(pricing.share(), "1.25".parse().unwrap());
        let used = Tokens { input: 1000, cached: 1000, cache_write_5m: 1000, output: 1000, ..Tokens::default() };
        assert_eq!(pricing.cost(used), "0.02205".parse().unwrap());
    }

    #[test]
    fn without_prices_or_a_share_there_are_none() {
        let prices = json!({"input": "3.00", "output": "15.00"});
        for listed in [
            json!({"id": "m", "strength": 50}),
            json!({"id": "m", "prices": prices}),
            json!({"id": "m", "costShare": "1.25"}),
            json!({"id": "m", "prices": {"input": 3}, "costShare": "1.25"}),
        ] {
            assert_eq!(Pricing::read(&listed), None, "{listed}");
        }
    }
}
