//! One transaction for all that was asked.

use jiff::Timestamp;
use sqlx::{AnyConnection, Connection, Row as _};

use super::changed_rows::{ChangedRows, audit_entry_of};
use super::close_runs::close_runs;
use super::load::{load_open_reservations, load_rows};
use super::recovery::{Recovery, in_time};
use super::single_statement::SingleStatement;
use super::{Command, Reply};
use crate::audit::{AuditLog, AuditStage};
use crate::call::{CallId, ReserveResult, SettleResult};
use crate::error::LedgerError;
use crate::state::{Changes, LedgerState};
use crate::store::statement;
use crate::store::{Backend, WritingConnection};
use crate::totals::{self, RunningTotals};

/// More than this is not kept in memory from one transaction to the next.
const MAX_CACHED_ROWS: usize = 20_000;

pub(super) struct Batches {
    connection: WritingConnection,
    recovery: Recovery,
    epoch: i64,
    /// What the rows say. On PostgreSQL others write too, so it holds for one transaction only.
    state: LedgerState,
    /// On SQLite.
    single_statement: Option<SingleStatement>,
    audit: AuditLog,
    running_totals: RunningTotals,
}

/// An answer that is given when the transaction has been committed.
enum CommandResult {
    Reserve(ReserveResult),
    Settle(SettleResult),
    Count(u64),
    Done,
}

impl Batches {
    pub(super) async fn new(
        mut connection: WritingConnection,
        recovery: Recovery,
        epoch: i64,
        audit: AuditLog,
        running_totals: RunningTotals,
    ) -> Result<Self, LedgerError> {
        let single_statement = match connection.backend {
            Backend::Sqlite => Some(SingleStatement::prepare(&mut connection.connection).await?),
            Backend::Postgres => None,
        };
        Ok(Self { connection, recovery, epoch, state: LedgerState::default(), single_statement, audit, running_totals })
    }

    /// Answers all, in one transaction if that can be, else each in its own.
    pub(super) async fn run(&mut self, asked: Vec<Command>) {
        if asked.is_empty() {
            return;
        }
        match self.attempt(&asked).await {
            Ok(answers) => asked.into_iter().zip(answers).for_each(|(asked, answer)| asked.answer(Ok(answer))),
            Err(error) if asked.len() == 1 || error.is_of_all() => refuse(asked, &error),
            Err(_) => self.run_each(asked).await,
        }
    }

    /// One that cannot be written must not take the others with it.
    async fn run_each(&mut self, asked: Vec<Command>) {
        let mut left = asked.into_iter();
        while let Some(one) = left.next() {
            let answer = self.attempt(std::slice::from_ref(&one)).await;
            let of_all = answer.as_ref().err().filter(|error| error.is_of_all()).cloned();
            one.answer(answer.map(|mut answers| answers.pop().unwrap_or(CommandResult::Done)));
            if let Some(error) = of_all {
                return refuse(left, &error);
            }
        }
    }

    pub(super) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.connection.connection
    }

    /// AuditReceiver in a PostgreSQL store that this process lives.
    pub(super) async fn heartbeat(&mut self, now: Timestamp) -> Result<(), LedgerError> {
        self.recovery.restore(&mut self.connection).await?;
        let shown = in_time(self.connection.heartbeat(self.epoch, now)).await;
        if let Err(error) = &shown {
            self.recovery.stands_after(error, &mut self.connection).await;
        }
        shown
    }

    pub(super) async fn close(&mut self, now: Timestamp) -> Result<(), LedgerError> {
        self.recovery.restore(&mut self.connection).await?;
        in_time(self.connection.end(self.epoch, now)).await
    }

    /// Writes, and once more where PostgreSQL's connection broke meanwhile. What was asked may have been committed before it did:
    /// calls and rows have names, so that asking again changes nothing then.
    async fn attempt(&mut self, asked: &[Command]) -> Result<Vec<CommandResult>, LedgerError> {
        if self.connection.backend == Backend::Sqlite {
            return self.transact(asked).await;
        }
        let mut is_first = true;
        loop {
            self.recovery.restore(&mut self.connection).await?;
            let error = match in_time(self.transact(asked)).await {
                Ok(answers) => return Ok(answers),
                Err(error) => error,
            };
            // Whoever has waited for as long as a transaction may take waits no longer.
            let is_late = matches!(error, LedgerError::Unreachable(_));
            if self.recovery.stands_after(&error, &mut self.connection).await || is_late {
                return Err(error);
            }
            if !is_first {
                return Err(LedgerError::Unreachable(error.to_string()));
            }
            is_first = false;
        }
    }

    async fn transact(&mut self, asked: &[Command]) -> Result<Vec<CommandResult>, LedgerError> {
        let Self { connection, recovery: _, epoch, state, single_statement, audit, running_totals } = self;
        let backend = connection.backend;
        if backend == Backend::Postgres || state.accounts.len() + state.held.len() > MAX_CACHED_ROWS {
            *state = LedgerState::default();
        }
        let connection = &mut connection.connection;
        let answers = match single_statement {
            Some(single_statement) if asked.iter().all(Command::is_of_calls) => {
                at_once(connection, single_statement, *epoch, state, asked).await
            }
            _ => in_steps(connection, backend, *epoch, state, asked).await,
        };
        let (answers, changes) = match answers {
            Ok(answered) => answered,
            Err(error) => {
                // What is in memory may not be what is in the store.
                *state = LedgerState::default();
                return Err(error);
            }
        };
        changes.settled.values().filter_map(audit_entry_of).for_each(|entry| audit.note(AuditStage::Call, entry));
        // Whoever recovers what others left looks at what they have counted, too.
        if asked.iter().any(|asked| matches!(asked, Command::Recover(..))) {
            match totals::read(connection).await {
                Ok(totals) => running_totals.begin(totals),
                Err(error) => tracing::warn!(%error, "what calls came to could not be read; metrics do not show it"),
            }
        } else {
            running_totals.count(changes.settled.values());
        }
        Ok(answers)
    }
}

fn refuse(asked: impl IntoIterator<Item = Command>, error: &LedgerError) {
    asked.into_iter().for_each(|asked| asked.answer(Err(error.clone())));
}

/// Writes in a transaction of several statements.
async fn in_steps(
    connection: &mut AnyConnection,
    backend: Backend,
    epoch: i64,
    state: &mut LedgerState,
    asked: &[Command],
) -> Result<(Vec<CommandResult>, Changes), LedgerError> {
    let mut transaction = connection.begin().await?;
    let (answers, changes) = answer_all(&mut transaction, backend, epoch, state, asked).await?;
    ChangedRows::of(state, &changes, epoch)?.write(&mut transaction).await?;
    transaction.commit().await?;
    Ok((answers, changes))
}

/// Writes all in one go. Nobody else writes, so that what is read needs no transaction, and mostly nothing has to be read.
async fn at_once(
    connection: &mut AnyConnection,
    single_statement: &SingleStatement,
    epoch: i64,
    state: &mut LedgerState,
    asked: &[Command],
) -> Result<(Vec<CommandResult>, Changes), LedgerError> {
    let (answers, changes) = answer_all(connection, Backend::Sqlite, epoch, state, asked).await?;
    single_statement.commit(connection, &ChangedRows::of(state, &changes, epoch)?).await?;
    Ok((answers, changes))
}

/// Answers what is asked by the state, which is filled with what it does not hold yet.
async fn answer_all(
    connection: &mut AnyConnection,
    backend: Backend,
    epoch: i64,
    state: &mut LedgerState,
    asked: &[Command],
) -> Result<(Vec<CommandResult>, Changes), LedgerError> {
    WritingConnection::guard(connection, backend, epoch).await?;
    let recovers = asked.iter().any(|asked| matches!(asked, Command::Recover(..)));
    let lost = if recovers { lost_calls(connection).await? } else { Vec::new() };
    if backend == Backend::Sqlite && !state.complete {
        load_open_reservations(connection, state).await?;
    }
    load_rows(connection, state, asked, &lost).await?;
    let mut answers = Vec::with_capacity(asked.len());
    for one in asked {
        answers.push(match one {
            Command::Reserve(reservation, _) => CommandResult::Reserve(state.reserve(reservation, epoch)),
            Command::Settle(call, settlement, _) => CommandResult::Settle(state.settle(call, **settlement)),
            Command::Release(call, now, _) => CommandResult::Settle(state.release(call, *now)),
            Command::UpstreamLimits { provider, now, remaining, not_before, reply: _ } => {
                state.record_upstream_limits(provider, *now, remaining, *not_before);
                CommandResult::Done
            }
            Command::Recover(now, _) => {
                let settled = lost.iter().filter(|call| state.settle_lost(call, *now) != SettleResult::AlreadySettled);
                CommandResult::Count(u64::try_from(settled.count()).unwrap_or_default())
            }
            Command::Put(rows, _) => {
                statement::put_all(connection, rows).await?;
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

impl Command {
    /// Returns whether all that it changes is in the state.
    const fn is_of_calls(&self) -> bool {
        matches!(self, Self::Reserve(..) | Self::Settle(..) | Self::Release(..) | Self::UpstreamLimits { .. })
    }

    fn answer(self, answer: Result<CommandResult, LedgerError>) {
        // Whoever asked may have gone; what was asked is done all the same.
        match self {
            Self::Reserve(_, reply) => give(reply, answer, |answer| match answer {
                CommandResult::Reserve(reserved) => Some(reserved),
                _ => None,
            }),
            Self::Settle(_, _, reply) | Self::Release(_, _, reply) => give(reply, answer, |answer| match answer {
                CommandResult::Settle(settled) => Some(settled),
                _ => None,
            }),
            Self::Recover(_, reply) | Self::Expire { reply, .. } => give(reply, answer, |answer| match answer {
                CommandResult::Count(count) => Some(count),
                _ => None,
            }),
            Self::UpstreamLimits { reply, .. }
            | Self::Put(_, reply)
            | Self::CloseRuns { reply, .. }
            | Self::Close(reply) => {
                give(reply, answer, |answer| matches!(answer, CommandResult::Done).then_some(()));
            }
        }
    }
}

fn give<T>(reply: Reply<T>, answer: Result<CommandResult, LedgerError>, take: impl FnOnce(CommandResult) -> Option<T>) {
    let _ = reply.send(answer.and_then(|answer| take(answer).ok_or(LedgerError::Closed)));
}

async fn lost_calls(connection: &mut AnyConnection) -> Result<Vec<CallId>, LedgerError> {
    let sql = "SELECT id FROM reservations WHERE epoch IN (SELECT epoch FROM epochs WHERE ended_at IS NOT NULL)";
    let rows = sqlx::query(sql).fetch_all(connection).await?;
    rows.iter().map(|row| Ok(CallId::of_row(row.try_get::<String, _>(0)?))).collect()
}
