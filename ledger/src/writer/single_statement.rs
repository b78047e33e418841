//! A whole transaction as one statement, for SQLite.
//!
//! A query goes to SQLite's thread and back, and each of its statements wakes who waits for it: that costs more than what
//! they do. So there is a view that is never read, with a trigger for each table: who inserts a row into it writes a row of
//! every table, or of those that the row names. It is the connection's own and goes with it.

use std::iter;
use std::ops::Range;

use sqlx::{AnyConnection, AssertSqlSafe, Connection};

use super::changed_rows::{ChangedRows, TABLES};
use crate::error::LedgerError;
use crate::store::statement::{self, Placeholder, Value};

/// How many rows a statement has; what is missing is left empty. Each size is a statement, which stays prepared.
const SIZES: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/// Writes transactions of calls.
pub(super) struct SingleStatement {
    /// One for each of [`SIZES`].
    statements: [String; 9],
}

impl SingleStatement {
    /// Makes the view and its triggers.
    pub(super) async fn prepare(connection: &mut AnyConnection) -> Result<Self, LedgerError> {
        let columns: Vec<_> = columns().map(|column| format!("NULL AS {column}")).collect();
        let view = format!("CREATE TEMP VIEW changed_rows AS SELECT {}", columns.join(", "));
        let removal = trigger("removed", "removed", "DELETE FROM reservations WHERE id = NEW.removed");
        // No row depends on one of another table, so that the order does not matter, which SQLite leaves open.
        let insertions = TABLES.iter().map(|(table, existing)| {
            let key = format!("{}_{}", table.name, table.key[0]);
            trigger(table.name, &key, &statement::insertion_of_new(table, *existing))
        });
        for sql in [view, removal].into_iter().chain(insertions) {
            sqlx::query(AssertSqlSafe(sql)).execute(&mut *connection).await?;
        }
        let width = self::columns().count();
        let places = |rows| statement::places_of_rows(width, rows, Placeholder::Positional);
        Ok(Self { statements: SIZES.map(|rows| format!("INSERT INTO changed_rows VALUES {}", places(rows))) })
    }

    /// Writes rows and commits them.
    pub(super) async fn commit(&self, connection: &mut AnyConnection, rows: &ChangedRows) -> Result<(), LedgerError> {
        let count = rows.put.iter().map(Vec::len).chain([rows.removed.len()]).max().unwrap_or_default();
        let [.., largest] = SIZES;
        match count {
            0 => Ok(()),
            _ if count <= largest => self.insert(connection, rows, 0..count).await,
            _ => {
                let mut transaction = connection.begin().await?;
                for first in (0..count).step_by(largest) {
                    self.insert(&mut transaction, rows, first..count.min(first + largest)).await?;
                }
                Ok(transaction.commit().await?)
            }
        }
    }

    /// Writes some rows of each table, no more than the largest statement has.
    async fn insert(
        &self,
        connection: &mut AnyConnection,
        rows: &ChangedRows,
        numbers: Range<usize>,
    ) -> Result<(), LedgerError> {
        let fitting = SIZES.iter().zip(&self.statements).find(|(size, _)| numbers.len() <= **size);
        let (size, sql) = fitting.ok_or(LedgerError::Range("a transaction's statement"))?;
        let mut query = sqlx::query(AssertSqlSafe(sql.as_str()));
        for number in numbers.start..numbers.start + size {
            query = query.bind(rows.removed.get(number).cloned());
            for ((table, _), rows) in TABLES.iter().zip(&rows.put) {
                query = match rows.get(number) {
                    Some(row) => row.iter().fold(query, statement::bind),
                    None => iter::repeat_n(&Value::Text(None), table.columns.len()).fold(query, statement::bind),
                };
            }
        }
        query.execute(connection).await?;
        Ok(())
    }
}

/// Returns the columns of the view.
fn columns() -> impl Iterator<Item = String> {
    let of_tables = TABLES
        .iter()
        .flat_map(|(table, _)| table.columns.iter().map(|column| format!("{}_{}", table.name, column.name())));
    iter::once("removed".to_owned()).chain(of_tables)
}

fn trigger(name: &str, needed: &str, action: &str) -> String {
    format!(
        "CREATE TEMP TRIGGER write_{name} INSTEAD OF INSERT ON changed_rows WHEN NEW.{needed} IS NOT NULL \
         BEGIN {action}; END"
    )
}
