use proptest::prelude::*;

use super::*;

fn limits(requests: i64, tokens: i64) -> RateLimits {
    RateLimits::of(&Limits { requests_per_minute: requests, tokens_per_minute: tokens, ..Limits::default() })
}

fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(1_000_000_000_000 + milliseconds).unwrap()
}

const NOTHING: Demand = Demand { input: 0, output: 0 };

#[test]
fn the_call_beyond_the_limit_waits_until_the_first_has_left() {
    let (limits, mut window) = (limits(2, 1000), RateWindow::default());
    window.add(at(0), &limits, NOTHING);
    window.add(at(30_000), &limits, NOTHING);
    assert_eq!(window.decide(at(30_001), &limits, NOTHING), RateDecision::At(at(60_500)));
    assert_eq!(window.decide(at(60_500), &limits, NOTHING), RateDecision::Now);
}

#[test]
fn tokens_that_were_not_used_are_free_again() {
    let (limits, mut window) = (limits(50, 1000), RateWindow::default());
    let half = Demand { input: 100, output: 500 };
    let entry = window.add(at(0), &limits, half);
    assert_ne!(window.decide(at(1), &limits, half), RateDecision::Now);
    window.finish(entry, Demand { input: 100, output: 20 });
    assert_eq!(window.decide(at(2), &limits, half), RateDecision::Now);
    assert_eq!(window.used(at(2)), (1, Demand { input: 100, output: 20 }));
}

#[test]
fn a_call_larger_than_the_window_waits_for_an_empty_one_and_no_longer() {
    let (limits, mut window) = (limits(50, 1000), RateWindow::default());
    let huge = Demand { input: 700, output: 64_000 };
    window.add(at(0), &limits, Demand { input: 1, output: 0 });
    assert_eq!(window.decide(at(1), &limits, huge), RateDecision::At(at(60_500)));
    assert_eq!(window.decide(at(60_500), &limits, huge), RateDecision::Now);
    let entry = window.add(at(60_500), &limits, huge);
    assert_eq!(window.used(at(60_500)).1, Demand { input: 700, output: 300 });
    window.finish(entry, Demand { input: 700, output: 900 });
    assert_eq!(window.decide(at(61_000), &limits, NOTHING), RateDecision::Now, "no more tokens are wanted");
    assert_eq!(window.decide(at(61_000), &limits, Demand { input: 1, output: 0 }), RateDecision::At(at(121_000)));
}

#[test]
fn input_and_output_have_limits_of_their_own() {
    let given = Limits { input_tokens_per_minute: Some(100), output_tokens_per_minute: Some(10), ..Limits::default() };
    let (limits, mut window) = (RateLimits::of(&given), RateWindow::default());
    window.add(at(0), &limits, Demand { input: 90, output: 10 });
    assert_eq!(window.decide(at(1), &limits, Demand { input: 10, output: 0 }), RateDecision::Now);
    assert_ne!(window.decide(at(1), &limits, Demand { input: 11, output: 0 }), RateDecision::Now);
    assert_ne!(window.decide(at(1), &limits, Demand { input: 0, output: 1 }), RateDecision::Now);
}

#[test]
fn calls_at_the_same_time_have_a_limit() {
    let limits = RateLimits::of(&Limits { concurrency: Some(1), ..Limits::default() });
    let mut window = RateWindow::default();
    let entry = window.add(at(0), &limits, NOTHING);
    assert_eq!(window.decide(at(1), &limits, NOTHING), RateDecision::WaitForAnother);
    window.finish(entry, NOTHING);
    assert_eq!(window.decide(at(1), &limits, NOTHING), RateDecision::Now);
}

#[test]
fn nobody_calls_before_upstream_wants_it() {
    let (limits, mut window) = (limits(50, 1000), RateWindow::default());
    window.pause_until(at(7_000));
    window.pause_until(at(3_000));
    assert_eq!(window.decide(at(1), &limits, NOTHING), RateDecision::At(at(7_000)));
    assert_eq!(window.decide(at(7_000), &limits, NOTHING), RateDecision::Now);
}

#[test]
fn what_upstream_has_left_slows_calls_down_as_it_comes_back() {
    let (limits, mut window) = (limits(1000, 1_000_000), RateWindow::default());
    let said = UpstreamLimit { dimension: Dimension::Requests, left: 1, limit: 11, resets_at: at(10_000) };
    window.apply_upstream_limit(at(0), said);
    assert_eq!(window.decide(at(1), &limits, NOTHING), RateDecision::Now);
    window.add(at(1), &limits, NOTHING);
    assert_eq!(window.decide(at(2), &limits, NOTHING), RateDecision::At(at(1_000)), "ten come back in ten seconds");
    window.add(at(1_000), &limits, NOTHING);
    assert_eq!(window.decide(at(1_001), &limits, NOTHING), RateDecision::At(at(2_000)));
    assert_eq!(window.decide(at(10_000), &limits, NOTHING), RateDecision::Now, "and then its word no longer holds");
}

#[test]
fn a_call_that_never_went_out_does_not_count() {
    let (limits, mut window) = (limits(1, 1000), RateWindow::default());
    let entry = window.add(at(0), &limits, Demand { input: 5, output: 5 });
    window.release(entry);
    assert_eq!(window.used(at(1)), (0, NOTHING));
    assert_eq!((window.in_flight(), window.decide(at(1), &limits, NOTHING)), (0, RateDecision::Now));
}

#[test]
fn a_window_is_small_however_many_calls_it_has() {
    let (limits, mut window) = (limits(1_000_000, 1_000_000_000), RateWindow::default());
    for call in 0..200_000 {
        window.add(at(call), &limits, Demand { input: 1, output: 1 });
    }
    assert!(serde_json::to_string(&window).unwrap().len() < 4_000);
}

/// One step of a caller: how long it waits, what it asks for and what it then uses.
fn steps() -> impl Strategy<Value = Vec<(i64, u64, u64, u64)>> {
    prop::collection::vec((0_i64..5_000, 0_u64..400, 0_u64..400, 0_u64..400), 1..200)
}

proptest! {
    /// The model is the plain list of all calls.
    #[test]
    fn no_sixty_seconds_ever_hold_more_than_the_limit(steps in steps(), requests in 1_i64..20, tokens in 1_i64..2000) {
        let (limits, mut window) = (limits(requests, tokens), RateWindow::default());
        let (mut now, mut sent) = (0_i64, Vec::<(i64, u64)>::new());
        for (pause, input, output, used) in steps {
            now += pause;
            let demand = Demand { input, output };
            // Waiting as it is told to, a caller gets its turn at once.
            if let RateDecision::At(later) = window.decide(at(now), &limits, demand) {
                let later = later.as_millisecond() - at(0).as_millisecond();
                prop_assert!(later > now && later <= now + 60_500);
                now = later;
            }
            prop_assert_eq!(window.decide(at(now), &limits, demand), RateDecision::Now);
            let entry = window.add(at(now), &limits, demand);
            let counted = limits.capped(demand);
            let used = Demand { input: counted.input, output: counted.output.min(used) };
            window.finish(entry, used);
            sent.push((now, used.input + used.output));
            let kept: RateWindow = serde_json::from_str(&serde_json::to_string(&window).unwrap()).unwrap();
            prop_assert_eq!(&kept, &window, "a restart forgets nothing");
        }
        for (end, (last, _)) in sent.iter().enumerate() {
            let capped: Vec<_> = sent[..=end].iter().filter(|(time, _)| last - time < 60_000).collect();
            prop_assert!(capped.len() <= usize::try_from(requests).unwrap());
            prop_assert!(capped.iter().map(|(_, tokens)| tokens).sum::<u64>() <= u64::try_from(tokens).unwrap());
        }
    }

    #[test]
    fn a_caller_that_takes_every_turn_uses_nearly_all_of_the_limit(requests in 1_i64..200) {
        let (limits, mut window) = (limits(requests, 1_000_000), RateWindow::default());
        let (mut now, mut sent) = (0_i64, 0_i64);
        while now < 1_200_000 {
            match window.decide(at(now), &limits, NOTHING) {
                RateDecision::Now => { window.add(at(now), &limits, NOTHING); sent += 1; }
                RateDecision::At(later) => now = later.as_millisecond() - at(0).as_millisecond(),
                RateDecision::WaitForAnother => unreachable!("there is no limit of concurrency"),
            }
        }
        prop_assert!(sent * 100 >= requests * 20 * 95, "{sent} of {}", requests * 20);
    }
}
