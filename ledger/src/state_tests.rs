use manyworlds_api::provider::Limits;
use manyworlds_metering::budget::SpendingLimit;
use manyworlds_metering::rate_window::RateLimits;
use proptest::prelude::*;

use super::*;
use crate::call::Caller;

fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(1_000_000_000_000 + milliseconds).unwrap()
}

fn amount(units: u64) -> Amount {
    Amount { cost: Money::from_trillionths(u128::from(units)), tokens: units }
}

fn asked(call: &CallId, now: i64, model: &str, most: u64, limits: &[u64]) -> Reservation {
    let holder = |(number, limit): (usize, &u64)| BudgetAccount {
        key: format!("budget/{number}"),
        name: format!("b{number}"),
        limit: SpendingLimit { cost: Some(amount(*limit).cost), tokens: None },
        period_start: None,
    };
    let text = |text: &str| text.to_owned();
    Reservation {
        call: call.clone(),
        at: at(now),
        caller: Caller {
            namespace: text("n"),
            work_order: text("o"),
            order_uid: text("u"),
            world: text("w"),
            world_uid: text("v"),
            attempt: 1,
        },
        provider: text("n/p"),
        model: text(model),
        prices: text("table"),
        demand: Demand { input: most, output: 0 },
        most: amount(most),
        single: amount(most),
        limits: RateLimits::of(&Limits { requests_per_minute: 20, tokens_per_minute: 1_000_000, ..Limits::default() }),
        breaker: BreakerSettings { failures: 5, open_for: SignedDuration::from_secs(60), successes: 2 },
        budgets: limits.iter().enumerate().map(holder).collect(),
    }
}

fn ended(now: i64, outcome: CallOutcome, used: Option<u64>) -> Settlement {
    let tokens = |units| Tokens { input: units, ..Tokens::default() };
    Settlement {
        at: at(now),
        outcome,
        usage: used.map_or(CallUsage::Unknown { tokens: tokens(1), cost: Money::default() }, |units| {
            CallUsage::Reported { tokens: tokens(units), cost: amount(units).cost }
        }),
        status: 200,
        retry_count: 0,
        first_byte_ms: None,
        total_ms: 1,
    }
}

#[test]
fn a_call_that_is_unknown_costs_all_that_was_reserved() {
    let (mut state, call) = (LedgerState::default(), CallId::new());
    assert_eq!(state.reserve(&asked(&call, 0, "m", 10, &[100]), 1), ReserveResult::Granted);
    assert_eq!(state.settle(&call, ended(1, CallOutcome::Cut, None)), SettleResult::Settled(amount(10).cost));
    let settled = &state.take_changes().settled[&call];
    assert_eq!(total(settled.tokens), 10, "its tokens add up to what the budgets were charged");
    assert_eq!(state.balances[&("budget/0".to_owned(), 0)].spent, amount(10));
}

#[test]
fn a_call_that_begins_and_ends_in_one_batch_leaves_no_reservation_to_write() {
    let (mut state, call) = (LedgerState::default(), CallId::new());
    state.reserve(&asked(&call, 0, "m", 10, &[]), 1);
    state.settle(&call, ended(1, CallOutcome::Answered, Some(3)));
    let changes = state.take_changes();
    assert!(changes.reserved.is_empty() && changes.removed.is_empty());
    assert_eq!(changes.settled.len(), 1);
}

#[test]
fn who_is_refused_leaves_no_trace() {
    let (mut state, call) = (LedgerState::default(), CallId::new());
    state.reserve(&asked(&call, 0, "m", 10, &[10]), 1);
    state.settle(&call, ended(1, CallOutcome::Answered, Some(10)));
    state.take_changes();
    let before = (state.windows.clone(), state.balances.clone());
    assert_eq!(state.reserve(&asked(&CallId::new(), 2, "m", 1, &[10]), 1), ReserveResult::BudgetExhausted("b0".into()));
    assert_eq!((state.windows.clone(), state.balances.clone()), before);
    let changes = state.take_changes();
    assert!(changes.windows.is_empty() && changes.balances.is_empty() && changes.reserved.is_empty());
}

#[test]
fn a_call_for_several_answers_has_to_fit_into_every_budget() {
    let mut state = LedgerState::default();
    let several = |limits: &[u64]| Reservation { single: amount(5), ..asked(&CallId::new(), 0, "m", 20, limits) };
    assert_eq!(state.reserve(&several(&[100, 19]), 1), ReserveResult::BudgetTooSmall("b1".into()));
    assert!(state.open.is_empty(), "nothing is reserved");
    let one = asked(&CallId::new(), 0, "m", 20, &[100, 19]);
    assert_eq!(state.reserve(&one, 1), ReserveResult::Granted, "one answer may pass the limit");
    state.release(&one.call, at(1));
    assert_eq!(state.reserve(&several(&[100, 20]), 1), ReserveResult::Granted);
}

#[derive(Clone, Debug)]
enum Step {
    Reserve(u64),
    Settle(usize, u64),
    Cut(usize),
    Release(usize),
    Lose(usize),
    Again(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1_u64..50).prop_map(Step::Reserve),
        2 => (any::<usize>(), 0_u64..60).prop_map(|(which, used)| Step::Settle(which, used)),
        1 => any::<usize>().prop_map(Step::Cut),
        1 => any::<usize>().prop_map(Step::Release),
        1 => any::<usize>().prop_map(Step::Lose),
        1 => any::<usize>().prop_map(Step::Again),
    ]
}

proptest! {
    /// The model is a plain list of what is reserved and what was paid.
    #[test]
    fn sums_agree_after_any_steps(steps in prop::collection::vec((0_i64..3_000, step()), 1..120), limit in 20_u64..400) {
        let (mut state, mut now) = (LedgerState::default(), 0);
        let (mut open, mut closed, mut paid) = (Vec::<(CallId, u64)>::new(), Vec::<CallId>::new(), 0_u64);
        for (pause, step) in steps {
            now += pause;
            let end = |which: usize, open: &mut Vec<(CallId, u64)>| {
                (!open.is_empty()).then(|| open.remove(which % open.len()))
            };
            match step {
                Step::Reserve(most) => {
                    let call = CallId::new();
                    if state.reserve(&asked(&call, now, "m", most, &[limit, u64::MAX]), 1) == ReserveResult::Granted {
                        open.push((call, most));
                    }
                }
                Step::Settle(which, used) => if let Some((call, _)) = end(which, &mut open) {
                    let settlement = ended(now, CallOutcome::Answered, Some(used));
                    prop_assert_eq!(state.settle(&call, settlement), SettleResult::Settled(amount(used).cost));
                    paid += used;
                    closed.push(call);
                },
                Step::Cut(which) => if let Some((call, most)) = end(which, &mut open) {
                    state.settle(&call, ended(now, CallOutcome::Cut, None));
                    paid += most;
                    closed.push(call);
                },
                Step::Lose(which) => if let Some((call, most)) = end(which, &mut open) {
                    state.settle_lost(&call, at(now));
                    paid += most;
                    closed.push(call);
                },
                Step::Release(which) => if let Some((call, _)) = end(which, &mut open) {
                    state.release(&call, at(now));
                    closed.push(call);
                },
                Step::Again(which) => if !closed.is_empty() {
                    let call = &closed[which % closed.len()];
                    prop_assert_eq!(state.settle(call, ended(now, CallOutcome::Answered, Some(7))), SettleResult::AlreadySettled);
                    prop_assert_eq!(state.release(call, at(now)), SettleResult::AlreadySettled);
                    prop_assert_eq!(state.settle_lost(call, at(now)), SettleResult::AlreadySettled);
                },
            }
            for number in 0..2 {
                let account = state.balances.get(&(format!("budget/{number}"), 0)).copied().unwrap_or_default();
                prop_assert_eq!(account.spent, amount(paid));
                prop_assert_eq!(account.reserved, amount(open.iter().map(|(_, most)| most).sum()));
            }
            let under_way = state.windows.get("n/p").map_or(0, RateWindow::in_flight);
            prop_assert_eq!(usize::try_from(under_way).unwrap(), open.len());
            prop_assert_eq!(state.open.len(), open.len());
        }
    }
}
