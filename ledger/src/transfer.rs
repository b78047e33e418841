//! Moving a ledger from one store to another, and making sure that nothing was lost.

use jiff::Timestamp;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};

use crate::error::LedgerError;
use crate::migrations;
use crate::store::statement::{self, OnConflict};
use crate::store::tables::{self, Table};
use crate::store::{Database, is_same};

/// How many rows are read at once.
const PAGE: i64 = 2000;

/// What was moved of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferredTable {
    /// The table.
    pub table: &'static str,
    /// How many rows.
    pub rows: i64,
}

/// Moves every row into a store that was migrated and is empty, and verifies counts and sums.
///
/// - **Guarantees:** one transaction: the new store has all or nothing. The old one is only read, and nobody writes to it
///   meanwhile.
///
/// # Errors
///
/// [`LedgerError`] when a store cannot be reached, both are the same, the old one is in use, the new one is not empty, or
/// the counts and sums differ.
pub async fn transfer(from: &str, to: &str) -> Result<Vec<TransferredTable>, LedgerError> {
    if is_same(from, to) {
        return Err(LedgerError::SameStore);
    }
    let (source, target) = (Database::open_existing(from).await?, Database::open(to).await?);
    migrations::check_open(&source).await?;
    migrations::check_open(&target).await?;
    let _locks = (source.hold()?, target.hold()?);
    let (mut reading, mut writing) = (source.pool.acquire().await?, target.pool.acquire().await?);
    let (mut reading, mut transaction) = (reading.begin().await?, writing.begin().await?);
    let now = Timestamp::now();
    source.ensure_no_other_writer(&mut reading, now).await?;
    for table in tables::ALL {
        if count(&mut transaction, table).await? != 0 {
            return Err(LedgerError::NotEmpty(table.name));
        }
    }
    target.ensure_no_other_writer(&mut transaction, now).await?;
    let mut moved = Vec::new();
    for table in tables::ALL {
        let rows = copy(&mut reading, &mut transaction, table).await?;
        verify(&mut reading, &mut transaction, table).await?;
        moved.push(TransferredTable { table: table.name, rows });
    }
    // None of them lives, or the old store would be in use. What they had reserved is settled by whoever opens the new one.
    let ended = "UPDATE epochs SET ended_at = $1 WHERE ended_at IS NULL";
    sqlx::query(ended).bind(now.as_millisecond()).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(moved)
}

/// Returns how many rows a store has, those about processes not counted.
///
/// # Errors
///
/// [`LedgerError`] when the store cannot be reached or its tables are not those of this version.
pub async fn rows(url: &str) -> Result<i64, LedgerError> {
    let database = Database::open_existing(url).await?;
    migrations::check_open(&database).await?;
    let mut connection = database.pool.acquire().await?;
    let mut rows = 0;
    for table in tables::ALL.into_iter().filter(|table| *table != &tables::EPOCHS) {
        rows += count(&mut connection, table).await?;
    }
    Ok(rows)
}

async fn copy(from: &mut AnyConnection, to: &mut AnyConnection, table: &'static Table) -> Result<i64, LedgerError> {
    let columns: Vec<_> = table.columns.iter().map(|column| column.name()).collect();
    let (columns, key) = (columns.join(", "), table.key.join(", "));
    let sql = format!("SELECT {columns} FROM {} ORDER BY {key} LIMIT $1 OFFSET $2", table.name);
    let mut done = 0;
    loop {
        let page = sqlx::query(AssertSqlSafe(sql.clone())).bind(PAGE).bind(done).fetch_all(&mut *from).await?;
        let rows = page.iter().map(|row| statement::read(table, row)).collect::<Result<Vec<_>, _>>()?;
        statement::put(to, table, OnConflict::Keep, &rows).await?;
        let read = i64::try_from(rows.len()).unwrap_or(PAGE);
        done += read;
        if read < PAGE {
            return Ok(done);
        }
    }
}

async fn verify(from: &mut AnyConnection, to: &mut AnyConnection, table: &'static Table) -> Result<(), LedgerError> {
    for what in std::iter::once("COUNT(*)".to_owned()).chain(table.sums.iter().map(|column| format!("SUM({column})"))) {
        let (expected, found) = (total(from, table, &what).await?, total(to, table, &what).await?);
        if expected != found {
            let [found, expected] = [found, expected].map(|total| total.to_string());
            return Err(LedgerError::Transfer { table: table.name, what, found, expected });
        }
    }
    Ok(())
}

async fn count(connection: &mut AnyConnection, table: &Table) -> Result<i64, LedgerError> {
    total(connection, table, "COUNT(*)").await
}

async fn total(connection: &mut AnyConnection, table: &Table, what: &str) -> Result<i64, LedgerError> {
    let sql = format!("SELECT CAST(COALESCE({what}, 0) AS BIGINT) FROM {}", table.name);
    Ok(sqlx::query(AssertSqlSafe(sql)).fetch_one(connection).await?.try_get(0)?)
}
