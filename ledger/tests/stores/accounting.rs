//! Eight ways in which an LLM proxy's money did not add up, none of which this ledger has.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use manyworlds_api::Money;
use manyworlds_ledger::{CallOutcome, ReserveResult, SettleResult};
use manyworlds_metering::budget::Balance;

use super::support::{answered, budget, call, cost_of, dollars, nothing, open};

/// A call whose process died, or that never went out, holds no money for ever (BerriAI/litellm#27639).
pub async fn leaked_reservation(url: String) {
    let (ledger, now) = (open(&url).await, Timestamp::now());
    let (lost, never) = (call(now, "leak", vec![budget("b", "1.50")]), call(now, "leak", vec![budget("c", "9.00")]));
    assert_eq!(ledger.reserve(lost.clone()).await.unwrap(), ReserveResult::Granted);
    assert_eq!(ledger.reserve(never.clone()).await.unwrap(), ReserveResult::Granted);
    ledger.release(never.call, now).await.unwrap();
    let unheard = manyworlds_ledger::CallId::new();
    assert_eq!(
        ledger.release(unheard, now).await.unwrap(),
        SettleResult::AlreadySettled,
        "what was never reserved is nothing"
    );
    assert_eq!(ledger.balance("c", None).await.unwrap(), Balance::default());
    // The process dies here.
    end_epochs(&url, ledger).await;
    let next = open(&url).await;
    let account = next.balance("b", None).await.unwrap();
    assert_eq!((account.spent.cost, account.reserved.cost), (dollars("1.00"), Money::default()));
    assert_eq!(cost_of(&next, "leak").await, dollars("1.00"));
    assert_eq!(next.calls_in_flight().await.unwrap(), 0);
    assert_eq!(next.settle(lost.call, answered(now, "0.10")).await.unwrap(), SettleResult::AlreadySettled);
}

/// Of several processes, what one that dies had reserved is settled by another that goes on, without any start.
pub async fn one_that_dies_beside_another(url: String) {
    let (survivor, other) = (open(&url).await, open(&url).await);
    let one = call(Timestamp::now(), "beside", vec![budget("b", "9.00")]);
    other.reserve(one).await.unwrap();
    end_epochs(&url, other).await;
    let end = Instant::now() + Duration::from_secs(30);
    while survivor.calls_in_flight().await.unwrap() != 0 {
        assert!(Instant::now() < end, "the reservation leaks");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let account = survivor.balance("b", None).await.unwrap();
    assert_eq!((account.spent.cost, account.reserved.cost), (dollars("1.00"), Money::default()));
}

/// Starting again, or several at once, counts nothing twice (BerriAI/litellm#28247).
pub async fn double_re_seed(url: String) {
    let (ledger, now) = (open(&url).await, Timestamp::now());
    let one = call(now, "seed", vec![budget("b", "9.00")]);
    ledger.reserve(one.clone()).await.unwrap();
    end_epochs(&url, ledger).await;
    for _ in 0..3 {
        let next = open(&url).await;
        assert_eq!(next.recover(Timestamp::now()).await.unwrap(), 0);
        assert_eq!(next.balance("b", None).await.unwrap().spent.cost, dollars("1.00"));
        assert_eq!(cost_of(&next, "seed").await, dollars("1.00"));
        next.close().await.unwrap();
    }
}

/// A call that is settled, released and settled again counts once (BerriAI/litellm#30460).
pub async fn inflated_counter(url: String) {
    let (ledger, now) = (open(&url).await, Timestamp::now());
    let one = call(now, "twice", vec![budget("b", "9.00")]);
    assert_eq!(ledger.reserve(one.clone()).await.unwrap(), ReserveResult::Granted);
    assert_eq!(ledger.reserve(one.clone()).await.unwrap(), ReserveResult::Granted, "asked again, it is the same call");
    let all = (0..20).map(|_| ledger.settle(one.call.clone(), answered(now, "0.25")));
    let settled = join(all.collect()).await;
    assert_eq!(settled.iter().filter(|settled| **settled == SettleResult::Settled(dollars("0.25"))).count(), 1);
    assert_eq!(ledger.release(one.call, now).await.unwrap(), SettleResult::AlreadySettled);
    let account = ledger.balance("b", None).await.unwrap();
    assert_eq!((account.spent.cost, account.reserved.cost), (dollars("0.25"), Money::default()));
    assert_eq!(cost_of(&ledger, "twice").await, dollars("0.25"));
}

/// Whoever asks, from wherever, meets every budget; of many at once no more pass than there is money (BerriAI/litellm#26672).
pub async fn bypassed_budget(url: String) {
    let (ledger, now) = (open(&url).await, Timestamp::now());
    let asked = (0..50).map(|_| call(now, "many", vec![budget("order", "99.00"), budget("team", "3.00")]));
    let reserved = join(asked.map(|asked| ledger.reserve(asked)).collect()).await;
    assert_eq!(reserved.iter().filter(|reserved| **reserved == ReserveResult::Granted).count(), 3);
    assert!(reserved.iter().all(|reserved| matches!(reserved, ReserveResult::Granted | ReserveResult::WaitForAnother)));
    assert_eq!(ledger.balance("order", None).await.unwrap().reserved.cost, dollars("3.00"));
}

/// What calls might have cost does not count as spent, and the last cent can be used (BerriAI/litellm#36926).
pub async fn phantom_excess(url: String) {
    let (ledger, now) = (open(&url).await, Timestamp::now());
    for turn in 0..10 {
        let one = call(now, "cap", vec![budget("b", "1.00")]);
        assert_eq!(ledger.reserve(one.clone()).await.unwrap(), ReserveResult::Granted, "call {turn}");
        ledger.settle(one.call, answered(now, "0.10")).await.unwrap();
    }
    let beyond = ledger.reserve(call(now, "cap", vec![budget("b", "1.00")])).await.unwrap();
    assert_eq!(beyond, ReserveResult::BudgetExhausted("b".into()));
    let raised = ledger.reserve(call(now, "cap", vec![budget("b", "1.01")])).await.unwrap();
    assert_eq!(raised, ReserveResult::Granted);
}

/// What is shown is what was spent, at once, and a new period begins with nothing (BerriAI/litellm#27735).
pub async fn stale_spend(url: String) {
    let (ledger, now) = (open(&url).await, Timestamp::now());
    let day = |start: Timestamp| {
        vec![manyworlds_ledger::BudgetAccount { period_start: Some(start), ..budget("day", "1.00") }]
    };
    let (today, tomorrow) = (now, now + SignedDuration::from_hours(24));
    let one = call(now, "day", day(today));
    ledger.reserve(one.clone()).await.unwrap();
    assert_eq!(ledger.balance("day", Some(today)).await.unwrap().reserved.cost, dollars("1.00"));
    ledger.settle(one.call, answered(now, "1.00")).await.unwrap();
    assert_eq!(ledger.balance("day", Some(today)).await.unwrap().spent.cost, dollars("1.00"));
    assert_eq!(
        ledger.reserve(call(now, "day", day(today))).await.unwrap(),
        ReserveResult::BudgetExhausted("day".into())
    );
    assert_eq!(ledger.reserve(call(now, "day", day(tomorrow))).await.unwrap(), ReserveResult::Granted);
    assert_eq!(ledger.balance("day", Some(tomorrow)).await.unwrap().spent.cost, Money::default());
}

/// A model that keeps failing is left alone also by those who fall back from another (BerriAI/litellm#32574).
pub async fn cool_down_skipped_on_fallback(url: String) {
    let (ledger, now) = (open(&url).await, Timestamp::now());
    let of = |model: &str| manyworlds_ledger::Reservation { model: model.into(), ..call(now, "fall", vec![]) };
    for model in ["first", "second"] {
        for _ in 0..5 {
            let one = of(model);
            assert_eq!(ledger.reserve(one.clone()).await.unwrap(), ReserveResult::Granted);
            ledger.settle(one.call, nothing(now, CallOutcome::Outage, 503)).await.unwrap();
        }
        let reopened = now + SignedDuration::from_secs(60);
        assert_eq!(ledger.reserve(of(model)).await.unwrap(), ReserveResult::BreakerOpen(millis(reopened)), "{model}");
    }
    assert_eq!(ledger.reserve(of("third")).await.unwrap(), ReserveResult::Granted);
}

/// After upstream said that the money is used up, nobody asks it again before the time that was set, and that is no outage
/// (BerriAI/litellm#37592).
pub async fn out_of_credit(url: String) {
    let (ledger, now) = (open(&url).await, Timestamp::now());
    let until = now + SignedDuration::from_secs(60);
    for _ in 0..10 {
        let one = call(now, "credit", vec![budget("b", "1.00")]);
        assert_eq!(ledger.reserve(one.clone()).await.unwrap(), ReserveResult::Granted);
        ledger.settle(one.call, nothing(now, CallOutcome::Faulty, 402)).await.unwrap();
    }
    ledger.record_upstream_limits("team/scripted".into(), now, Vec::new(), Some(until)).await.unwrap();
    assert_eq!(ledger.reserve(call(now, "credit", vec![])).await.unwrap(), ReserveResult::WaitUntil(millis(until)));
    assert!(ledger.breakers("team/scripted").await.unwrap().is_empty(), "it is no outage");
    assert_eq!(cost_of(&ledger, "credit").await, Money::default());
}

/// The store keeps milliseconds.
fn millis(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap()
}

async fn join<T>(futures: Vec<impl Future<Output = Result<T, manyworlds_ledger::LedgerError>>>) -> Vec<T> {
    // Polled together, so that the writer finds them all at once.
    let mut pending: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<T>> = pending.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, place) in pending.iter_mut().zip(&mut done) {
            if place.is_none()
                && let std::task::Poll::Ready(result) = future.as_mut().poll(context)
            {
                *place = Some(result.unwrap());
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// Lets the process that holds a ledger die. PostgreSQL would take it for dead after a minute of silence.
pub async fn end_epochs(url: &str, ledger: manyworlds_ledger::Ledger) {
    let epoch = ledger.epoch();
    drop(ledger);
    if url.starts_with("postgres") {
        sqlx::any::install_default_drivers();
        let pool = sqlx::AnyPool::connect(url).await.unwrap();
        let silent = "UPDATE epochs SET seen_at = 0 WHERE epoch = $1";
        sqlx::query(silent).bind(epoch).execute(&pool).await.unwrap();
        pool.close().await;
    }
}
