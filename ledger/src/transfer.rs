//! The transfer of a ledger from one store to another, with a check that nothing was lost.

use jiff::Timestamp;
use sqlx::{AnyConnection, AssertSqlSafe, Connection};

use crate::error::LedgerError;
use crate::migrations;
use crate::store::backend::Backend;
use crate::store::database::{Database, is_same};
use crate::store::rows::EPOCHS;
use crate::store::statement::{OnConflict, insert, select_after};
use crate::store::table::{Table, column};
use crate::tables;

/// The number of rows that are read at once.
const PAGE: i64 = 2000;

/// The rows that were moved of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferredTable {
    /// The table.
    pub table: &'static str,
    /// Their number.
    pub rows: i64,
}

/// Moves every row into a store that was migrated and is empty, and verifies counts and sums.
///
/// - **Guarantees:** one transaction: the new store has all or nothing. The old one is only read, and has no writer
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

/// Returns the number of rows of a store, those about processes not counted.
///
/// # Errors
///
/// [`LedgerError`] when the store cannot be reached or its tables are not those of this version.
pub async fn rows(url: &str) -> Result<i64, LedgerError> {
    let database = Database::open_existing(url).await?;
    migrations::check_open(&database).await?;
    let mut connection = database.pool.acquire().await?;
    let mut rows = 0;
    for table in tables::ALL.into_iter().filter(|table| *table != &EPOCHS) {
        rows += count(&mut connection, table).await?;
    }
    Ok(rows)
}

/// Copies the rows of a table page by page, each behind the key of the last row of the page before.
async fn copy(from: &mut AnyConnection, to: &mut AnyConnection, table: &'static Table) -> Result<i64, LedgerError> {
    let (mut done, mut last) = (0, None);
    loop {
        let mut page = select_after(from, table, last.as_ref(), PAGE).await?;
        insert(to, table, OnConflict::Keep, &page).await?;
        let rows = i64::try_from(page.len()).unwrap_or(PAGE);
        done += rows;
        if rows < PAGE {
            return Ok(done);
        }
        last = page.pop();
    }
}

async fn verify(from: &mut AnyConnection, to: &mut AnyConnection, table: &'static Table) -> Result<(), LedgerError> {
    let (expected, found) = (count(from, table).await?, count(to, table).await?);
    compare(table, "COUNT(*)".to_owned(), expected, found)?;
    for name in table.sums {
        let (expected, found) = (total(from, table, name).await?, total(to, table, name).await?);
        compare(table, format!("SUM({name})"), expected, found)?;
    }
    Ok(())
}

fn compare(table: &Table, what: String, expected: i64, found: i64) -> Result<(), LedgerError> {
    if expected == found {
        return Ok(());
    }
    let [found, expected] = [found, expected].map(|total| total.to_string());
    Err(LedgerError::Transfer { table: table.name, what, found, expected })
}

async fn count(connection: &mut AnyConnection, table: &'static Table) -> Result<i64, LedgerError> {
    let sql = format!("SELECT COUNT(*) FROM {}", table.name);
    column(&sqlx::query(AssertSqlSafe(sql)).fetch_one(connection).await?, 0, table, "COUNT(*)")
}

async fn total(connection: &mut AnyConnection, table: &'static Table, name: &'static str) -> Result<i64, LedgerError> {
    let sql = format!("SELECT {} FROM {}", Backend::of(connection).sum(name), table.name);
    column(&sqlx::query(AssertSqlSafe(sql)).fetch_one(connection).await?, 0, table, name)
}
