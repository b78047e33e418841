use jiff::ToSpan;
use kube::Resource;
use manyworlds_api::object::Stored;
use manyworlds_api::{WorkOrder, World};
use serde_json::Value;
use sqlx::Row;
use tempfile::TempDir;

use super::super::history_rows::tests::{again, cut, running, scored, won};
use super::*;
use crate::index::OrderKey;
use crate::index::fixtures::{at_work, order, with_metadata, world};

/// A ledger and what one life of an operator sees.
struct Life {
    url: String,
    index: Arc<Index>,
    historian: HistoryWriter,
}

impl Life {
    async fn begin(folder: &TempDir, orders: Vec<Stored<WorkOrder>>, worlds: Vec<Stored<World>>) -> Self {
        let url = format!("sqlite://{}/ledger.db", folder.path().display());
        manyworlds_ledger::migrations::up(&url).await.unwrap();
        let ledger = loop {
            match Ledger::open(&url, "test", now()).await {
                // The life before has just ended.
                Err(LedgerError::Taken(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
                opened => break opened.unwrap(),
            }
        };
        let index = Arc::new(Index::default());
        let mut historian =
            HistoryWriter::new(ledger, index.clone(), SignedDuration::from_hours(24 * 30), FIVE_MINUTES);
        for order in orders {
            index.order_seen(order);
        }
        for world in worlds {
            index.world_seen(world);
        }
        historian.load(None, now()).await.unwrap();
        historian.write(now()).await.unwrap();
        Self { url, index, historian }
    }

    /// Ends as a crash does: nothing is written any more.
    async fn end(self) {
        self.historian.ledger.close().await.unwrap();
    }

    /// Returns the first column of a query, row by row.
    async fn read(&self, sql: &'static str) -> Vec<String> {
        sqlx::any::install_default_drivers();
        let pool = sqlx::AnyPool::connect(&self.url).await.unwrap();
        let rows = sqlx::query(sql).fetch_all(&pool).await.unwrap();
        rows.iter().map(|row| row.try_get(0).unwrap()).collect()
    }

    async fn counts(&self) -> Vec<String> {
        self.read(
            "SELECT (SELECT COUNT(*) FROM execution_runs) || ' ' || (SELECT COUNT(*) FROM task_executions) || ' ' || \
             (SELECT COUNT(*) FROM world_executions) || ' ' || (SELECT COUNT(*) FROM checkpoints) || ' ' || \
             (SELECT COUNT(*) FROM worktrees)",
        )
        .await
    }
}

const FIVE_MINUTES: SignedDuration = SignedDuration::from_mins(5);

/// Two months after the order of the fixtures was made would be too late.
fn now() -> Timestamp {
    "2026-01-01T00:02:00Z".parse().unwrap()
}

/// The next version of an object.
fn newer<K: Resource + Clone>(object: &Stored<K>) -> Stored<K> {
    with_metadata(object, |metadata| metadata.resource_version = Some("2".to_owned()))
}

/// The order of the fixtures under another uid and name.
fn renamed(uid: &str, name: &str) -> Stored<WorkOrder> {
    with_metadata(&order(running()), |metadata| {
        (metadata.uid, metadata.name) = (Some(uid.to_owned()), Some(name.to_owned()));
    })
}

const OUTCOMES: &str = "SELECT id || ' ' || COALESCE(outcome, 'none') FROM world_executions ORDER BY id";
const RUNS: &str = "SELECT id || ' ' || COALESCE(outcome, 'none') FROM execution_runs ORDER BY id";

#[tokio::test]
async fn what_is_seen_is_written_once_and_again_by_the_next_life_alike() {
    let folder = tempfile::tempdir().unwrap();
    let seen = || (vec![order(running())], vec![world("alpha", 0, scored()), world("beta", 1, Value::Null)]);
    let (orders, worlds) = seen();
    let mut life = Life::begin(&folder, orders, worlds).await;
    assert_eq!(life.counts().await, ["1 1 3 6 2"]);
    life.historian.write(now()).await.unwrap();
    assert!(life.historian.written.contains_key("o"));
    life.end().await;
    let (orders, worlds) = seen();
    let mut life = Life::begin(&folder, orders, worlds).await;
    assert_eq!(life.counts().await, ["1 1 3 6 2"], "the same resources give the same rows");
    life.index.order_seen(newer(&order(won())));
    life.historian.write(now()).await.unwrap();
    assert_eq!(life.counts().await, ["1 1 3 7 2"], "MergeReady");
    assert_eq!(life.read(RUNS).await, ["o HighestScore"]);
    assert_eq!(life.read(OUTCOMES).await, ["w-alpha/1 Worker", "w-alpha/2 Completed", "w-beta/1 Cut"]);
    assert!(life.historian.written.is_empty(), "nothing is remembered of orders that are over but that they are");
    let with_run = "SELECT attempt.id FROM execution_runs AS run JOIN world_executions AS attempt ON attempt.run_id = run.id \
        WHERE attempt.finished_at = run.finished_at";
    assert_eq!(life.read(with_run).await, ["w-beta/1"], "what was under way ends with the run");
}

#[tokio::test]
async fn orders_are_written_together_and_one_that_is_not_taken_keeps_none_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut life = Life::begin(&folder, vec![], vec![]).await;
    let refusal = "CREATE TRIGGER refuses BEFORE INSERT ON execution_runs WHEN NEW.id = 'o-3' \
        BEGIN SELECT RAISE(ABORT, 'not this one'); END";
    life.read(refusal).await;
    for number in 0..BATCH + 2 {
        life.index.order_seen(renamed(&format!("o-{number}"), &format!("fix-{number}")));
    }
    life.historian.write(now()).await.unwrap();
    let expected: Vec<_> =
        (0..BATCH + 2).filter(|number| *number != 3).map(|number| format!("o-{number} none")).collect();
    assert_eq!(life.read(RUNS).await, expected);
    assert_eq!((life.historian.written.len(), life.historian.waiting.len()), (BATCH + 1, 0));
}

#[tokio::test]
async fn what_a_world_scored_before_a_fallback_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut life = Life::begin(&folder, vec![order(running())], vec![world("alpha", 0, scored())]).await;
    life.index.world_seen(newer(&world("alpha", 0, again(2))));
    life.historian.write(now()).await.unwrap();
    let scores = "SELECT id || ' ' || COALESCE(score, -1) FROM world_executions ORDER BY id";
    assert_eq!(life.read(scores).await, ["w-alpha/1 -1", "w-alpha/2 90"]);
}

#[tokio::test]
async fn an_order_that_is_judged_again_after_it_has_finished_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut life = Life::begin(&folder, vec![order(won())], vec![world("alpha", 0, scored())]).await;
    assert_eq!(life.read(RUNS).await, ["o HighestScore"]);
    life.index.order_seen(newer(&order(running())));
    life.historian.write(now()).await.unwrap();
    assert_eq!(life.read(RUNS).await, ["o none"]);
}

#[tokio::test]
async fn what_goes_away_before_it_was_written_is_written_and_ended() {
    let folder = tempfile::tempdir().unwrap();
    let mut life = Life::begin(&folder, vec![], vec![]).await;
    life.index.order_seen(order(running()));
    for (index, variant) in [(0, "alpha"), (1, "beta")] {
        life.index.world_seen(world(variant, index, scored()));
    }
    let (order, world) = (order(Value::Null), world("alpha", 0, Value::Null));
    life.index.world_gone(OrderKey::of(order.id()), world.id(), world.version());
    life.index.order_gone(order.id(), order.version());
    life.historian.write(now()).await.unwrap();
    assert_eq!(life.read(RUNS).await, ["o Deleted"]);
    let all = ["w-alpha/1 Worker", "w-alpha/2 Completed", "w-beta/1 Worker", "w-beta/2 Completed"];
    assert_eq!(life.read(OUTCOMES).await, all, "a World that went first is not forgotten");
    assert!(life.historian.done.is_empty() && life.historian.written.is_empty());
}

#[tokio::test]
async fn an_order_that_was_deleted_while_nobody_looked_is_ended_by_the_next_life() {
    let folder = tempfile::tempdir().unwrap();
    let other = renamed("p", "other");
    let prepared = serde_json::json!({
        "type": "Prepared", "status": "True", "reason": "Prepared", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:05Z",
    });
    let worlds = vec![world("alpha", 0, serde_json::json!({ "stage": "Working", "conditions": [prepared] }))];
    let life = Life::begin(&folder, vec![order(running()), other.clone()], worlds).await;
    let there = "SELECT world_execution_id || ' ' || COALESCE(removed_at, 'there') FROM worktrees";
    assert_eq!(life.read(there).await, ["w-alpha/1 there"]);
    life.end().await;
    let life = Life::begin(&folder, vec![other], vec![]).await;
    assert_eq!(life.read(RUNS).await, ["o Deleted", "p none"]);
    assert_eq!(life.read(OUTCOMES).await, ["w-alpha/1 Deleted"]);
    assert_eq!(life.read(there).await, [format!("w-alpha/1 {}", now().as_millisecond())]);
}

#[tokio::test]
async fn what_is_older_than_the_ledger_keeps_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut life = Life::begin(&folder, vec![], vec![]).await;
    life.index.order_seen(order(won()));
    life.index.world_seen(world("beta", 1, cut()));
    life.historian.write(now() + (24 * 31).hours()).await.unwrap();
    assert_eq!(life.counts().await, ["0 0 0 0 0"]);
}

#[tokio::test]
async fn what_a_ledger_that_is_away_does_not_take_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let life = Life::begin(&folder, vec![], vec![]).await;
    let Life { index, mut historian, .. } = life;
    historian.ledger.clone().close().await.unwrap();
    index.order_seen(order(running()));
    assert!(historian.write(now()).await.is_err());
    assert_eq!(historian.waiting.len(), 1, "it is written once the ledger is back");
}

#[tokio::test]
async fn where_attempts_stand_is_written_once_in_each_interval_by_whichever_life() {
    const CHECKPOINTS: &str = "SELECT id || ' ' || made_at FROM checkpoints ORDER BY made_at, id";
    const NUMBER: i64 = 1_767_225_720_000 / 300_000;
    let folder = tempfile::tempdir().unwrap();
    let key = OrderKey { namespace: "team".into(), name: "fix".into() };
    let status = serde_json::json!({ "stage": "Working", "usage": {
        "cost": "0.25", "inputTokens": 7, "outputTokens": 5, "cachedTokens": 0, "calls": 3,
    }});
    let seen = || (vec![order(running())], vec![world("alpha", 0, status.clone()), world("beta", 1, Value::Null)]);
    let (orders, worlds) = seen();
    let mut life = Life::begin(&folder, orders, worlds).await;
    life.historian.checkpoint(now()).await.unwrap();
    let spawned = ["w-alpha/1/WorldsSpawned", "w-beta/1/WorldsSpawned"].map(|id| format!("{id} 1767225601000"));
    assert_eq!(life.read(CHECKPOINTS).await, spawned, "nothing is under way without a pod");
    life.index.pod_seen(&key, at_work());
    life.historian.write(now()).await.unwrap();
    life.historian.checkpoint(now()).await.unwrap();
    assert_eq!(life.read(CHECKPOINTS).await.len(), 3, "not again in the same interval");
    life.end().await;
    // The next life in the same interval, twice, and in the next one.
    let (orders, worlds) = seen();
    let mut life = Life::begin(&folder, orders, worlds).await;
    life.index.pod_seen(&key, at_work());
    life.historian.write(now()).await.unwrap();
    for minutes in [0, 1, 5, 6] {
        life.historian.checkpoint(now() + minutes.minutes()).await.unwrap();
    }
    let found = life.read(CHECKPOINTS).await;
    let later = |number, at| format!("w-alpha/1/WorktreeCreated/{number} {at}");
    assert_eq!(
        found[1..],
        [
            "w-alpha/1/WorldsSpawned 1767225602000".to_owned(),
            "w-alpha/1/WorktreeCreated 1767225605000".to_owned(),
            later(NUMBER, 1_767_225_720_000_i64),
            later(NUMBER + 1, 1_767_226_020_000),
        ]
    );
    let details = life.read("SELECT details FROM checkpoints WHERE id LIKE '%Created/%' ORDER BY id").await;
    let details: Value = serde_json::from_str(&details[0]).unwrap();
    let expected = serde_json::json!({
        "world": "alpha", "attempt": 1, "since": "2026-01-01T00:00:05Z", "stage": "Working",
        "cost": "0.25", "calls": 3, "inputTokens": 7, "outputTokens": 5,
    });
    assert_eq!(details, expected);
    // It failed: what was seen of it stays.
    let mut failed = scored();
    let attempts = failed["attempts"].as_array().unwrap()[..1].to_vec();
    (failed["attempts"], failed["attemptCount"], failed["stage"]) = (attempts.into(), 1.into(), "Failed".into());
    failed.as_object_mut().unwrap().remove("conditions");
    life.index.world_seen(newer(&world("alpha", 0, failed)));
    life.historian.write(now()).await.unwrap();
    life.historian.checkpoint(now() + 20.minutes()).await.unwrap();
    assert_eq!(life.read(CHECKPOINTS).await.len(), found.len(), "and nothing is under way any more");
    let outcomes = life.read(OUTCOMES).await;
    assert_eq!(outcomes, ["w-alpha/1 Worker", "w-beta/1 none"]);
}
