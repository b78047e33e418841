//! Fallbacks: what an order tries when too few Worlds are eligible (W5).
//!
//! The chain is walked from its beginning each time, over what is there: nothing has to be remembered but how far the Worlds
//! were taken, which each of them says itself.

use manyworlds_api::work_order::Fallback;
use manyworlds_api::world::WorldFallback;

/// The temperature of a model of which none was set, as the vendors' APIs have it.
const DEFAULT_TEMPERATURE: f64 = 1.0;

/// The next step after all Worlds have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The order ends.
    End,
    /// The Worlds that are not eligible run again, by the fallback of that number (from 1).
    RunAgain(i32),
}

/// The end of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// As many Worlds are eligible as were asked for.
    Won,
    /// Fewer are, and a fallback says that they are enough.
    AcceptedPartially,
    /// A fallback says that the order may end without a winner.
    Skipped,
    /// Too few are eligible.
    Lost,
}

/// The counts of an order's Worlds that its fallbacks go by.
#[derive(Clone, Copy, Debug)]
pub struct Eligibility {
    /// The number of eligible Worlds.
    pub eligible: usize,
    /// The number that the order asks for.
    pub min: usize,
    /// The greatest number of a fallback that a World has run by; 0 where none has.
    pub reached: i32,
}

/// Returns what comes after all Worlds have ended.
///
/// - **Guarantees:** ends: each number is asked for once at most.
pub fn next(chain: &[Fallback], counts: Eligibility) -> Next {
    if counts.eligible >= counts.min {
        return Next::End;
    }
    for (number, fallback) in (1..).zip(chain) {
        if ends(fallback, counts.eligible).is_some() {
            return Next::End;
        }
        let runs = fallback.retry_with_lower_temperature.is_some() || fallback.switch_model.is_some();
        if runs && number > counts.reached {
            return Next::RunAgain(number);
        }
    }
    Next::End
}

/// Returns how an order ends, whatever the reason for which it does.
pub fn conclude(chain: &[Fallback], counts: Eligibility) -> Conclusion {
    if counts.eligible >= counts.min {
        return Conclusion::Won;
    }
    chain.iter().find_map(|fallback| ends(fallback, counts.eligible)).unwrap_or(Conclusion::Lost)
}

fn ends(fallback: &Fallback, eligible: usize) -> Option<Conclusion> {
    if fallback.skip.is_some() {
        return Some(Conclusion::Skipped);
    }
    let least = usize::try_from(fallback.accept_partial_success.as_ref()?.min_worlds).ok()?;
    (eligible >= least).then_some(Conclusion::AcceptedPartially)
}

/// Returns what a World runs with by the fallback of a number.
///
/// - **Shape:** `model` and `temperature` are what it ran with before; `attempts` is how many it has had.
pub fn changed(
    chain: &[Fallback],
    number: i32,
    before: (Option<&str>, Option<f64>),
    attempts: i32,
) -> Option<WorldFallback> {
    let fallback = usize::try_from(number - 1).ok().and_then(|place| chain.get(place))?;
    let (mut model, mut temperature) = (before.0.map(str::to_owned), before.1);
    if let Some(switch) = &fallback.switch_model {
        model = Some(switch.model.clone());
    }
    if let Some(lower) = &fallback.retry_with_lower_temperature {
        // Two decimal places: 0.7 - 0.2 is 0.5 for people.
        let less = (temperature.unwrap_or(DEFAULT_TEMPERATURE) - lower.reduction).max(0.0);
        temperature = Some((less * 100.0).round() / 100.0);
    }
    Some(WorldFallback { number, after_attempt: attempts, model, temperature })
}

/// Says in words what a fallback does.
pub fn described(with: &WorldFallback, chain: &[Fallback]) -> String {
    let fallback = usize::try_from(with.number - 1).ok().and_then(|place| chain.get(place));
    match fallback {
        Some(fallback) if fallback.switch_model.is_some() => {
            format!("switchModel: with the model {}", with.model.as_deref().unwrap_or_default())
        }
        _ => format!("retryWithLowerTemperature: at a temperature of {}", with.temperature.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use manyworlds_api::work_order::{AcceptPartialSuccess, RetryWithLowerTemperature, Skip, SwitchModel};
    use proptest::prelude::*;

    fn accept(min_worlds: i32) -> Fallback {
        Fallback { accept_partial_success: Some(AcceptPartialSuccess { min_worlds }), ..Fallback::default() }
    }

    fn lower(reduction: f64) -> Fallback {
        Fallback { retry_with_lower_temperature: Some(RetryWithLowerTemperature { reduction }), ..Fallback::default() }
    }

    fn switch() -> Fallback {
        Fallback { switch_model: Some(SwitchModel { model: "strong".to_owned() }), ..Fallback::default() }
    }

    fn skip() -> Fallback {
        Fallback { skip: Some(Skip {}), ..Fallback::default() }
    }

    fn counts(eligible: usize, min: usize, reached: i32) -> Eligibility {
        Eligibility { eligible, min, reached }
    }

    #[test]
    fn the_chain_is_tried_in_its_order() {
        let chain = [accept(2), lower(0.2), switch(), skip(), lower(0.1)];
        let after = |eligible, reached| next(&chain, counts(eligible, 3, reached));
        assert_eq!(after(3, 0), Next::End);
        assert_eq!(after(2, 0), Next::End, "two are enough");
        assert_eq!(after(1, 0), Next::RunAgain(2));
        assert_eq!(after(1, 2), Next::RunAgain(3));
        assert_eq!(after(1, 3), Next::End, "what stands behind skip is never tried");
        assert_eq!(conclude(&chain, counts(3, 3, 0)), Conclusion::Won);
        assert_eq!(conclude(&chain, counts(2, 3, 0)), Conclusion::AcceptedPartially);
        assert_eq!(conclude(&chain, counts(1, 3, 0)), Conclusion::Skipped);
        assert_eq!(conclude(&[lower(0.2)], counts(1, 3, 1)), Conclusion::Lost);
    }

    #[test]
    fn what_a_world_runs_with_is_changed_step_by_step() {
        let chain = [lower(0.3), switch(), lower(0.9)];
        let first = changed(&chain, 1, (Some("small"), None), 2).unwrap();
        assert_eq!((first.model.as_deref(), first.temperature, first.after_attempt), (Some("small"), Some(0.7), 2));
        let second = changed(&chain, 2, (Some("small"), first.temperature), 3).unwrap();
        assert_eq!((second.model.as_deref(), second.temperature), (Some("strong"), Some(0.7)));
        let third = changed(&chain, 3, (Some("strong"), second.temperature), 4).unwrap();
        assert_eq!(third.temperature, Some(0.0), "never below zero");
        assert!(changed(&chain, 4, (None, None), 0).is_none());
    }

    proptest! {
        /// However few succeed, the chain comes to an end, and each step is later than the one before.
        #[test]
        fn the_chain_ends(
            chain in prop::collection::vec(prop_oneof![
                (1..4).prop_map(accept), Just(lower(0.1)), Just(switch()), Just(skip()),
            ], 0..8),
            results in prop::collection::vec(0..4_usize, 10),
            min in 1..5_usize,
        ) {
            let mut reached = 0;
            for (round, eligible) in results.into_iter().enumerate() {
                match next(&chain, counts(eligible, min, reached)) {
                    Next::End => return Ok(()),
                    Next::RunAgain(number) => {
                        prop_assert!(number > reached);
                        reached = number;
                    }
                }
                prop_assert!(round < chain.len());
            }
        }
    }
}
