//! The cost of a call, in whole trillionths of a dollar.

use manyworlds_api::Money;
use manyworlds_api::provider::{PriceTier, Prices};

/// The number of tokens that a price is for.
const TOKENS_OF_A_PRICE: u128 = 1_000_000;
/// The usual number of bytes in a token. Plain English has more, code has fewer.
const USUAL_BYTES_OF_A_TOKEN: u64 = 4;

/// The tokens of one call.
///
/// - **Shape:** the four numbers of input count each token once: a cached token is not in `input`. `reasoning` is a part of `output`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Input that was neither read from the Provider's cache nor written to it.
    pub input: u64,
    /// Input that was read from the Provider's cache.
    pub cached: u64,
    /// Input that was written to the Provider's cache for five minutes.
    pub cache_write_5m: u64,
    /// Input that was written to the Provider's cache for an hour.
    pub cache_write_1h: u64,
    /// Output, reasoning included.
    pub output: u64,
    /// The part of the output that was spent on reasoning.
    pub reasoning: u64,
}

impl Tokens {
    /// Returns all input.
    pub fn all_input(self) -> u64 {
        [self.cached, self.cache_write_5m, self.cache_write_1h].into_iter().fold(self.input, u64::saturating_add)
    }
}

/// The mode of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallMode {
    /// A call of its own.
    Single,
    /// Part of a batch, which is cheaper.
    Batch,
}

/// The size of a request that has not been sent yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestSize {
    /// The bytes of its body.
    pub bytes: u64,
    /// The usual number of input tokens that are not in its bytes, such as those of an image given by its address.
    pub other_input: u64,
    /// The most input tokens that are not in its bytes: a file may fill the context window.
    pub max_other_input: u64,
    /// The most input tokens that the model takes.
    pub context_window: Option<u64>,
    /// The most output tokens of its answer, all choices together.
    pub max_output: u64,
}

/// The estimate of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// The expected input tokens: these count against limits of tokens in a minute.
    pub expected_input: u64,
    /// The most input tokens.
    pub max_input: u64,
    /// The most output tokens.
    pub max_output: u64,
    /// The most that the call can cost: this is reserved.
    pub max_cost: Money,
}

/// Prices for the tokens of one call, with every gap filled.
#[derive(Clone, Copy, Debug)]
struct Rates {
    input: Money,
    cached: Money,
    cache_write_5m: Money,
    cache_write_1h: Money,
    output: Money,
    reasoning: Money,
}

impl Rates {
    fn of_base(prices: &Prices) -> Self {
        let &Prices { input, output, cached, cache_write_5m, cache_write_1h, reasoning, batch_percent: _, tiers: _ } =
            prices;
        // Like those of a tier that begins at nothing.
        Self::of_tier(&PriceTier { above: 0, input, output, cached, cache_write_5m, cache_write_1h, reasoning })
    }

    fn of_tier(tier: &PriceTier) -> Self {
        let PriceTier { above: _, input, output, cached, cache_write_5m, cache_write_1h, reasoning } = tier;
        let five_minutes = cache_write_5m.unwrap_or(*input);
        Self {
            input: *input,
            cached: cached.unwrap_or(*input),
            cache_write_5m: five_minutes,
            cache_write_1h: cache_write_1h.unwrap_or(five_minutes),
            output: *output,
            reasoning: reasoning.unwrap_or(*output),
        }
    }

    fn for_input(prices: &Prices, all_input: u64) -> Self {
        prices
            .tiers
            .iter()
            .filter(|tier| reaches(tier, all_input))
            .max_by_key(|tier| tier.above)
            .map_or_else(|| Self::of_base(prices), Self::of_tier)
    }

    fn dearest_input(self) -> Money {
        self.input.max(self.cached).max(self.cache_write_5m).max(self.cache_write_1h)
    }
}

fn reaches(tier: &PriceTier, all_input: u64) -> bool {
    u64::try_from(tier.above).is_ok_and(|above| all_input > above)
}

/// Returns the cost of a call.
///
/// - **Units:** rounded up to a whole trillionth of a dollar, once.
/// - **Guarantees:** never falls when any number of tokens rises within a tier; never more than the [`Estimate`] of a call with as many tokens.
pub fn cost(prices: &Prices, tokens: Tokens, sending: CallMode) -> Money {
    let rates = Rates::for_input(prices, tokens.all_input());
    let reasoning = tokens.reasoning.min(tokens.output);
    let parts = [
        (tokens.input, rates.input),
        (tokens.cached, rates.cached),
        (tokens.cache_write_5m, rates.cache_write_5m),
        (tokens.cache_write_1h, rates.cache_write_1h),
        (tokens.output - reasoning, rates.output),
        (reasoning, rates.reasoning),
    ];
    let percent = match sending {
        CallMode::Single => 100,
        CallMode::Batch => u128::try_from(prices.batch_percent).unwrap_or(100),
    };
    Money::from_trillionths(sum(parts).saturating_mul(percent).div_ceil(TOKENS_OF_A_PRICE * 100))
}

/// Returns the estimate of a call before it is sent.
///
/// - **Guarantees:** `max_cost` is at least the [`cost`] of the call, whatever its input turns out to be: a token of
///   text has at least one byte, other input has at most `max_other_input` tokens, and every token is priced as the dearest
///   kind in the dearest tier that the call can reach.
pub fn estimate(prices: &Prices, request: RequestSize) -> Estimate {
    let RequestSize { bytes, other_input, max_other_input, context_window, max_output } = request;
    let within = |tokens: u64| context_window.map_or(tokens, |window| tokens.min(window));
    let max_input = within(bytes.saturating_add(max_other_input.max(other_input)));
    let reachable = prices.tiers.iter().filter(|tier| reaches(tier, max_input)).map(Rates::of_tier);
    let all: Vec<_> = std::iter::once(Rates::of_base(prices)).chain(reachable).collect();
    let input = all.iter().map(|rates| rates.dearest_input()).max().unwrap_or_default();
    let output = all.iter().map(|rates| rates.output.max(rates.reasoning)).max().unwrap_or_default();
    let most = sum([(max_input, input), (max_output, output)]);
    Estimate {
        expected_input: within(bytes.div_ceil(USUAL_BYTES_OF_A_TOKEN).saturating_add(other_input)),
        max_input,
        max_output,
        max_cost: Money::from_trillionths(most.div_ceil(TOKENS_OF_A_PRICE)),
    }
}

fn sum<const N: usize>(parts: [(u64, Money); N]) -> u128 {
    parts
        .into_iter()
        .map(|(tokens, price)| u128::from(tokens).saturating_mul(price.trillionths()))
        .fold(0, u128::saturating_add)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    fn prices() -> Prices {
        Prices {
            input: money("3.00"),
            output: money("15.00"),
            cached: Some(money("0.30")),
            cache_write_5m: Some(money("3.75")),
            cache_write_1h: Some(money("6.00")),
            reasoning: Some(money("20.00")),
            batch_percent: 50,
            tiers: vec![PriceTier {
                above: 200_000,
                input: money("6.00"),
                output: money("22.50"),
                ..PriceTier::default()
            }],
        }
    }

    fn tokens(input: u64, output: u64) -> Tokens {
        Tokens { input, output, ..Tokens::default() }
    }

    #[test]
    fn each_kind_of_token_has_its_price() {
        let none = Tokens::default();
        for (used, expected) in [
            (none, "0"),
            (Tokens { input: 1000, ..none }, "0.003"),
            (Tokens { cached: 1000, ..none }, "0.0003"),
            (Tokens { cache_write_5m: 1000, ..none }, "0.00375"),
            (Tokens { cache_write_1h: 1000, ..none }, "0.006"),
            (Tokens { output: 1000, ..none }, "0.015"),
            (Tokens { output: 1000, reasoning: 400, ..none }, "0.017"),
            (Tokens { output: 1000, reasoning: 4000, ..none }, "0.02"),
        ] {
            assert_eq!(cost(&prices(), used, CallMode::Single), money(expected), "{used:?}");
        }
    }

    #[test]
    fn a_tier_holds_for_the_whole_call_and_counts_cached_input() {
        assert_eq!(cost(&prices(), tokens(200_000, 0), CallMode::Single), money("0.60"));
        assert_eq!(cost(&prices(), tokens(200_001, 0), CallMode::Single), money("1.200006"));
        let cached = Tokens { cached: 200_000, ..tokens(1, 0) };
        assert_eq!(cost(&prices(), cached, CallMode::Single), money("1.200006"), "the tier names no price of its own");
    }

    #[test]
    fn a_batch_is_cheaper_and_is_rounded_up() {
        assert_eq!(cost(&prices(), tokens(1000, 1000), CallMode::Batch), money("0.009"));
        let odd = Prices { input: money("0.000001"), batch_percent: 50, ..Prices::default() };
        assert_eq!(cost(&odd, tokens(1, 0), CallMode::Batch), Money::from_trillionths(1));
    }

    #[test]
    fn what_has_no_price_of_its_own_costs_what_others_do() {
        let plain = Prices { input: money("1.00"), output: money("2.00"), batch_percent: 100, ..Prices::default() };
        let used = Tokens { input: 1, cached: 1, cache_write_5m: 1, cache_write_1h: 1, output: 2, reasoning: 1 };
        assert_eq!(cost(&plain, used, CallMode::Single), money("0.000008"));
        assert_eq!(cost(&plain, used, CallMode::Batch), money("0.000008"));
    }

    #[test]
    fn the_context_window_bounds_the_estimate() {
        let request = RequestSize {
            bytes: 1_000_000,
            other_input: 0,
            max_other_input: 0,
            context_window: Some(100_000),
            max_output: 1000,
        };
        let found = estimate(&prices(), request);
        assert_eq!((found.max_input, found.expected_input), (100_000, 100_000));
        assert_eq!(found.max_cost, money("0.62"), "100,000 at the price of an hour's cache, 1,000 of reasoning");
    }

    #[test]
    fn numbers_beyond_all_reason_cost_much_and_do_not_wrap() {
        let all = Tokens { input: u64::MAX, output: u64::MAX, reasoning: 1, ..Tokens::default() };
        assert!(cost(&prices(), all, CallMode::Single) > money("999999999"));
    }

    proptest! {
        #[test]
        fn no_call_costs_more_than_its_estimate(
            parts in prop::array::uniform4(0_u64..120_000),
            output in 0_u64..100_000,
            reasoning in 0_u64..100_000,
        ) {
            let [input, cached, cache_write_5m, cache_write_1h] = parts;
            let used = Tokens { input, cached, cache_write_5m, cache_write_1h, output, reasoning };
            let request = RequestSize {
                bytes: used.all_input(), other_input: 0, max_other_input: 0, context_window: None, max_output: output,
            };
            let most = estimate(&prices(), request).max_cost;
            prop_assert!(cost(&prices(), used, CallMode::Single) <= most);
            prop_assert!(cost(&prices(), used, CallMode::Batch) <= most);
        }

        #[test]
        fn the_cost_of_parts_is_at_least_that_of_the_whole(a in 0_u64..90_000, b in 0_u64..90_000) {
            let one = |input| cost(&prices(), tokens(input, input), CallMode::Single).trillionths();
            prop_assert!(one(a) + one(b) >= one(a + b));
        }
    }
}
