//! Retention in the ledger.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use manyworlds_api::Money;
use manyworlds_api::provider::Limits;
use manyworlds_ledger::audit::{AuditEntry, AuditStage};
use manyworlds_ledger::history::{Checkpoint, ExecutionRun, HistoryRecord, TaskExecution, Worktree, WorldExecution};
use manyworlds_ledger::{
    CallOutcome, LedgerError, Reservation, ReserveResult, SettleResult, Settlement, StoredRun, migrations, transfer,
};
use manyworlds_metering::rate_window::RateLimits;

use super::support::{answered, budget, call, caller, cost_of, dollars, nothing, open};

pub async fn a_restart_forgets_neither_window_nor_breaker(url: String) {
    let (ledger, now) = (open(&url).await, Timestamp::now());
    let limits = RateLimits::of(&Limits { requests_per_minute: 6, ..Limits::default() });
    for _ in 0..5 {
        let one = Reservation { limits, ..call(now, "again", vec![]) };
        ledger.reserve(one.clone()).await.unwrap();
        ledger.settle(one.call, nothing(now, CallOutcome::Outage, 500)).await.unwrap();
    }
    ledger.close().await.unwrap();
    let ledger = open(&url).await;
    assert!(matches!(ledger.reserve(call(now, "again", vec![])).await.unwrap(), ReserveResult::BreakerOpen(_)));
    let other = || Reservation { limits, model: "other".into(), ..call(now, "again", vec![]) };
    assert_eq!(ledger.reserve(other()).await.unwrap(), ReserveResult::Granted);
    assert!(matches!(ledger.reserve(other()).await.unwrap(), ReserveResult::WaitUntil(_)), "five and one are six");
    let (requests, _) = ledger.rate_window("team/scripted").await.unwrap().used(now);
    assert_eq!(requests, 6);
}

pub async fn sixty_four_callers_at_once_are_all_counted(url: String) {
    let (ledger, now) = (open(&url).await, Timestamp::now());
    let callers = (0..64).map(|number| {
        let ledger = ledger.clone();
        tokio::spawn(async move {
            for turn in 0..5 {
                let mut one = call(now, "many", vec![budget("order", "1000.00"), budget("team", "1000.00")]);
                one.caller = caller("many", if number % 2 == 0 { "alpha" } else { "beta" });
                assert_eq!(ledger.reserve(one.clone()).await.unwrap(), ReserveResult::Granted);
                let settled = ledger.settle(one.call, answered(now, "0.01")).await.unwrap();
                assert_eq!(settled, SettleResult::Settled(dollars("0.01")), "caller {number}, turn {turn}");
            }
        })
    });
    for task in callers.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let worlds = ledger.spending_of_order("uid-many").await.unwrap();
    assert_eq!(worlds.len(), 2);
    for spending in worlds.values() {
        assert_eq!((spending.cost, spending.calls, spending.output_tokens), (dollars("1.60"), 160, 3200));
    }
    for budget in ["order", "team"] {
        let account = ledger.balance(budget, None).await.unwrap();
        assert_eq!((account.spent.cost, account.reserved.cost), (dollars("3.20"), Money::default()));
    }
    assert_eq!(ledger.calls_in_flight().await.unwrap(), 0);
}

fn run(id: &str, now: Timestamp) -> Vec<HistoryRecord> {
    let text = |text: &str| text.to_owned();
    let (task, world) = (format!("{id}/worlds/1"), format!("{id}/alpha/1"));
    vec![
        HistoryRecord::Run(ExecutionRun {
            id: text(id),
            namespace: text("team"),
            work_order: text("fix"),
            title: text("Fix it"),
            started_at: now,
            finished_at: Some(now),
            ..ExecutionRun::default()
        }),
        HistoryRecord::Task(TaskExecution {
            id: task.clone(),
            run: text(id),
            task: text("worlds"),
            round: 1,
            started_at: now,
            ..TaskExecution::default()
        }),
        HistoryRecord::World(WorldExecution {
            id: world.clone(),
            run: text(id),
            task: Some(task),
            world: text("fix-alpha"),
            attempt: 1,
            score: Some(90),
            ..WorldExecution::default()
        }),
        HistoryRecord::Checkpoint(Checkpoint {
            id: format!("{world}/work"),
            world_execution: world.clone(),
            made_at: now,
            ..Checkpoint::default()
        }),
        HistoryRecord::Worktree(Worktree {
            id: format!("{world}/tree"),
            world_execution: world,
            made_at: now,
            ..Worktree::default()
        }),
        HistoryRecord::Audit(AuditEntry {
            id: format!("{id}/audit"),
            at: now,
            order_uid: Some(text(id)),
            stage: text("work"),
            result: text("Masked"),
            details: text("{}"),
            counts: text("{\"secret\":1}"),
            size_before: Some(10),
            size_after: Some(5),
            retry_count: None,
            failure_reason: None,
        }),
    ]
}

pub async fn history_is_kept_with_its_references_and_expires(url: String) {
    let (ledger, now) = (open(&url).await, Timestamp::now());
    let old = now - SignedDuration::from_hours(24 * 40);
    ledger.record(&run("old", old)).await.unwrap();
    let mut new = run("new", now);
    ledger.record(&new).await.unwrap();
    new.reverse();
    ledger.record(&new).await.unwrap();
    let mut open = run("open", now);
    if let Some(HistoryRecord::Run(run)) = open.first_mut() {
        run.finished_at = None;
    }
    open.reverse();
    ledger.record(&open).await.unwrap();
    let finished = |runs: Vec<StoredRun>| {
        runs.into_iter().filter(|run| run.is_finished).map(|run| run.id).collect::<BTreeSet<_>>()
    };
    let of = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(finished(ledger.runs().await.unwrap()), of(&["new", "old"]), "of three");
    ledger.close_runs(vec!["open".into(), "new".into()], "Deleted", now).await.unwrap();
    assert_eq!(finished(ledger.runs().await.unwrap()), of(&["new", "old", "open"]));
    let removed = ledger.expire(now - SignedDuration::from_hours(24 * 30), now).await.unwrap();
    assert_eq!(removed, 2, "one run, with what belongs to it, and one line of the audit log");
    // A checkpoint of a World that has gone has nothing to refer to.
    let orphan = HistoryRecord::Checkpoint(Checkpoint {
        id: "x".into(),
        world_execution: "old/alpha/1".into(),
        ..Checkpoint::default()
    });
    assert!(matches!(ledger.record(&[orphan]).await, Err(LedgerError::Database(_))));
    let kept = HistoryRecord::Checkpoint(Checkpoint {
        id: "y".into(),
        world_execution: "new/alpha/1".into(),
        ..Checkpoint::default()
    });
    ledger.record(&[kept]).await.unwrap();
}

pub async fn one_bad_record_does_not_take_others_with_it(url: String) {
    let (ledger, now) = (open(&url).await, Timestamp::now());
    let orphan =
        [HistoryRecord::Task(TaskExecution { id: "t".into(), run: "nobody".into(), ..TaskExecution::default() })];
    let good = run("good", now);
    let one = call(now, "beside", vec![budget("b", "9.00")]);
    let (bad, kept, reserved) = tokio::join!(ledger.record(&orphan), ledger.record(&good), ledger.reserve(one.clone()));
    assert!(bad.is_err());
    kept.unwrap();
    assert_eq!(reserved.unwrap(), ReserveResult::Granted);
    ledger.settle(one.call, answered(now, "0.50")).await.unwrap();
    assert_eq!(
        ledger.balance("b", None).await.unwrap().spent.cost,
        dollars("0.50"),
        "what is in memory is in the store"
    );
}

pub async fn what_an_order_has_spent_can_be_read(url: String) {
    let (ledger, now) = (open(&url).await, Timestamp::now());
    let later = now + SignedDuration::from_secs(5);
    let one = call(now, "read", vec![]);
    ledger.reserve(one.clone()).await.unwrap();
    ledger.settle(one.call, answered(later, "0.30")).await.unwrap();
    let refused = call(now, "read", vec![]);
    ledger.reserve(refused.clone()).await.unwrap();
    ledger.settle(refused.call, nothing(later, CallOutcome::Refused, 429)).await.unwrap();
    let spending = ledger.spending_of_order("uid-read").await.unwrap()["uid-read-alpha"];
    assert_eq!((spending.cost, spending.calls), (dollars("0.30"), 1), "a refusal is no call that a model answered");
    assert_eq!((spending.input_tokens, spending.cached_tokens, spending.output_tokens), (40, 60, 20));
    assert_eq!(ledger.orders_charged_since(later).await.unwrap().len(), 1);
    assert!(ledger.orders_charged_since(later + SignedDuration::from_secs(1)).await.unwrap().is_empty());
    let outcomes = ledger.outcomes_of_order("uid-read").await.unwrap();
    assert_eq!(outcomes.iter().map(|count| count.outcome.as_str()).collect::<Vec<_>>(), ["Answered", "Refused"]);
    let provider = ledger.spending_of_provider("team/scripted", later).await.unwrap();
    assert_eq!(provider, spending);
}

pub async fn any_text_and_any_amount_is_kept(url: String) {
    let (ledger, now) = (open(&url).await, Timestamp::now());
    let odd = "it's \"odd\" \\u0041 $1 ?; -- \n\t[1] {} \u{1F30D}\u{e9}";
    let most = "9223372.036854775807";
    let mut one = call(now, "odd", vec![budget(odd, most)]);
    one.caller.world_uid = odd.to_owned();
    assert_eq!(ledger.reserve(one.clone()).await.unwrap(), ReserveResult::Granted);
    ledger.settle(one.call, answered(now, most)).await.unwrap();
    ledger.close().await.unwrap();
    let ledger = open(&url).await;
    assert_eq!(ledger.spending_of_order("uid-odd").await.unwrap()[odd].cost, dollars(most));
    assert_eq!(ledger.balance(odd, None).await.unwrap().spent.cost, dollars(most));
}

pub async fn failures_are_in_the_audit_log(url: String) {
    let (ledger, now) = (open(&url).await, Timestamp::now());
    for (outcome, status) in
        [(CallOutcome::Outage, 503), (CallOutcome::Outage, 503), (CallOutcome::Outage, 503), (CallOutcome::Faulty, 0)]
    {
        let one = call(now, "failing", vec![]);
        ledger.reserve(one.clone()).await.unwrap();
        ledger.settle(one.call, nothing(now, outcome, status)).await.unwrap();
    }
    for retry_count in [0, 2] {
        let one = call(now, "failing", vec![]);
        ledger.reserve(one.clone()).await.unwrap();
        ledger.settle(one.call, Settlement { retry_count, ..answered(now, "0.01") }).await.unwrap();
    }
    let masked =
        AuditEntry::new(AuditStage::Filter, "Masked", now).with_caller(&caller("masked", "w"), &[("pattern_id", "x")]);
    let masked = AuditEntry { size_before: Some(9), size_after: Some(7), ..masked };
    ledger.audit(AuditStage::Filter, masked.clone());
    ledger.audit(AuditStage::Order, AuditEntry::new(AuditStage::Order, "Failed", now));
    ledger.close().await.unwrap();
    let ledger = open(&url).await;
    let mut said: Vec<_> = ledger
        .audit_entries(Some("uid-failing"), 10)
        .await
        .unwrap()
        .into_iter()
        .map(|entry| (entry.result, entry.failure_reason.unwrap_or_default(), entry.counts, entry.retry_count))
        .collect();
    said.sort();
    let text = |text: &str| text.to_owned();
    let nothing = || text(r#"{"cost":"0.00","inputTokens":0,"outputTokens":0}"#);
    let answered = text(r#"{"cost":"0.01","inputTokens":100,"outputTokens":20}"#);
    let expected = [
        (text("Answered"), text(""), answered, Some(2)),
        (text("Faulty"), text("no answer"), nothing(), Some(0)),
        (text("Outage"), text("status 503"), nothing(), Some(0)),
        (text("Outage"), text("status 503"), text(r#"{"times":2}"#), Some(0)),
    ];
    assert_eq!(said, expected, "an answer at once is neither a failure nor one more attempt");
    let all = ledger.audit_entries(None, 10).await.unwrap();
    assert_eq!(all.len(), 6, "and the order's, and what was masked");
    let kept = all.iter().find(|entry| entry.stage == "filter").unwrap();
    assert_eq!((kept.size_before, kept.size_after, &kept.details), (Some(9), Some(7), &masked.details));
    let details: serde_json::Value = all
        .iter()
        .find(|entry| entry.stage == "call")
        .map(|entry| serde_json::from_str(&entry.details).unwrap())
        .unwrap();
    assert_eq!((&details["workOrder"], &details["provider"]), (&"failing".into(), &"team/scripted".into()));
}

/// Moves a ledger and looks whether all of it has arrived.
pub async fn is_moved(from: &str, to: &str) {
    let (ledger, now) = (open(from).await, Timestamp::now());
    ledger.record(&run("moved", now)).await.unwrap();
    for _ in 0..300 {
        let one = call(now, "moved", vec![budget("b", "999.00")]);
        ledger.reserve(one.clone()).await.unwrap();
        ledger.settle(one.call, answered(now, "0.01")).await.unwrap();
    }
    assert!(
        matches!(transfer(from, to).await, Err(LedgerError::Taken(_))),
        "while an operator writes, nothing is moved"
    );
    ledger.close().await.unwrap();
    let moved = loop {
        match transfer(from, to).await {
            Err(LedgerError::Taken(_)) => tokio::task::yield_now().await,
            moved => break moved.unwrap(),
        }
    };
    let rows = |table: &str| moved.iter().find(|moved| moved.table == table).unwrap().rows;
    assert_eq!((rows("llm_calls"), rows("world_executions"), rows("budgets"), rows("audit")), (300, 1, 1, 1));
    assert!(matches!(transfer(from, to).await, Err(LedgerError::NotEmpty(_))));
    assert!(matches!(transfer(from, from).await, Err(LedgerError::SameStore)));
    let ledger = open(to).await;
    let back = format!("{from}.back");
    migrations::up(&back).await.unwrap();
    assert!(matches!(transfer(to, &back).await, Err(LedgerError::InUse(_))), "of PostgreSQL too");
    assert!(matches!(migrations::down(to).await, Err(LedgerError::InUse(_))));
    assert_eq!(cost_of(&ledger, "moved").await, dollars("3.00"));
    assert_eq!(ledger.balance("b", None).await.unwrap().spent.cost, dollars("3.00"));
    let (requests, _) = ledger.rate_window("team/scripted").await.unwrap().used(now);
    assert_eq!(requests, 300, "limits hold across the move");
    ledger.close().await.unwrap();
    assert_eq!(transfer(to, &back).await.unwrap().len(), moved.len(), "and back, once nobody writes any more");
}
