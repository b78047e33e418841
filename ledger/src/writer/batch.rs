//! One transaction for a batch of commands.

use jiff::Timestamp;
use sqlx::{AnyConnection, Connection};

use super::audit_entry::audit_entry;
use super::changed_rows::ChangedRows;
use super::close_runs::close_runs;
use super::load::{load_open_reservations, load_rows};
use super::prepared_statements::PreparedStatements;
use super::recovery::{Recovery, with_timeout};
use crate::audit::entry::AuditStage;
use crate::audit::log::AuditLog;
use crate::call::{CallId, SettleResult};
use crate::command::{Command, CommandResult};
use crate::error::LedgerError;
use crate::state::{Changes, LedgerState};
use crate::store::backend::Backend;
use crate::store::database::WritingConnection;
use crate::store::rows::RESERVATIONS;
use crate::store::statement::insert_all;
use crate::store::table::column;
use crate::totals::{self, RunningTotals};

/// The most rows that stay in memory from one transaction to the next.
const MAX_CACHED_ROWS: usize = 20_000;

/// Carries out batches of commands on the writing connection.
pub(super) struct Batches {
    connection: WritingConnection,
    recovery: Recovery,
    epoch: i64,
    /// What the rows say. PostgreSQL has other writers, so there it is valid for one transaction only.
    state: LedgerState,
    /// Only on SQLite.
    prepared_statements: Option<PreparedStatements>,
    audit: AuditLog,
    running_totals: RunningTotals,
}

impl Batches {
    pub(super) async fn new(
        connection: WritingConnection,
        recovery: Recovery,
        epoch: i64,
        audit: AuditLog,
        running_totals: RunningTotals,
    ) -> Result<Self, LedgerError> {
        let prepared_statements = match &connection.file {
            Some(file) => Some(PreparedStatements::open(file).await?),
            None => None,
        };
        let state = LedgerState::default();
        Ok(Self { connection, recovery, epoch, state, prepared_statements, audit, running_totals })
    }

    /// Carries out commands and answers them: in one transaction if possible, else each in its own.
    pub(super) async fn run(&mut self, commands: Vec<Command>) {
        if commands.is_empty() {
            return;
        }
        match self.attempt(&commands).await {
            Ok(answers) => commands.into_iter().zip(answers).for_each(|(command, answer)| command.answer(Ok(answer))),
            Err(error) if commands.len() == 1 || error.is_independent_of_command() => refuse(commands, &error),
            Err(_) => self.run_each(commands).await,
        }
    }

    /// Carries out each command in its own transaction, so that one that fails does not take the others with it.
    async fn run_each(&mut self, commands: Vec<Command>) {
        let mut left = commands.into_iter();
        while let Some(one) = left.next() {
            let answer = self.attempt(std::slice::from_ref(&one)).await;
            let for_all = answer.as_ref().err().filter(|error| error.is_independent_of_command()).cloned();
            one.answer(answer.map(|mut answers| answers.pop().unwrap_or(CommandResult::Done)));
            if let Some(error) = for_all {
                return refuse(left, &error);
            }
        }
    }

    pub(super) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.connection.connection
    }

    /// Extends the lease of this process in a PostgreSQL store.
    pub(super) async fn heartbeat(&mut self, now: Timestamp) -> Result<(), LedgerError> {
        self.recovery.restore(&mut self.connection).await?;
        let shown = with_timeout(self.connection.heartbeat(self.epoch, now)).await;
        if let Err(error) = &shown {
            self.recovery.survived(error, &mut self.connection).await;
        }
        shown
    }

    pub(super) async fn close(&mut self, now: Timestamp) -> Result<(), LedgerError> {
        self.prepared_statements = None;
        self.recovery.restore(&mut self.connection).await?;
        with_timeout(self.connection.end(self.epoch, now)).await
    }

    /// Carries out commands in one transaction, and once more where PostgreSQL's connection broke meanwhile. They may have been
    /// committed before it did; calls and rows have names, so that a repetition changes nothing then.
    async fn attempt(&mut self, commands: &[Command]) -> Result<Vec<CommandResult>, LedgerError> {
        if self.connection.backend == Backend::Sqlite {
            return self.transact(commands).await;
        }
        let mut is_first = true;
        loop {
            self.recovery.restore(&mut self.connection).await?;
            let error = match with_timeout(self.transact(commands)).await {
                Ok(answers) => return Ok(answers),
                Err(error) => error,
            };
            // The callers have waited for as long as a transaction may take.
            let is_late = matches!(error, LedgerError::Unreachable(_));
            if self.recovery.survived(&error, &mut self.connection).await || is_late {
                return Err(error);
            }
            if !is_first {
                return Err(LedgerError::Unreachable(error.to_string()));
            }
            is_first = false;
        }
    }

    async fn transact(&mut self, commands: &[Command]) -> Result<Vec<CommandResult>, LedgerError> {
        let Self { connection, recovery, epoch, state, prepared_statements, audit, running_totals } = self;
        let backend = connection.backend;
        if backend == Backend::Postgres || state.balances.len() + state.open.len() > MAX_CACHED_ROWS {
            *state = LedgerState::default();
        }
        let connection = &mut connection.connection;
        let answers = match prepared_statements {
            Some(prepared_statements) if commands.iter().all(Command::is_of_calls) => {
                in_prepared_statements(connection, prepared_statements, *epoch, state, commands).await
            }
            _ => in_steps(connection, backend, *epoch, state, commands).await,
        };
        let (answers, changes) = match answers {
            Ok(answered) => answered,
            Err(error) => {
                // What is in memory may not be what is in the store.
                *state = LedgerState::default();
                if matches!(error, LedgerError::Faulted) {
                    recovery.give_up(&error);
                }
                return Err(error);
            }
        };
        changes.settled.values().filter_map(audit_entry).for_each(|entry| audit.add(AuditStage::Call, entry));
        // A recovery reads the sums of other processes as well.
        if commands.iter().any(|command| matches!(command, Command::Recover(..))) {
            match totals::read(connection).await {
                Ok(totals) => running_totals.begin(totals),
                Err(error) => {
                    tracing::warn!(%error, "the sums of all calls could not be read; metrics do not show them");
                }
            }
        } else {
            running_totals.count(changes.settled.values());
        }
        Ok(answers)
    }
}

fn refuse(commands: impl IntoIterator<Item = Command>, error: &LedgerError) {
    commands.into_iter().for_each(|command| command.answer(Err(error.clone())));
}

/// Carries out commands in a transaction of several statements.
async fn in_steps(
    connection: &mut AnyConnection,
    backend: Backend,
    epoch: i64,
    state: &mut LedgerState,
    commands: &[Command],
) -> Result<(Vec<CommandResult>, Changes), LedgerError> {
    let mut transaction = connection.begin().await?;
    let (answers, changes) = decide_all(&mut transaction, backend, epoch, state, commands).await?;
    ChangedRows::of(state, &changes, epoch)?.write(&mut transaction).await?;
    transaction.commit().await?;
    Ok((answers, changes))
}

/// Carries out commands about calls by the prepared statements. There is no other writer, so that reading needs no transaction,
/// and mostly nothing has to be read.
async fn in_prepared_statements(
    connection: &mut AnyConnection,
    prepared_statements: &PreparedStatements,
    epoch: i64,
    state: &mut LedgerState,
    commands: &[Command],
) -> Result<(Vec<CommandResult>, Changes), LedgerError> {
    let (answers, changes) = decide_all(connection, Backend::Sqlite, epoch, state, commands).await?;
    prepared_statements.commit(ChangedRows::of(state, &changes, epoch)?).await?;
    Ok((answers, changes))
}

/// Lets the state decide on all commands, after the rows that it lacks were loaded.
async fn decide_all(
    connection: &mut AnyConnection,
    backend: Backend,
    epoch: i64,
    state: &mut LedgerState,
    commands: &[Command],
) -> Result<(Vec<CommandResult>, Changes), LedgerError> {
    WritingConnection::guard(connection, backend, epoch).await?;
    let recovers = commands.iter().any(|command| matches!(command, Command::Recover(..)));
    let lost = if recovers { lost_calls(connection).await? } else { Vec::new() };
    if backend == Backend::Sqlite && !state.is_complete {
        load_open_reservations(connection, state).await?;
    }
    load_rows(connection, state, commands, &lost).await?;
    let mut answers = Vec::with_capacity(commands.len());
    for command in commands {
        answers.push(match command {
            Command::Reserve(reservation, _) => CommandResult::Reserve(state.reserve(reservation, epoch)),
            Command::Settle(call, settlement, _) => CommandResult::Settle(state.settle(call, **settlement)),
            Command::Release(call, now, _) => CommandResult::Settle(state.release(call, *now)),
            Command::UpstreamLimits { provider, now, limits, not_before, reply: _ } => {
                state.record_upstream_limits(provider, *now, limits, *not_before);
                CommandResult::Done
            }
            Command::Recover(now, _) => {
                let settled = lost.iter().filter(|call| state.settle_lost(call, *now) != SettleResult::AlreadySettled);
                CommandResult::Count(u64::try_from(settled.count()).unwrap_or(u64::MAX))
            }
            Command::Insert(insertions, _) => {
                insert_all(connection, insertions).await?;
                CommandResult::Done
            }
            Command::CloseRuns { ids, outcome, at, reply: _ } => {
                close_runs(connection, ids, outcome, *at).await?;
                CommandResult::Done
            }
            Command::Expire { before, now, reply: _ } => {
                CommandResult::Count(totals::expire(connection, epoch, *before, *now).await?)
            }
            Command::Close(_) => CommandResult::Done,
        });
    }
    Ok((answers, state.take_changes()))
}

async fn lost_calls(connection: &mut AnyConnection) -> Result<Vec<CallId>, LedgerError> {
    let sql = "SELECT id FROM reservations WHERE epoch IN (SELECT epoch FROM epochs WHERE ended_at IS NOT NULL)";
    let rows = sqlx::query(sql).fetch_all(connection).await?;
    rows.iter().map(|row| column(row, 0, &RESERVATIONS, "id")).collect()
}
