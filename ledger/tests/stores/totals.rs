//! Totals of all calls, for metrics: the same in every life of a process, and beside others.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use manyworlds_ledger::{CallOutcome, CallTotal, CallTotals, CallUsage, Ledger};
use manyworlds_metering::price::Tokens;

use super::accounting::end_epochs;
use super::support::{answered, call, dollars, ended, nothing, open};

fn running_totals(ledger: &Ledger) -> CallTotals {
    ledger.running_totals().now().unwrap()
}

/// Returns the sums as the next process begins with them.
async fn read_again(url: &str, ledger: Ledger) -> (Ledger, CallTotals) {
    ledger.close().await.unwrap();
    let next = open(url).await;
    let totals = running_totals(&next);
    (next, totals)
}

pub async fn totals_are_the_same_in_the_next_life_and_stay_when_rows_go(url: String) {
    let (ledger, now) = (open(&url).await, Timestamp::now());
    assert_eq!(running_totals(&ledger), CallTotals::default());
    let old = now - SignedDuration::from_hours(24 * 40);
    let known = Tokens { input: 10, cache_write_5m: 3, cache_write_1h: 4, ..Tokens::default() };
    for settlement in [
        answered(old, "0.30"),
        answered(now - SignedDuration::from_hours(1), "0.20"),
        ended(now, CallOutcome::Cut, 200, CallUsage::Unknown { tokens: known, cost: dollars("0") }),
        nothing(now, CallOutcome::Refused, 429),
    ] {
        let one = call(now, "sums", vec![]);
        ledger.reserve(one.clone()).await.unwrap();
        ledger.settle(one.call.clone(), settlement).await.unwrap();
        ledger.settle(one.call, settlement).await.unwrap();
    }
    let one = call(now, "sums", vec![]);
    ledger.reserve(one.clone()).await.unwrap();
    ledger.release(one.call, now).await.unwrap();
    let counted = running_totals(&ledger);
    let both = CallTotal {
        calls: 2,
        cost: dollars("0.50"),
        input_tokens: 80,
        cached_tokens: 120,
        output_tokens: 40,
        ..CallTotal::default()
    };
    assert_eq!(counted.of(CallOutcome::Answered), both);
    let cut = counted.of(CallOutcome::Cut);
    assert_eq!((cut.calls, cut.cost, cut.cache_write_tokens), (1, dollars("1.00"), 7));
    assert_eq!((cut.input_tokens, cut.output_tokens), (10, 983), "all that was reserved, as the row says");
    assert_eq!(counted.of(CallOutcome::Refused), CallTotal { calls: 1, ..CallTotal::default() });
    let (ledger, read) = read_again(&url, ledger).await;
    assert_eq!(read, counted, "before anything was removed");
    // Twice: what is kept once must not be kept again.
    for removed in [1, 0] {
        assert_eq!(ledger.expire(now - SignedDuration::from_hours(24 * 30), now).await.unwrap(), removed);
    }
    let (ledger, read) = read_again(&url, ledger).await;
    assert_eq!(read, counted, "after it");
    let later = call(now, "sums", vec![]);
    ledger.reserve(later.clone()).await.unwrap();
    ledger.settle(later.call, answered(now, "0.01")).await.unwrap();
    ledger.expire(now, now + SignedDuration::from_hours(1)).await.unwrap();
    let (_, read) = read_again(&url, ledger).await;
    assert_eq!((read.all().calls, read.all().cost), (5, dollars("1.51")));
}

pub async fn a_call_whose_process_died_is_in_the_totals_once(url: String) {
    let (ledger, now) = (open(&url).await, Timestamp::now());
    let one = call(now, "dead", vec![]);
    ledger.reserve(one.clone()).await.unwrap();
    end_epochs(&url, ledger).await;
    for _ in 0..2 {
        let next = open(&url).await;
        next.recover(Timestamp::now()).await.unwrap();
        next.settle(one.call.clone(), answered(now, "0.10")).await.unwrap();
        let totals = running_totals(&next);
        assert_eq!((totals.all().calls, totals.of(CallOutcome::Lost).cost), (1, dollars("1.00")));
        next.close().await.unwrap();
    }
}

/// Of several processes each shows what all have counted.
pub async fn totals_of_one_are_seen_by_another(url: String) {
    let (one, other, now) = (open(&url).await, open(&url).await, Timestamp::now());
    for ledger in [&one, &other, &one] {
        let asked = call(now, "both", vec![]);
        ledger.reserve(asked.clone()).await.unwrap();
        ledger.settle(asked.call, answered(now, "0.10")).await.unwrap();
    }
    let end = Instant::now() + Duration::from_secs(30);
    while [&one, &other].iter().any(|ledger| running_totals(ledger).all().cost != dollars("0.30")) {
        assert!(Instant::now() < end, "{:?} {:?}", running_totals(&one), running_totals(&other));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
