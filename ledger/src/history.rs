//! The history of runs: what outlives the resources.

use jiff::Timestamp;

use crate::audit::entry::{AUDIT, AuditEntry};
use crate::error::LedgerError;
use crate::store::statement::{Insertion, OnConflict};
use crate::store::table::{Column, Table, TableRow, Values, column_name, table};
use crate::store::value::{Field, Row};

table! {
    EXECUTION_RUNS = "execution_runs", sums [];
    /// One run of a WorkOrder.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
    pub struct ExecutionRun {
        key {
            /// Uid of the order.
            id: String,
        }
        columns {
            /// Its namespace.
            namespace: String,
            /// Its name.
            work_order: String,
            /// Its title.
            title: String,
            /// The repository, without a credential.
            repository: String,
            /// The revision that the order names.
            revision: String,
            /// The commit that it started from.
            base_commit: Option<String>,
            /// Its start.
            started_at: Timestamp,
            /// Its end.
            finished_at: Option<Timestamp>,
            /// The reason of its condition `Succeeded`.
            outcome: Option<String>,
            /// The World that won.
            winner: Option<String>,
        }
    }
}

table! {
    TASK_EXECUTIONS = "task_executions", sums [];
    /// One task of a run: the Worlds of a round, a council, a delivery.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
    pub struct TaskExecution {
        key {
            /// Its key, such as `<uid of the order>/worlds/1`.
            id: String,
        }
        columns {
            /// The run.
            run as run_id: String,
            /// The task.
            task: String,
            /// The round, from 1.
            round: i64,
            /// Its start.
            started_at: Timestamp,
            /// Its end.
            finished_at: Option<Timestamp>,
            /// Its outcome.
            outcome: Option<String>,
            /// The reason of its outcome.
            reason: Option<String>,
        }
    }
}

table! {
    WORLD_EXECUTIONS = "world_executions", sums ["attempt"];
    /// One attempt of a World.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
    pub struct WorldExecution {
        key {
            /// Its key: the uid of the World and the number of the attempt.
            id: String,
        }
        columns {
            /// The run.
            run as run_id: String,
            /// The task.
            task as task_id: Option<String>,
            /// Name of the World.
            world: String,
            /// Uid of the World.
            world_uid: String,
            /// Number of the attempt, from 1.
            attempt: i64,
            /// The variant.
            variant: String,
            /// Its model.
            model: Option<String>,
            /// Its temperature, as the order writes it.
            temperature: Option<String>,
            /// The name of its prompt.
            prompt: Option<String>,
            /// Its pod.
            pod: Option<String>,
            /// Its start.
            started_at: Option<Timestamp>,
            /// Its end.
            finished_at: Option<Timestamp>,
            /// Its outcome.
            outcome: Option<String>,
            /// The reason of its outcome.
            reason: Option<String>,
            /// Its points, 0 to 100.
            score: Option<i64>,
            /// The commit of its result.
            result_commit: Option<String>,
        }
    }
}

table! {
    CHECKPOINTS = "checkpoints", sums [];
    /// A point that an attempt reached.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Checkpoint {
        key {
            /// Its key.
            id: String,
        }
        columns {
            /// The attempt.
            world_execution as world_execution_id: String,
            /// The name of the point.
            stage: String,
            /// The commit at that point.
            commit as commit_id: Option<String>,
            /// The time.
            made_at: Timestamp,
            /// Further details, as JSON.
            details: Option<String>,
        }
    }
}

table! {
    WORKTREES = "worktrees", sums [];
    /// The worktree of an attempt.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Worktree {
        key {
            /// Its key.
            id: String,
        }
        columns {
            /// The attempt.
            world_execution as world_execution_id: String,
            /// Its path in the pod.
            path: String,
            /// The node of the pod.
            node: Option<String>,
            /// The commit that it started from.
            base_commit: Option<String>,
            /// The time at which it was made.
            made_at: Timestamp,
            /// The time at which it was removed.
            removed_at: Option<Timestamp>,
        }
    }
}

/// A row of history. Written again, it replaces the row with the same key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HistoryRecord {
    /// Of the table `execution_runs`.
    Run(ExecutionRun),
    /// Of the table `task_executions`.
    Task(TaskExecution),
    /// Of the table `world_executions`.
    World(WorldExecution),
    /// Of the same table, written only where there is no row with its key: less is known now than when that row was written.
    WorldIfAbsent(WorldExecution),
    /// Of the table `checkpoints`.
    Checkpoint(Checkpoint),
    /// Of the table `worktrees`.
    Worktree(Worktree),
    /// Of the table `audit`.
    Audit(AuditEntry),
}

impl HistoryRecord {
    /// Returns the row, its table, and what becomes of a row with the same key.
    pub(crate) fn insertion(&self, epoch: i64) -> Result<Insertion, LedgerError> {
        Ok(match self {
            Self::Run(run) => replaced(&EXECUTION_RUNS, run.clone().into_values(epoch)?),
            Self::Task(task) => replaced(&TASK_EXECUTIONS, task.clone().into_values(epoch)?),
            Self::World(world) => replaced(&WORLD_EXECUTIONS, world.clone().into_values(epoch)?),
            Self::WorldIfAbsent(world) => kept(&WORLD_EXECUTIONS, world.clone().into_values(epoch)?),
            Self::Checkpoint(checkpoint) => replaced(&CHECKPOINTS, checkpoint.clone().into_values(epoch)?),
            Self::Worktree(worktree) => replaced(&WORKTREES, worktree.clone().into_values(epoch)?),
            Self::Audit(entry) => kept(&AUDIT, entry.clone().into_values(epoch)?),
        })
    }
}

fn replaced(table: &'static Table, row: Row) -> Insertion {
    Insertion { table, on_conflict: OnConflict::Replace, row }
}

fn kept(table: &'static Table, row: Row) -> Insertion {
    Insertion { table, on_conflict: OnConflict::Keep, row }
}
