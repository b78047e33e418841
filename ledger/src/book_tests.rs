use manyworlds_api::provider::Limits;
use manyworlds_metering::budget::Allowed;
use manyworlds_metering::rate_window::RateLimits;
use proptest::prelude::*;

use super::*;
use crate::call::Party;

fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(1_000_000_000_000 + milliseconds).unwrap()
}

fn amount(units: u64) -> Amount {
    Amount { cost: Money::from_trillionths(u128::from(units)), tokens: units }
}

fn asked(call: &CallId, now: i64, model: &str, most: u64, limits: &[u64]) -> Reservation {
    let holder = |(number, limit): (usize, &u64)| Holder {
        key: format!("budget/{number}"),
        name: format!("b{number}"),
        allowed: Allowed { cost: Some(amount(*limit).cost), tokens: None },
        period_start: None,
    };
    let text = |text: &str| text.to_owned();
    Reservation {
        call: call.clone(),
        at: at(now),
        party: Party {
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
        limits: RateLimits::of(&Limits { requests_per_minute: 20, tokens_per_minute: 1_000_000, ..Limits::default() }),
        breaker: BreakerSettings { failures: 5, open_for: SignedDuration::from_secs(60), successes: 2 },
        holders: limits.iter().enumerate().map(holder).collect(),
    }
}

fn ended(now: i64, outcome: Outcome, used: Option<u64>) -> Settlement {
    let tokens = |units| Tokens { input: units, ..Tokens::default() };
    Settlement {
        at: at(now),
        outcome,
        spent: used.map_or(Spent::Unknown { tokens: tokens(1), cost: Money::default() }, |units| Spent::Said {
            tokens: tokens(units),
            cost: amount(units).cost,
        }),
        status: 200,
        retry_count: 0,
        first_byte_ms: None,
        total_ms: 1,
    }
}

#[test]
fn a_call_that_is_unknown_costs_all_that_was_reserved() {
    let (mut book, call) = (Book::default(), CallId::new());
    assert_eq!(book.reserve(&asked(&call, 0, "m", 10, &[100]), 1), Reserved::Granted);
    assert_eq!(book.settle(&call, ended(1, Outcome::Cut, None)), Settled::Now(amount(10).cost));
    let settled = &book.take_changes().settled[&call];
    assert_eq!(total(settled.tokens), 10, "its tokens add up to what the budgets were charged");
    assert_eq!(book.accounts[&("budget/0".to_owned(), 0)].spent, amount(10));
}

#[test]
fn a_call_that_begins_and_ends_in_one_batch_leaves_no_reservation_to_write() {
    let (mut book, call) = (Book::default(), CallId::new());
    book.reserve(&asked(&call, 0, "m", 10, &[]), 1);
    book.settle(&call, ended(1, Outcome::Answered, Some(3)));
    let changes = book.take_changes();
    assert!(changes.reserved.is_empty() && changes.removed.is_empty());
    assert_eq!(changes.settled.len(), 1);
}

#[test]
fn who_is_refused_leaves_no_trace() {
    let (mut book, call) = (Book::default(), CallId::new());
    book.reserve(&asked(&call, 0, "m", 10, &[10]), 1);
    book.settle(&call, ended(1, Outcome::Answered, Some(10)));
    book.take_changes();
    let before = (book.windows.clone(), book.accounts.clone());
    assert_eq!(book.reserve(&asked(&CallId::new(), 2, "m", 1, &[10]), 1), Reserved::Exhausted("b0".into()));
    assert_eq!((book.windows.clone(), book.accounts.clone()), before);
    let changes = book.take_changes();
    assert!(changes.windows.is_empty() && changes.accounts.is_empty() && changes.reserved.is_empty());
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
        let (mut book, mut now) = (Book::default(), 0);
        let (mut open, mut closed, mut paid) = (Vec::<(CallId, u64)>::new(), Vec::<CallId>::new(), 0_u64);
        for (pause, step) in steps {
            now += pause;
            let end = |which: usize, open: &mut Vec<(CallId, u64)>| {
                (!open.is_empty()).then(|| open.remove(which % open.len()))
            };
            match step {
                Step::Reserve(most) => {
                    let call = CallId::new();
                    if book.reserve(&asked(&call, now, "m", most, &[limit, u64::MAX]), 1) == Reserved::Granted {
                        open.push((call, most));
                    }
                }
                Step::Settle(which, used) => if let Some((call, _)) = end(which, &mut open) {
                    let settlement = ended(now, Outcome::Answered, Some(used));
                    prop_assert_eq!(book.settle(&call, settlement), Settled::Now(amount(used).cost));
                    paid += used;
                    closed.push(call);
                },
                Step::Cut(which) => if let Some((call, most)) = end(which, &mut open) {
                    book.settle(&call, ended(now, Outcome::Cut, None));
                    paid += most;
                    closed.push(call);
                },
                Step::Lose(which) => if let Some((call, most)) = end(which, &mut open) {
                    book.lose(&call, at(now));
                    paid += most;
                    closed.push(call);
                },
                Step::Release(which) => if let Some((call, _)) = end(which, &mut open) {
                    book.release(&call, at(now));
                    closed.push(call);
                },
                Step::Again(which) => if !closed.is_empty() {
                    let call = &closed[which % closed.len()];
                    prop_assert_eq!(book.settle(call, ended(now, Outcome::Answered, Some(7))), Settled::Before);
                    prop_assert_eq!(book.release(call, at(now)), Settled::Before);
                    prop_assert_eq!(book.lose(call, at(now)), Settled::Before);
                },
            }
            for number in 0..2 {
                let account = book.accounts.get(&(format!("budget/{number}"), 0)).copied().unwrap_or_default();
                prop_assert_eq!(account.spent, amount(paid));
                prop_assert_eq!(account.reserved, amount(open.iter().map(|(_, most)| most).sum()));
            }
            let under_way = book.windows.get("n/p").map_or(0, RateWindow::under_way);
            prop_assert_eq!(usize::try_from(under_way).unwrap(), open.len());
            prop_assert_eq!(book.held.len(), open.len());
        }
    }
}
