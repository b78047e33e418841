//! A transaction of calls as a single statement, for SQLite.
//!
//! Each query goes to SQLite's thread and back, and each of its statements wakes the waiting task, which costs more than the
//! statements themselves (docs/decisions/0006). So there is a view that is never read, with a trigger for each table:
//! an insertion into it writes a row of every table, or of those whose columns are not empty. The view belongs to the
//! connection and goes with it.

use std::iter;
use std::ops::Range;

use sqlx::{AnyConnection, AssertSqlSafe, Connection};

use super::changed_rows::{ChangedRows, TABLES};
use crate::error::LedgerError;
use crate::store::statement::{Placeholder, bind, insertion_of_new, placeholders_of_rows};
use crate::store::value::Value;

/// The numbers of rows that a statement can have; missing rows are left empty. Each size is a statement, which stays prepared.
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
        let insertions = TABLES.iter().map(|(table, on_conflict)| {
            let key = format!("{}_{}", table.name, table.key[0]);
            trigger(table.name, &key, &insertion_of_new(table, *on_conflict))
        });
        for sql in [view, removal].into_iter().chain(insertions) {
            sqlx::query(AssertSqlSafe(sql)).execute(&mut *connection).await?;
        }
        let width = self::columns().count();
        let values = |rows| placeholders_of_rows(width, rows, Placeholder::Positional);
        Ok(Self { statements: SIZES.map(|rows| format!("INSERT INTO changed_rows VALUES {}", values(rows))) })
    }

    /// Writes rows and commits them.
    pub(super) async fn commit(&self, connection: &mut AnyConnection, rows: &ChangedRows) -> Result<(), LedgerError> {
        let count = rows.inserted.iter().map(Vec::len).fold(rows.removed.len(), usize::max);
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
            for ((table, _), rows) in TABLES.iter().zip(&rows.inserted) {
                query = match rows.get(number) {
                    Some(row) => row.iter().fold(query, bind),
                    None => iter::repeat_n(&Value::Text(None), table.columns.len()).fold(query, bind),
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
        .flat_map(|(table, _)| table.columns.iter().map(|column| format!("{}_{}", table.name, column.name)));
    iter::once("removed".to_owned()).chain(of_tables)
}

fn trigger(name: &str, needed: &str, action: &str) -> String {
    format!(
        "CREATE TEMP TRIGGER write_{name} INSTEAD OF INSERT ON changed_rows WHEN NEW.{needed} IS NOT NULL \
         BEGIN {action}; END"
    )
}
