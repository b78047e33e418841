//! Transactions of calls on SQLite: prepared statements on a thread of their own.
//!
//! A transaction goes to the thread as rows and comes back once it is committed. Through sqlx each statement makes that way
//! (docs/decisions/0009). Everything else, reading and rare writing, goes through sqlx as on PostgreSQL; the one task that
//! writes never uses both at once.

use std::path::Path;
use std::sync::mpsc;
use std::thread;

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, Statement, ToSql, Transaction, TransactionBehavior, params_from_iter};
use tokio::sync::oneshot;

use super::changed_rows::{ChangedRows, TABLES};
use crate::error::LedgerError;
use crate::store::database::SQLITE;
use crate::store::rows::RESERVATIONS;
use crate::store::statement::{Placeholder, insertion, removal};
use crate::store::value::Value;

/// Writes transactions of calls. The thread ends with the value.
pub(super) struct PreparedStatements(mpsc::Sender<Job>);

/// A transaction to be written.
struct Job {
    rows: ChangedRows,
    reply: oneshot::Sender<Result<(), LedgerError>>,
}

impl PreparedStatements {
    /// Opens a file that has been migrated, and prepares the statements.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Database`] when the file cannot be opened or has other tables, [`LedgerError::File`] when no thread starts.
    pub(super) async fn open(path: &Path) -> Result<Self, LedgerError> {
        let (jobs, receiver) = mpsc::channel();
        let (opened, is_open) = oneshot::channel();
        let file = path.to_owned();
        let started =
            thread::Builder::new().name("ledger".to_owned()).spawn(move || write_all(&file, &receiver, opened));
        started.map_err(|error| LedgerError::File { path: path.display().to_string(), reason: error.to_string() })?;
        is_open.await.map_err(|_| LedgerError::Closed)??;
        Ok(Self(jobs))
    }

    /// Writes rows and commits them: all or none.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Database`] when SQLite refuses, [`LedgerError::Faulted`] when the thread has ended, which it does by a panic
    /// alone as long as there is this value.
    pub(super) async fn commit(&self, rows: ChangedRows) -> Result<(), LedgerError> {
        if rows.is_empty() {
            return Ok(());
        }
        let (reply, committed) = oneshot::channel();
        self.0.send(Job { rows, reply }).map_err(|_| LedgerError::Faulted)?;
        committed.await.map_err(|_| LedgerError::Faulted)?
    }
}

/// Writes transactions until nobody is left who sends any.
fn write_all(file: &Path, jobs: &mpsc::Receiver<Job>, opened: oneshot::Sender<Result<(), LedgerError>>) {
    let connection = open(file);
    let prepared = connection.as_ref().map_err(ToString::to_string).and_then(|connection| {
        Statements::prepare(connection).map(|statements| (connection, statements)).map_err(|error| error.to_string())
    });
    // Whoever opened it may be gone, and nothing comes then.
    match prepared {
        Ok((connection, mut statements)) => {
            let _ = opened.send(Ok(()));
            for Job { rows, reply } in jobs {
                let _ = reply.send(statements.write(connection, &rows).map_err(LedgerError::from));
            }
        }
        Err(error) => drop(opened.send(Err(LedgerError::Database(error)))),
    }
}

fn open(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    SQLITE.iter().try_for_each(|setting| connection.execute_batch(setting))?;
    Ok(connection)
}

/// The statements, of one row each.
struct Statements<'a> {
    /// Ends a reservation.
    removal: Statement<'a>,
    /// Inserts a row into each of [`TABLES`].
    insertions: Vec<Statement<'a>>,
}

impl<'a> Statements<'a> {
    fn prepare(connection: &'a Connection) -> rusqlite::Result<Self> {
        let insertions = TABLES.map(|(table, on_conflict)| insertion(table, on_conflict, 1, Placeholder::Positional));
        Ok(Self {
            removal: connection.prepare(&removal(&RESERVATIONS, 1, Placeholder::Positional))?,
            insertions: insertions.iter().map(|sql| connection.prepare(sql)).collect::<Result<_, _>>()?,
        })
    }

    fn write(&mut self, connection: &Connection, rows: &ChangedRows) -> rusqlite::Result<()> {
        // Rolled back where it is not committed.
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        for call in &rows.removed {
            self.removal.execute([call])?;
        }
        for (statement, rows) in self.insertions.iter_mut().zip(&rows.inserted) {
            for row in rows {
                statement.execute(params_from_iter(row))?;
            }
        }
        transaction.commit()
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Number(number) => number.to_sql(),
            Self::Text(text) => text.to_sql(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrations;

    fn row(call: &str) -> Vec<Value> {
        let value = |column: &crate::store::table::Column| match column.name {
            "id" => Value::from(call.to_owned()),
            _ => match column.kind {
                crate::store::value::Kind::Number => Value::from(1),
                crate::store::value::Kind::Text => Value::from("{}".to_owned()),
            },
        };
        RESERVATIONS.columns.iter().map(value).collect()
    }

    fn reserved(calls: &[&str], removed: &[&str]) -> ChangedRows {
        let mut rows = ChangedRows::default();
        rows.inserted[0] = calls.iter().map(|call| row(call)).collect();
        rows.removed = removed.iter().map(|call| (*call).to_owned()).collect();
        rows
    }

    #[tokio::test]
    async fn a_transaction_is_written_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ledger.db");
        migrations::up(&format!("sqlite://{}", file.display())).await.unwrap();
        let statements = PreparedStatements::open(&file).await.unwrap();
        let reader = open(&file).unwrap();
        let calls = || -> Vec<String> {
            let mut query = reader.prepare("SELECT id FROM reservations ORDER BY id").unwrap();
            query.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
        };
        statements.commit(reserved(&["a", "b"], &[])).await.unwrap();
        assert_eq!(calls(), ["a", "b"]);
        // The last row lacks what its table asks for; what stands before it is undone.
        let mut torn = reserved(&["c"], &["a"]);
        torn.inserted[0].push(vec![Value::Text(None); RESERVATIONS.columns.len()]);
        assert!(matches!(statements.commit(torn).await, Err(LedgerError::Database(_))));
        assert_eq!(calls(), ["a", "b"]);
        statements.commit(reserved(&["c"], &["a"])).await.unwrap();
        assert_eq!(calls(), ["b", "c"]);
        let temporary: i64 = reader.query_row("PRAGMA temp_store", [], |row| row.get(0)).unwrap();
        assert_eq!(temporary, 2, "in memory");
    }

    #[tokio::test]
    async fn a_file_without_tables_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let opened = PreparedStatements::open(&folder.path().join("ledger.db")).await;
        let error = opened.err().unwrap().to_string();
        assert!(error.contains("no such table: reservations"), "{error}");
    }
}
