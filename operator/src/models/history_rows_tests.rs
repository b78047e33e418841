use manyworlds_planner::observation::PodPhase;
use serde_json::{Value, json};

use super::*;
use crate::index::fixtures::{at_work, judged, order, world};

const MADE: &str = "2026-01-01T00:00:00Z";

fn conditions(true_ones: &[(&str, &str, &str)]) -> Value {
    let condition = |(kind, reason, at): &(&str, &str, &str)| json!({ "type": kind, "status": "True", "reason": reason, "message": "", "lastTransitionTime": at });
    true_ones.iter().map(condition).collect()
}

/// A World whose first attempt failed and whose second one has a score.
pub(crate) fn scored() -> Value {
    let attempt = |number: i32, class: Option<&str>, from: &str, to: &str| {
        json!({
            "number": number, "pod": format!("fix-alpha-{number}"), "node": "n1", "class": class,
            "reason": if class.is_some() { "WorkerFailed" } else { "Completed" },
            "message": if class.is_some() { "exit code 2" } else { "" }, "startTime": from, "finishTime": to,
        })
    };
    json!({
        "stage": "Scored", "attemptCount": 2, "baseCommit": "b0", "commit": "c1", "score": { "total": 90 },
        "attempts": [
            attempt(1, Some("Worker"), "2026-01-01T00:00:02Z", "2026-01-01T00:00:10Z"),
            attempt(2, None, "2026-01-01T00:00:12Z", "2026-01-01T00:00:40Z"),
        ],
        "conditions": conditions(&[
            ("Prepared", "Completed", "2026-01-01T00:00:14Z"), ("Worked", "Completed", "2026-01-01T00:00:30Z"),
            ("Evaluated", "Completed", "2026-01-01T00:00:40Z"), ("Finished", "Completed", "2026-01-01T00:00:40Z"),
        ]),
    })
}

pub(crate) fn running() -> Value {
    json!({ "startTime": "2026-01-01T00:00:01Z", "baseCommit": "b0" })
}

pub(crate) fn won() -> Value {
    let at = "2026-01-01T00:01:00Z";
    let all =
        [("Evaluated", "EarlyTermination", at), ("Succeeded", "HighestScore", at), ("Finished", "HighestScore", at)];
    json!({
        "startTime": "2026-01-01T00:00:01Z", "completionTime": at, "baseCommit": "b0", "winner": "alpha",
        "conditions": conditions(&all),
    })
}

pub(crate) fn cut() -> Value {
    json!({ "stage": "Cut", "conditions": conditions(&[("Finished", "Cut", "2026-01-01T00:00:59Z")]) })
}

fn all(order: &Stored<WorkOrder>, worlds: Vec<Stored<World>>) -> Vec<HistoryRecord> {
    let worlds: Vec<_> = worlds.into_iter().map(Arc::new).collect();
    rows(&OrderView { order, worlds: &worlds, pods: &[] })
}

fn executions(rows: &[HistoryRecord]) -> Vec<&WorldExecution> {
    rows.iter().filter_map(|row| if let HistoryRecord::World(world) = row { Some(world) } else { None }).collect()
}

/// Returns the status of a World that runs again by a fallback, with another model, after `attempts` of those of [`scored`].
pub(crate) fn again(attempts: usize) -> Value {
    let mut status = scored();
    status["fallback"] = json!({ "number": 1, "afterAttempt": attempts, "model": "other" });
    if attempts == 2 {
        for gone in ["score", "commit", "conditions"] {
            status.as_object_mut().unwrap().remove(gone);
        }
        status["stage"] = json!("Waiting");
    }
    status
}

fn checkpoints(rows: &[HistoryRecord]) -> Vec<&str> {
    rows.iter()
        .filter_map(|row| if let HistoryRecord::Checkpoint(one) = row { Some(one.id.as_str()) } else { None })
        .collect()
}

fn at(second: i64) -> Timestamp {
    MADE.parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_secs(second)
}

#[test]
fn an_order_that_waits_is_a_run_and_nothing_else() {
    let rows = all(&order(Value::Null), vec![]);
    let [HistoryRecord::Run(run)] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((run.id.as_str(), run.namespace.as_str(), run.work_order.as_str()), ("o", "team", "fix"));
    assert_eq!((run.started_at, run.finished_at, run.outcome.as_deref()), (at(0), None, None));
}

#[test]
fn each_attempt_is_a_row_with_what_it_left() {
    let rows = all(&order(running()), vec![world("beta", 1, Value::Null), world("alpha", 0, scored())]);
    let executions = executions(&rows);
    let ids: Vec<_> = executions.iter().map(|world| world.id.as_str()).collect();
    assert_eq!(ids, ["w-alpha/1", "w-alpha/2", "w-beta/1"]);
    let [first, second, other] = executions.as_slice() else { panic!("{executions:?}") };
    assert_eq!(
        (first.outcome.as_deref(), first.reason.as_deref()),
        (Some("Worker"), Some("WorkerFailed: exit code 2"))
    );
    assert_eq!((first.score, first.result_commit.as_deref()), (None, None), "what another attempt left is not its own");
    assert_eq!((second.score, second.result_commit.as_deref()), (Some(90), Some("c1")));
    assert_eq!((second.started_at, second.finished_at), (Some(at(12)), Some(at(40))));
    assert_eq!((other.pod.as_deref(), other.started_at, other.finished_at), (Some("fix-beta-1"), Some(at(1)), None));
    assert_eq!((other.temperature.as_deref(), other.prompt.as_deref()), (Some("0.2"), Some("careful")));
    assert_eq!(
        checkpoints(&rows),
        [
            "w-alpha/1/WorldsSpawned",
            "w-alpha/2/WorldsSpawned",
            "w-alpha/2/WorktreeCreated",
            "w-alpha/2/WorldCompleted",
            "w-alpha/2/EvaluationDone",
            "w-beta/1/WorldsSpawned"
        ]
    );
    let tree = |row: &HistoryRecord| if let HistoryRecord::Worktree(tree) = row { Some(tree.clone()) } else { None };
    let trees: Vec<_> = rows.iter().filter_map(tree).collect();
    assert_eq!(trees.iter().map(|tree| tree.id.as_str()).collect::<Vec<_>>(), ["w-alpha/1/tree", "w-alpha/2/tree"]);
    assert_eq!(trees[1].path, "/manyworlds/work/worktrees/world-alpha/fix");
    assert_eq!((trees[1].node.as_deref(), trees[1].removed_at), (Some("n1"), Some(at(40))));
}

/// W11: what an attempt has reached is in the history from the pod that reached it, before any status says so.
#[test]
fn an_attempt_has_the_points_of_the_pod_that_works_and_of_the_one_that_judges() {
    let ended = |second: i64| StageState::Ended {
        exit_code: 0,
        reason: String::new(),
        message: String::new(),
        started: None,
        finished: Some(at(second)),
    };
    let (mut work, mut first, mut second) = (at_work(), judged(), judged());
    work.stages.set("work", ended(8));
    work.stages.set("collect", ended(9));
    first.phase = PodPhase::Failed;
    (second.id.name, second.id.uid, second.number) = ("fix-alpha-1-e2".parse().unwrap(), "e2".parse().unwrap(), 2);
    second.stages.set("judge", ended(20));
    let (order, worlds) = (order(running()), [Arc::new(world("alpha", 0, Value::Null))]);
    let pods = [work, first, second].map(Arc::new);
    let rows = rows(&OrderView { order: &order, worlds: &worlds, pods: &pods });
    assert_eq!(
        checkpoints(&rows),
        [
            "w-alpha/1/WorldsSpawned",
            "w-alpha/1/WorktreeCreated",
            "w-alpha/1/WorldCompleted",
            "w-alpha/1/EvaluationDone"
        ]
    );
    let [execution] = executions(&rows)[..] else { panic!("{rows:?}") };
    assert_eq!(execution.pod.as_deref(), Some("fix-alpha-1"), "the attempt is one row, whatever it took");
}

#[test]
fn a_row_refers_only_to_rows_before_it() {
    let rows = all(&order(won()), vec![world("alpha", 0, scored()), world("beta", 1, cut())]);
    let mut known = vec![];
    for row in &rows {
        let (id, refers): (&str, Vec<&str>) = match row {
            HistoryRecord::Run(run) => (&run.id, vec![]),
            HistoryRecord::Task(task) => (&task.id, vec![&task.run]),
            HistoryRecord::World(world) | HistoryRecord::WorldIfAbsent(world) => {
                (&world.id, vec![&world.run, world.task.as_ref().unwrap()])
            }
            HistoryRecord::Checkpoint(one) => (&one.id, vec![&one.world_execution]),
            HistoryRecord::Worktree(one) => (&one.id, vec![&one.world_execution]),
            HistoryRecord::Audit(_) => panic!("history writes no audit"),
        };
        assert!(refers.iter().all(|name| known.contains(name)), "{row:?}");
        assert!(!known.contains(&id), "{id} is there twice");
        known.push(id);
    }
}

#[test]
fn an_order_that_is_over_names_its_winner_and_what_was_cut() {
    let order = order(won());
    let rows = all(&order, vec![world("alpha", 0, scored()), world("beta", 1, cut())]);
    let HistoryRecord::Run(run) = &rows[0] else { panic!("{rows:?}") };
    assert_eq!((run.outcome.as_deref(), run.winner.as_deref()), (Some("HighestScore"), Some("alpha")));
    assert_eq!((run.finished_at, finished(&order)), (Some(at(60)), Some(at(60))));
    let HistoryRecord::Task(task) = &rows[1] else { panic!("{rows:?}") };
    assert_eq!((task.outcome.as_deref(), task.reason.as_deref()), (Some("Evaluated"), Some("EarlyTermination")));
    let beta = *executions(&rows).last().unwrap();
    assert_eq!((beta.outcome.as_deref(), beta.finished_at), (Some("Cut"), Some(at(59))));
    let merge: Vec<_> = checkpoints(&rows).into_iter().filter(|id| id.ends_with("/MergeReady")).collect();
    assert_eq!(merge, ["w-alpha/2/MergeReady"]);
}

#[test]
fn attempts_before_a_fallback_are_not_written_over() {
    let rows = all(&order(running()), vec![world("alpha", 0, again(1))]);
    let earlier =
        rows.iter().find_map(|row| if let HistoryRecord::WorldIfAbsent(world) = row { Some(world) } else { None });
    let earlier = earlier.map(|world| (world.id.as_str(), world.model.as_deref(), world.temperature.as_deref()));
    assert_eq!(earlier, Some(("w-alpha/1", Some("m"), Some("0.2"))));
    let [later] = executions(&rows)[..] else { panic!("{rows:?}") };
    assert_eq!(
        (later.id.as_str(), later.model.as_deref(), later.temperature.as_deref()),
        ("w-alpha/2", Some("other"), None)
    );
}

#[test]
fn worlds_of_an_earlier_order_of_the_same_name_are_not_its_own() {
    let mut stale = world("alpha", 0, scored());
    stale.object_mut().spec.order.uid = "earlier".to_owned();
    assert_eq!(all(&order(running()), vec![stale]).len(), 1);
}
