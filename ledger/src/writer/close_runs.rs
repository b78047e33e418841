//! Closes runs whose orders are gone or over: whatever of them has not ended ends with them.

use jiff::Timestamp;
use sqlx::{AnyConnection, AssertSqlSafe};

use crate::error::LedgerError;
use crate::store::statement::{chunks, placeholders};

/// Closes runs at `at` where they have not ended, and their tasks, attempts and worktrees at the end of the run.
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

/// Returns the statements that close so many runs, their worktrees, attempts and tasks. Their values are the ids of the runs,
/// then the outcome, then the time.
fn statements(runs: usize) -> [String; 4] {
    let (ids, outcome, at) = (placeholders(runs), runs + 1, runs + 2);
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
