//! One transaction for all that was asked.

use jiff::Timestamp;
use sqlx::{AnyConnection, Connection, Row as _};

use super::changed::{ChangedRows, noteworthy};
use super::ending::end_runs;
use super::filling::{fill, fill_held};
use super::recovery::{Recovery, in_time};
use super::whole::WholeTransaction;
use super::{Asked, Reply};
use crate::audit::{AuditLog, Stage};
use crate::book::{Book, Changes};
use crate::call::{CallId, Reserved, Settled};
use crate::error::LedgerError;
use crate::store::statement;
use crate::store::{Backend, WritingConnection};
use crate::totals::{self, Tally};

/// More than this is not kept in memory from one transaction to the next.
const KEPT: usize = 20_000;

pub(super) struct Batches {
    connection: WritingConnection,
    recovery: Recovery,
    epoch: i64,
    /// What the rows say. On PostgreSQL others write too, so it holds for one transaction only.
    book: Book,
    /// On SQLite.
    whole: Option<WholeTransaction>,
    audit: AuditLog,
    tally: Tally,
}

/// An answer that is given when the transaction has been committed.
enum Answer {
    Reserved(Reserved),
    Settled(Settled),
    Count(u64),
    Done,
}

impl Batches {
    pub(super) async fn new(
        mut connection: WritingConnection,
        recovery: Recovery,
        epoch: i64,
        audit: AuditLog,
        tally: Tally,
    ) -> Result<Self, LedgerError> {
        let whole = match connection.backend {
            Backend::Sqlite => Some(WholeTransaction::prepare(&mut connection.connection).await?),
            Backend::Postgres => None,
        };
        Ok(Self { connection, recovery, epoch, book: Book::default(), whole, audit, tally })
    }

    /// Answers all, in one transaction if that can be, else each in its own.
    pub(super) async fn run(&mut self, asked: Vec<Asked>) {
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
    async fn run_each(&mut self, asked: Vec<Asked>) {
        let mut left = asked.into_iter();
        while let Some(one) = left.next() {
            let answer = self.attempt(std::slice::from_ref(&one)).await;
            let of_all = answer.as_ref().err().filter(|error| error.is_of_all()).cloned();
            one.answer(answer.map(|mut answers| answers.pop().unwrap_or(Answer::Done)));
            if let Some(error) = of_all {
                return refuse(left, &error);
            }
        }
    }

    pub(super) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.connection.connection
    }

    /// Notes in a PostgreSQL store that this process lives.
    pub(super) async fn show_life(&mut self, now: Timestamp) -> Result<(), LedgerError> {
        self.recovery.restore(&mut self.connection).await?;
        let shown = in_time(self.connection.show_life(self.epoch, now)).await;
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
    async fn attempt(&mut self, asked: &[Asked]) -> Result<Vec<Answer>, LedgerError> {
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

    async fn transact(&mut self, asked: &[Asked]) -> Result<Vec<Answer>, LedgerError> {
        let Self { connection, recovery: _, epoch, book, whole, audit, tally } = self;
        let backend = connection.backend;
        if backend == Backend::Postgres || book.accounts.len() + book.held.len() > KEPT {
            *book = Book::default();
        }
        let connection = &mut connection.connection;
        let answers = match whole {
            Some(whole) if asked.iter().all(Asked::is_of_calls) => {
                at_once(connection, whole, *epoch, book, asked).await
            }
            _ => in_steps(connection, backend, *epoch, book, asked).await,
        };
        let (answers, changes) = match answers {
            Ok(answered) => answered,
            Err(error) => {
                // What is in memory may not be what is in the store.
                *book = Book::default();
                return Err(error);
            }
        };
        changes.settled.values().filter_map(noteworthy).for_each(|entry| audit.note(Stage::Call, entry));
        // Whoever recovers what others left looks at what they have counted, too.
        if asked.iter().any(|asked| matches!(asked, Asked::Recover(..))) {
            match totals::read(connection).await {
                Ok(totals) => tally.begin(totals),
                Err(error) => tracing::warn!(%error, "what calls came to could not be read; metrics do not show it"),
            }
        } else {
            tally.count(changes.settled.values());
        }
        Ok(answers)
    }
}

fn refuse(asked: impl IntoIterator<Item = Asked>, error: &LedgerError) {
    asked.into_iter().for_each(|asked| asked.answer(Err(error.clone())));
}

/// Writes in a transaction of several statements.
async fn in_steps(
    connection: &mut AnyConnection,
    backend: Backend,
    epoch: i64,
    book: &mut Book,
    asked: &[Asked],
) -> Result<(Vec<Answer>, Changes), LedgerError> {
    let mut transaction = connection.begin().await?;
    let (answers, changes) = answer_all(&mut transaction, backend, epoch, book, asked).await?;
    ChangedRows::of(book, &changes, epoch)?.write(&mut transaction).await?;
    transaction.commit().await?;
    Ok((answers, changes))
}

/// Writes all in one go. Nobody else writes, so that what is read needs no transaction, and mostly nothing has to be read.
async fn at_once(
    connection: &mut AnyConnection,
    whole: &WholeTransaction,
    epoch: i64,
    book: &mut Book,
    asked: &[Asked],
) -> Result<(Vec<Answer>, Changes), LedgerError> {
    let (answers, changes) = answer_all(connection, Backend::Sqlite, epoch, book, asked).await?;
    whole.commit(connection, &ChangedRows::of(book, &changes, epoch)?).await?;
    Ok((answers, changes))
}

/// Answers what is asked by the book, which is filled with what it does not hold yet.
async fn answer_all(
    connection: &mut AnyConnection,
    backend: Backend,
    epoch: i64,
    book: &mut Book,
    asked: &[Asked],
) -> Result<(Vec<Answer>, Changes), LedgerError> {
    WritingConnection::guard(connection, backend, epoch).await?;
    let recovers = asked.iter().any(|asked| matches!(asked, Asked::Recover(..)));
    let lost = if recovers { lost_calls(connection).await? } else { Vec::new() };
    if backend == Backend::Sqlite && !book.complete {
        fill_held(connection, book).await?;
    }
    fill(connection, book, asked, &lost).await?;
    let mut answers = Vec::with_capacity(asked.len());
    for one in asked {
        answers.push(match one {
            Asked::Reserve(reservation, _) => Answer::Reserved(book.reserve(reservation, epoch)),
            Asked::Settle(call, settlement, _) => Answer::Settled(book.settle(call, **settlement)),
            Asked::Release(call, now, _) => Answer::Settled(book.release(call, *now)),
            Asked::Said { provider, now, remaining, not_before, reply: _ } => {
                book.upstream_said(provider, *now, remaining, *not_before);
                Answer::Done
            }
            Asked::Recover(now, _) => {
                let settled = lost.iter().filter(|call| book.lose(call, *now) != Settled::Before);
                Answer::Count(u64::try_from(settled.count()).unwrap_or_default())
            }
            Asked::Put(rows, _) => {
                statement::put_all(connection, rows).await?;
                Answer::Done
            }
            Asked::EndRuns { ids, outcome, at, reply: _ } => {
                end_runs(connection, ids, outcome, *at).await?;
                Answer::Done
            }
            Asked::Expire { before, now, reply: _ } => {
                Answer::Count(totals::expire(connection, epoch, *before, *now).await?)
            }
            Asked::Close(_) => Answer::Done,
        });
    }
    Ok((answers, book.take_changes()))
}

impl Asked {
    /// Returns whether all that it changes is in the book.
    const fn is_of_calls(&self) -> bool {
        matches!(self, Self::Reserve(..) | Self::Settle(..) | Self::Release(..) | Self::Said { .. })
    }

    fn answer(self, answer: Result<Answer, LedgerError>) {
        // Whoever asked may have gone; what was asked is done all the same.
        match self {
            Self::Reserve(_, reply) => give(reply, answer, |answer| match answer {
                Answer::Reserved(reserved) => Some(reserved),
                _ => None,
            }),
            Self::Settle(_, _, reply) | Self::Release(_, _, reply) => give(reply, answer, |answer| match answer {
                Answer::Settled(settled) => Some(settled),
                _ => None,
            }),
            Self::Recover(_, reply) | Self::Expire { reply, .. } => give(reply, answer, |answer| match answer {
                Answer::Count(count) => Some(count),
                _ => None,
            }),
            Self::Said { reply, .. } | Self::Put(_, reply) | Self::EndRuns { reply, .. } | Self::Close(reply) => {
                give(reply, answer, |answer| matches!(answer, Answer::Done).then_some(()));
            }
        }
    }
}

fn give<T>(reply: Reply<T>, answer: Result<Answer, LedgerError>, take: impl FnOnce(Answer) -> Option<T>) {
    let _ = reply.send(answer.and_then(|answer| take(answer).ok_or(LedgerError::Closed)));
}

async fn lost_calls(connection: &mut AnyConnection) -> Result<Vec<CallId>, LedgerError> {
    let sql = "SELECT id FROM reservations WHERE epoch IN (SELECT epoch FROM epochs WHERE ended_at IS NOT NULL)";
    let rows = sqlx::query(sql).fetch_all(connection).await?;
    rows.iter().map(|row| Ok(CallId::of_row(row.try_get::<String, _>(0)?))).collect()
}
