//! The end of runs whose orders have nothing more to say: what of them has not ended yet ends with them.

use jiff::Timestamp;
use sqlx::{AnyConnection, AssertSqlSafe};

use crate::error::LedgerError;
use crate::store::statement::{chunks, places};

/// Ends runs at `at` where they have not ended, and what belongs to them when they did.
pub(super) async fn close_runs(
    connection: &mut AnyConnection,
    ids: &[String],
    outcome: &str,
    at: Timestamp,
) -> Result<(), LedgerError> {
    for ids in chunks(ids) {
        let [runs, worktrees, attempts, tasks] = statements(ids.len());
        let of_ids = |sql| ids.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, id| query.bind(id.clone()));
        of_ids(runs).bind(outcome.to_owned()).bind(at.as_millisecond()).execute(&mut *connection).await?;
        of_ids(worktrees).execute(&mut *connection).await?;
        of_ids(attempts).bind(outcome.to_owned()).execute(&mut *connection).await?;
        of_ids(tasks).bind(outcome.to_owned()).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Returns what ends so many runs, their worktrees, attempts and tasks. Behind the runs' ids come the outcome and the time.
fn statements(runs: usize) -> [String; 4] {
    let (ids, outcome, at) = (places(runs), runs + 1, runs + 2);
    let of_runs = |table: &str| {
        format!(
            "UPDATE {table} SET outcome = ${outcome}, finished_at = \
             (SELECT run.finished_at FROM execution_runs AS run WHERE run.id = {table}.run_id) \
             WHERE finished_at IS NULL AND run_id IN ({ids})"
        )
    };
    [
        format!(
            "UPDATE execution_runs SET outcome = ${outcome}, finished_at = ${at} \
             WHERE finished_at IS NULL AND id IN ({ids})"
        ),
        format!(
            "UPDATE worktrees SET removed_at = (SELECT run.finished_at FROM execution_runs AS run \
             JOIN world_executions AS attempt ON attempt.run_id = run.id WHERE attempt.id = world_execution_id) \
             WHERE removed_at IS NULL AND world_execution_id IN \
             (SELECT id FROM world_executions WHERE run_id IN ({ids}))"
        ),
        of_runs("world_executions"),
        of_runs("task_executions"),
    ]
}
