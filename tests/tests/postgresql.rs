//! PostgreSQL as the ledger of an operator that is killed (W10, R8): an order runs through, and every call is a row, once.
//!
//! The World is on a fake node and played by the test; the operator, its gateway and the database are real.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

#[path = "../../ledger/tests/support/postgres.rs"]
mod postgres;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};
use manyworlds_api::{WorkOrder, labels};
use manyworlds_tests::played::{Caller, RUNS, Stage};
use manyworlds_tests::real::LIMIT;
use manyworlds_tests::{Result, eventually};
use manyworlds_upstream::{Script, Upstream};
use postgres::Postgres;
use serde_json::json;
use sqlx::{AnyPool, Row};

/// What the ledger has of one order.
#[derive(Debug, PartialEq, Eq)]
struct Rows {
    /// How the calls ended, each with how many they are.
    outcomes: Vec<(String, i64)>,
    /// What all of them have cost, in trillionths of a dollar.
    cost: i64,
    /// What the order's budget counts as spent.
    spent: i64,
    /// How many are under way.
    under_way: i64,
}

async fn rows(pool: &AnyPool, order_uid: &str) -> Result<Rows> {
    let calls = "SELECT outcome, COUNT(*), CAST(SUM(cost) AS BIGINT) FROM llm_calls WHERE order_uid = $1 \
        GROUP BY outcome ORDER BY outcome";
    let calls = sqlx::query(calls).bind(order_uid.to_owned()).fetch_all(pool).await?;
    let mut found = Rows { outcomes: Vec::new(), cost: 0, spent: 0, under_way: 0 };
    for row in &calls {
        found.outcomes.push((row.try_get(0)?, row.try_get(1)?));
        found.cost += row.try_get::<i64, _>(2)?;
    }
    let spent = "SELECT CAST(COALESCE(SUM(spent_cost), 0) AS BIGINT) FROM budgets WHERE holder = $1";
    found.spent = sqlx::query(spent).bind(format!("order/{order_uid}")).fetch_one(pool).await?.try_get(0)?;
    found.under_way = sqlx::query("SELECT COUNT(*) FROM reservations").fetch_one(pool).await?.try_get(0)?;
    Ok(found)
}

/// Makes a fourth call, which is not answered.
async fn call_is_under_way(world: &Caller, upstream: &Upstream) -> Result {
    tokio::select! {
        answered = world.ask("m", "slowly") => Err(format!("it was to be slow: {answered:?}").into()),
        reached = eventually("the slow call has reached the model", LIMIT, || async {
            Ok((upstream.count() == 4).then_some(()))
        }) => reached,
    }
}

/// W10, R8: the operator is killed (SIGKILL) with a call under way; the next one goes on, that call is counted once, and in the
/// end the order's cost is the sum of the rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_goes_through_on_postgresql_and_a_kill_loses_nothing() -> Result {
    let server = Postgres::start();
    let url = server.database("ledger");
    let answer = json!({"text": "a", "usage": {"input": 100, "output": 20}});
    let slow = json!({"contains": "slowly", "reply": {"text": "b", "delayMs": 600_000}});
    let script = json!({"models": {"*": [slow, {"reply": answer}]}});
    let upstream = Upstream::start(Script::read(&script.to_string())?).await?;
    let mut stage = Stage::new("postgresql").await?;
    stage.settings.environment.push(("MANYWORLDS_LEDGER".to_owned(), url.clone()));
    stage.provider("p", &format!("{}/v1", upstream.url()), "m", &json!({})).await?;

    let operator = stage.operator().await?;
    let uid = stage.order("fix", "m").await?.metadata.uid.unwrap();
    let world = stage.world("fix", &operator).await?;
    for _ in 0..3 {
        assert_eq!(world.chat("m").await?.0, 200);
    }
    call_is_under_way(&world, &upstream).await?;
    operator.kill()?;

    sqlx::any::install_default_drivers();
    let pool = AnyPool::connect(&url).await?;
    let operator = stage.operator().await?;
    let world = stage.world("fix", &operator).await?;
    for _ in 0..2 {
        assert_eq!(world.chat("m").await?.0, 200);
    }
    eventually("the call of the dead operator is settled", LIMIT, || async {
        let rows = rows(&pool, &uid).await?;
        let ended = vec![("Answered".to_owned(), 5), ("Lost".to_owned(), 1)];
        if rows.outcomes == ended && rows.under_way == 0 { Ok(Some(())) } else { Err(format!("{rows:?}").into()) }
    })
    .await?;
    assert_eq!(upstream.count(), 6, "as many rows as calls have reached the model");

    // The pod ends now, with the result that its annotation holds.
    let ends = json!({"metadata": {"annotations": {RUNS: null}}});
    let pods: Api<Pod> = stage.namespace.api();
    pods.patch(&labels::pod_name("fix", "w1", 1), &PatchParams::default(), &Patch::Merge(&ends)).await?;
    let api: Api<WorkOrder> = stage.namespace.api();
    let status = eventually("the order is finished", LIMIT, || async {
        let order = api.get("fix").await?;
        Ok(if order.is_finished() { order.status } else { None })
    })
    .await?;
    assert_eq!(status.winner.as_deref(), Some("w1"), "{:?}", status.message);
    let (usage, rows) = (status.usage.unwrap(), rows(&pool, &uid).await?);
    assert_eq!(usage.cost.trillionths(), u128::try_from(rows.cost)?, "the order shows what the rows add up to");
    assert_eq!(rows.spent, rows.cost, "and so does its budget");
    assert_eq!(usage.calls, 6);
    let answered = 5 * 140_000_000;
    assert!(rows.cost > answered, "a call of which nobody knows what it used is not free: {}", rows.cost);
    eventually("history has the run", LIMIT, || async {
        let sql = "SELECT COUNT(*) FROM execution_runs WHERE id = $1 AND winner = 'w1'";
        let found: i64 = sqlx::query(sql).bind(uid.clone()).fetch_one(&pool).await?.try_get(0)?;
        Ok((found == 1).then_some(()))
    })
    .await?;
    assert!(!stage.settings.folder.join("ledger.db").exists(), "no file was used beside the database");
    pool.close().await;
    Ok(operator.kill()?)
}
