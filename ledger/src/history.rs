//! History: what outlives the resources.

use jiff::Timestamp;

use crate::Ledger;
use crate::audit::AuditEntry;
use crate::error::LedgerError;
use crate::store::statement::{OnConflict, Row};
use crate::store::tables::{AUDIT, CHECKPOINTS, EXECUTION_RUNS, TASK_EXECUTIONS, Table, WORKTREES, WORLD_EXECUTIONS};
use crate::writer::Command;

/// One run of a WorkOrder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ExecutionRun {
    /// Uid of the order.
    pub id: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub work_order: String,
    /// What it is about.
    pub title: String,
    /// The repository, without a credential.
    pub repository: String,
    /// What was asked for.
    pub revision: String,
    /// The commit that it began with.
    pub base_commit: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The reason of its condition `Succeeded`.
    pub outcome: Option<String>,
    /// The World that won.
    pub winner: Option<String>,
}

/// One task of a run: the Worlds of a round, a council, a delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TaskExecution {
    /// Names it, such as `<uid of the order>/worlds/1`.
    pub id: String,
    /// The run.
    pub run: String,
    /// Which task.
    pub task: String,
    /// Which round, from 1.
    pub round: i64,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// One attempt of a World.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct WorldExecution {
    /// Names it: the uid of the World and the number of the attempt.
    pub id: String,
    /// The run.
    pub run: String,
    /// The task.
    pub task: Option<String>,
    /// Name of the World.
    pub world: String,
    /// Uid of the World.
    pub world_uid: String,
    /// Number of the attempt, from 1.
    pub attempt: i64,
    /// The variant.
    pub variant: String,
    /// Its model.
    pub model: Option<String>,
    /// Its temperature, as it was written.
    pub temperature: Option<String>,
    /// Its prompt, by name.
    pub prompt: Option<String>,
    /// Its pod.
    pub pod: Option<String>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Its points out of 100.
    pub score: Option<i64>,
    /// The commit that it left.
    pub result_commit: Option<String>,
}

/// How far an attempt had come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    /// Names it.
    pub id: String,
    /// The attempt.
    pub world_execution: String,
    /// The stage that was reached.
    pub stage: String,
    /// The commit.
    pub commit: Option<String>,
    /// When.
    pub made_at: Timestamp,
    /// What else is known.
    pub details: Option<String>,
}

/// A worktree that an attempt works in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Worktree {
    /// Names it.
    pub id: String,
    /// The attempt.
    pub world_execution: String,
    /// Where it is in the pod.
    pub path: String,
    /// On which node.
    pub node: Option<String>,
    /// The commit that it began with.
    pub base_commit: Option<String>,
    /// When it was made.
    pub made_at: Timestamp,
    /// When it went away.
    pub removed_at: Option<Timestamp>,
}

/// Something that is written down. Written again, it takes the place of what was there under its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HistoryRecord {
    /// Of the table `execution_runs`.
    Run(ExecutionRun),
    /// Of the table `task_executions`.
    Task(TaskExecution),
    /// Of the table `world_executions`.
    World(WorldExecution),
    /// Of the same, of which less is known now than when it may have been written: it is written only where it is not there.
    WorldIfAbsent(WorldExecution),
    /// Of the table `checkpoints`.
    Checkpoint(Checkpoint),
    /// Of the table `worktrees`.
    Worktree(Worktree),
    /// Of the table `audit`.
    Audit(AuditEntry),
}

impl Ledger {
    /// Writes records down, all or none.
    ///
    /// - **Guarantees:** one may refer to any other, before or behind it; of two with one name the later one stays.
    ///
    /// # Errors
    ///
    /// [`LedgerError`], also when one refers to what is not there.
    pub async fn record(&self, records: &[HistoryRecord]) -> Result<(), LedgerError> {
        self.writer.record(records, self.epoch()).await
    }

    /// Ends what has not ended of runs: themselves at `at`, and their tasks, attempts and worktrees when the run ended.
    ///
    /// - **Guarantees:** what has ended stays as it is.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn close_runs(&self, ids: Vec<String>, outcome: &str, at: Timestamp) -> Result<(), LedgerError> {
        if ids.is_empty() {
            return Ok(());
        }
        let outcome = outcome.to_owned();
        self.writer.ask(|reply| Command::CloseRuns { ids, outcome, at, reply }).await
    }

    /// Removes calls, audit entries and runs that ended before a time. Sums of budgets and of all calls stay.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn expire(&self, before: Timestamp, now: Timestamp) -> Result<u64, LedgerError> {
        self.writer.ask(|reply| Command::Expire { before, now, reply }).await
    }
}

fn moment(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::as_millisecond)
}

impl HistoryRecord {
    pub(crate) fn row(&self, epoch: i64) -> (&'static Table, OnConflict, Row) {
        let replaced = |table, row| (table, OnConflict::Replace, row);
        match self {
            Self::Run(run) => replaced(&EXECUTION_RUNS, run.row(epoch)),
            Self::Task(task) => replaced(&TASK_EXECUTIONS, task.row(epoch)),
            Self::World(world) => replaced(&WORLD_EXECUTIONS, world.row(epoch)),
            Self::WorldIfAbsent(world) => (&WORLD_EXECUTIONS, OnConflict::Keep, world.row(epoch)),
            Self::Checkpoint(checkpoint) => replaced(&CHECKPOINTS, checkpoint.row(epoch)),
            Self::Worktree(worktree) => replaced(&WORKTREES, worktree.row(epoch)),
            Self::Audit(entry) => (&AUDIT, OnConflict::Keep, entry.row(epoch)),
        }
    }
}

impl ExecutionRun {
    fn row(&self, epoch: i64) -> Row {
        vec![
            self.id.as_str().into(),
            epoch.into(),
            self.namespace.as_str().into(),
            self.work_order.as_str().into(),
            self.title.as_str().into(),
            self.repository.as_str().into(),
            self.revision.as_str().into(),
            self.base_commit.as_deref().into(),
            self.started_at.as_millisecond().into(),
            moment(self.finished_at).into(),
            self.outcome.as_deref().into(),
            self.winner.as_deref().into(),
        ]
    }
}

impl TaskExecution {
    fn row(&self, epoch: i64) -> Row {
        vec![
            self.id.as_str().into(),
            epoch.into(),
            self.run.as_str().into(),
            self.task.as_str().into(),
            self.round.into(),
            self.started_at.as_millisecond().into(),
            moment(self.finished_at).into(),
            self.outcome.as_deref().into(),
            self.reason.as_deref().into(),
        ]
    }
}

impl WorldExecution {
    fn row(&self, epoch: i64) -> Row {
        vec![
            self.id.as_str().into(),
            epoch.into(),
            self.run.as_str().into(),
            self.task.as_deref().into(),
            self.world.as_str().into(),
            self.world_uid.as_str().into(),
            self.attempt.into(),
            self.variant.as_str().into(),
            self.model.as_deref().into(),
            self.temperature.as_deref().into(),
            self.prompt.as_deref().into(),
            self.pod.as_deref().into(),
            moment(self.started_at).into(),
            moment(self.finished_at).into(),
            self.outcome.as_deref().into(),
            self.reason.as_deref().into(),
            self.score.into(),
            self.result_commit.as_deref().into(),
        ]
    }
}

impl Checkpoint {
    fn row(&self, epoch: i64) -> Row {
        vec![
            self.id.as_str().into(),
            epoch.into(),
            self.world_execution.as_str().into(),
            self.stage.as_str().into(),
            self.commit.as_deref().into(),
            self.made_at.as_millisecond().into(),
            self.details.as_deref().into(),
        ]
    }
}

impl Worktree {
    fn row(&self, epoch: i64) -> Row {
        vec![
            self.id.as_str().into(),
            epoch.into(),
            self.world_execution.as_str().into(),
            self.path.as_str().into(),
            self.node.as_deref().into(),
            self.base_commit.as_deref().into(),
            self.made_at.as_millisecond().into(),
            moment(self.removed_at).into(),
        ]
    }
}

impl AuditEntry {
    fn row(&self, epoch: i64) -> Row {
        vec![
            self.id.as_str().into(),
            epoch.into(),
            self.at.as_millisecond().into(),
            self.order_uid.as_deref().into(),
            self.stage.as_str().into(),
            self.result.as_str().into(),
            self.details.as_str().into(),
            self.counts.as_str().into(),
            self.size_before.into(),
            self.size_after.into(),
            self.retry_count.into(),
            self.failure_reason.as_deref().into(),
        ]
    }
}
