//! What only the shipped images show: their root file system is read-only and has no place for temporary files, and between
//! an order and its worker stands a kubelet.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::try_join_all;
use manyworlds_api::WorkOrder;
use manyworlds_tests::real::{create, finished, order, restricted, world};
use manyworlds_tests::{Namespace, Result, volume};
use serde_json::{Value, json};

/// Numbers of Worlds that change how many rows of the history share a statement.
const WORLDS: [usize; 4] = [6, 12, 20, 40];
/// How long the pods of all these Worlds may take, a few at a time.
const LIMIT: Duration = Duration::from_mins(15);

/// Reads the history of a namespace's orders until it is the expected one, for half a minute, and prints it.
const HISTORY: &str = r#"
import json, sqlite3, sys, time
namespace, expected = sys.argv[1], json.loads(sys.argv[2])
RUNS = """SELECT work_order, outcome, id FROM execution_runs WHERE namespace = ?"""
WORLDS = """SELECT COUNT(*), COUNT(worktrees.id) FROM world_executions
    LEFT JOIN worktrees ON worktrees.world_execution_id = world_executions.id WHERE run_id = ? AND outcome = 'Completed'"""
CHECKPOINTS = """SELECT stage, COUNT(*) FROM checkpoints JOIN world_executions ON world_executions.id = world_execution_id
    WHERE run_id = ? AND checkpoints.id NOT LIKE '%/%/%/%' GROUP BY stage"""
def history():
    ledger = sqlite3.connect("file:/data/ledger/ledger.db?mode=ro", uri=True, timeout=10)
    try:
        return {
            order: {"outcome": outcome, "worlds": list(ledger.execute(WORLDS, [run]).fetchone()),
                    "checkpoints": dict(ledger.execute(CHECKPOINTS, [run]))}
            for order, outcome, run in ledger.execute(RUNS, [namespace]).fetchall()
        }
    finally:
        ledger.close()
end = time.monotonic() + 30
found = history()
while found != expected and time.monotonic() < end:
    time.sleep(0.2)
    found = history()
print(json.dumps(found))
"#;

/// Returns an order of as many Worlds, each of which makes one small commit and needs no image but the runner's.
fn of_worlds(count: usize) -> Value {
    let mut order = order(&format!("of-{count}"), "");
    let variants: Vec<_> = (1..=count).map(|number| json!({"name": format!("w{number}")})).collect();
    order["spec"]["worlds"] = json!({
        "min": 1,
        "parallelism": 4,
        "sizing": {"perWorld": {"cpu": "50m", "memory": "128Mi", "ephemeralStorage": "256Mi"}},
        "variants": variants,
    });
    order["spec"]["worker"] = json!({"plugin": "echo"});
    order
}

async fn ends_well(namespace: &Namespace, name: &str) -> Result {
    let api = namespace.api::<WorkOrder>();
    let what = format!("{name} is finished");
    let ended = namespace.eventually(&what, LIMIT, || async {
        let order = api.get(name).await?;
        Ok(order.is_finished().then(|| order.status.unwrap_or_default()))
    });
    let status = ended.await?;
    assert_eq!(status.summary.as_deref(), Some("Succeeded"), "{name}: {:?}", status.message);
    Ok(())
}

/// Statements with many rows need a place for temporary files, which a scratch image on a read-only disk does not have.
#[tokio::test]
async fn orders_of_many_worlds_have_their_whole_history_in_the_ledger() -> Result {
    let (cluster, namespace) = restricted("history").await?;
    try_join_all(WORLDS.map(async |count| create(&namespace, &of_worlds(count)).await)).await?;
    for count in WORLDS {
        ends_well(&namespace, &format!("of-{count}")).await?;
    }
    let whole = |count: usize| {
        json!({
            "outcome": "HighestScore",
            "worlds": [count, count],
            "checkpoints": {
                "EvaluationDone": count, "MergeReady": 1, "WorktreeCreated": count, "WorldCompleted": count,
                "WorldsSpawned": count,
            },
        })
    };
    let expected: BTreeMap<_, _> = WORLDS.into_iter().map(|count| (format!("of-{count}"), whole(count))).collect();
    let expected = json!(expected);
    let found = volume::run_beside(&cluster, HISTORY, &[namespace.name.clone(), expected.to_string()]).await?;
    assert_eq!(serde_json::from_str::<Value>(&found)?, expected);
    Ok(())
}

/// The kubelet makes `$$` a single dollar sign, and puts a variable's value in the place of `$(NAME)`.
#[tokio::test]
async fn dollar_signs_of_an_order_reach_the_worker_byte_for_byte() -> Result {
    let (_cluster, namespace) = restricted("dollars").await?;
    let texts = ["$$ $$$ $", "$(HOME) $$(HOME) ${HOME}", "a $$\nb $(MANYWORLDS_WORLD)\n", "$$$$"];
    let [title, environment, body, argument] = texts;
    let script = r#"
import json, os, sys
task = json.load(open(os.environ["MANYWORLDS_ORDER_FILE"]))["task"]
seen = [task["title"], os.environ["PRICE"], task["body"], sys.argv[1]]
if seen != json.loads(sys.argv[2]):
    sys.exit("the worker sees " + json.dumps(seen))
open("seen.txt", "w").write("the same")
"#;
    let mut order = order("dollars", "");
    order["spec"]["task"] = json!({"title": title, "body": body});
    order["spec"]["worker"]["env"] = json!([{"name": "PRICE", "value": environment}]);
    // What is expected is written without a dollar sign, so that nothing can change it on its way.
    let expected = serde_json::to_string(&texts)?.replace('$', "\\u0024");
    order["spec"]["worker"]["command"] = json!(["python3", "-c", script, argument, expected]);
    create(&namespace, &order).await?;
    let status = finished(&namespace, "dollars").await?;
    let seen = world(&namespace, "dollars-alpha").await?;
    assert_eq!(status.winner.as_deref(), Some("alpha"), "{:?} {:?}", status.message, seen.message);
    Ok(())
}
