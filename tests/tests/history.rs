//! The ledger outlives resources and processes (W10, S6, P7): history, audit and retention, with an operator that is killed.

use std::env;

use kube::Api;
use kube::api::DeleteParams;
use manyworlds_api::WorkOrder;
use manyworlds_tests::{
    Cluster, LIMIT, Namespace, OperatorIdentity, OperatorProcess, OperatorSettings, Result, definitions, eventually,
    namespace, orders,
};
use sqlx::{AnyPool, Row};

/// Reads one text of the operator's ledger, while the operator writes to it, until it is the expected one.
async fn reads(pool: &AnyPool, sql: &'static str, expected: &str) -> Result {
    eventually(&format!("the ledger has {expected:?}"), LIMIT, || async {
        let found: String = sqlx::query(sql).fetch_one(pool).await?.try_get(0)?;
        if found == expected { Ok(Some(())) } else { Err(found.into()) }
    })
    .await
}

const RUNS: &str = "SELECT COALESCE(GROUP_CONCAT(run, '; '), '') FROM (SELECT work_order || ' ' || \
    COALESCE(outcome, 'none') || ' ' || COALESCE(winner, 'none') AS run FROM execution_runs ORDER BY work_order)";
const WORLDS: &str = "SELECT COALESCE(GROUP_CONCAT(world, '; '), '') FROM (SELECT world || ' ' || \
    COALESCE(outcome, 'none') || ' ' || COALESCE(score, -1) AS world FROM world_executions ORDER BY world)";
const CHECKPOINTS: &str = "SELECT COALESCE(GROUP_CONCAT(checkpoint, '; '), '') FROM (SELECT stage || ' ' || COUNT(*) \
    AS checkpoint FROM checkpoints WHERE id NOT LIKE '%/%/%/%' GROUP BY stage ORDER BY stage)";
/// Those that are written from time to time are named after their interval.
const STANDS: &str =
    "SELECT CAST(COUNT(*) > 0 AS TEXT) FROM checkpoints WHERE id LIKE '%/%/%/%' AND details LIKE '{%}'";
const SUSPENDED: &str = "SELECT CAST(COUNT(*) AS TEXT) FROM audit WHERE stage = 'order' AND result = 'Suspended'";
const OLD: &str = "SELECT CAST(COUNT(*) AS TEXT) FROM audit WHERE at < 1000";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_audit_and_retention_outlive_a_kill() -> Result {
    let cluster = Cluster::fake().await?;
    definitions::install(&cluster.client).await?;
    let namespace = Namespace::new(&cluster, "history").await?;
    let folder = env::temp_dir().join(namespace::unique("history"));
    // Its rights end with it.
    let identity = OperatorIdentity::new(&cluster, &folder).await?;
    let settings = OperatorSettings {
        kubeconfig: identity.kubeconfig.clone(),
        folder: folder.clone(),
        watch_namespace: namespace.name.clone(),
        environment: vec![("MANYWORLDS_CHECKPOINT_INTERVAL".to_owned(), "1s".to_owned())],
    };
    let api: Api<WorkOrder> = namespace.api();
    let mut operator = OperatorProcess::start(&settings)?;
    operator.ready().await?;
    sqlx::any::install_default_drivers();
    let pool = AnyPool::connect(&format!("sqlite://{}/ledger.db", folder.display())).await?;

    let mut gone = orders::fake("gone", 1)?;
    gone.spec.suspend = true;
    orders::create(&api, &gone).await?;
    reads(&pool, RUNS, "gone none none").await?;
    reads(&pool, SUSPENDED, "1").await?;
    orders::create(&api, &orders::fake("kept", 3)?).await?;
    eventually("kept is finished", LIMIT, || async { Ok(api.get("kept").await?.is_finished().then_some(())) }).await?;
    operator.kill()?;
    api.delete("gone", &DeleteParams::background()).await?;
    let old =
        "INSERT INTO audit (id, epoch, at, stage, result, details, counts) VALUES ('old', 1, 1, 's', 'r', '', '')";
    sqlx::query(old).execute(&pool).await?;

    let operator = OperatorProcess::start(&settings)?;
    reads(&pool, RUNS, "gone Deleted none; kept HighestScore w1").await?;
    reads(&pool, WORLDS, "kept-w1 Completed 100; kept-w2 Completed 100; kept-w3 Completed 100").await?;
    let all = "EvaluationDone 3; MergeReady 1; WorktreeCreated 3; WorldCompleted 3; WorldsSpawned 3";
    reads(&pool, CHECKPOINTS, all).await?;
    reads(&pool, OLD, "0").await?;
    reads(&pool, SUSPENDED, "1").await?;
    let log = std::fs::read_to_string(folder.join("operator.log"))?;
    let line = log.lines().find(|line| line.contains(r#""target":"audit""#)).unwrap_or_default();
    let line: serde_json::Value = serde_json::from_str(line)?;
    assert_eq!((&line["stage"], &line["result"]), (&"order".into(), &"Suspended".into()), "{}", operator.log_tail());
    // One whose pod goes on: where it stands is written again and again.
    let mut runs = orders::fake("runs", 1)?;
    let template = runs.spec.worker.pod_template.get_or_insert_default();
    template.annotations.insert("fake/runs".to_owned(), "true".to_owned());
    orders::create(&api, &runs).await?;
    reads(&pool, STANDS, "1").await?;
    Ok(std::fs::remove_dir_all(folder)?)
}
