//! Changes of the tables from version to version: forward, backward, and a check.

use jiff::Timestamp;
use sqlx::Connection;
use sqlx::migrate::{Migrate, Migrator};

use crate::error::LedgerError;
use crate::store::database::Database;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// The state of the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaState {
    /// The versions that are applied.
    pub applied: Vec<i64>,
    /// The versions that are not.
    pub pending: Vec<i64>,
}

/// Brings the tables to this version.
///
/// - **Guarantees:** one process at a time on PostgreSQL; each step in a transaction; a repetition changes nothing.
///
/// # Errors
///
/// [`LedgerError`] when the store cannot be reached, or an applied step is not the one of this version.
pub async fn up(url: &str) -> Result<SchemaState, LedgerError> {
    let database = Database::open(url).await?;
    MIGRATIONS.run(&database.pool).await?;
    state(&database).await
}

/// Removes all tables, and with them all rows.
///
/// # Errors
///
/// [`LedgerError`], also when a process writes to the store.
pub async fn down(url: &str) -> Result<SchemaState, LedgerError> {
    let database = Database::open_existing(url).await?;
    let _lock = database.hold()?;
    if !state(&database).await?.applied.is_empty() {
        let mut connection = database.pool.acquire().await?;
        let mut transaction = connection.begin().await?;
        database.ensure_no_other_writer(&mut transaction, Timestamp::now()).await?;
        // It ends here: the steps run on connections of their own, and would wait for it.
        transaction.rollback().await?;
    }
    MIGRATIONS.undo(&database.pool, 0).await?;
    state(&database).await
}

/// Returns the state of the tables of an existing store, and changes none of them.
///
/// # Errors
///
/// [`LedgerError`], also when an applied step is not the one of this version.
pub async fn check(url: &str) -> Result<SchemaState, LedgerError> {
    state(&Database::open_existing(url).await?).await
}

/// Refuses a store that has not been migrated to this version.
pub(crate) async fn check_open(database: &Database) -> Result<(), LedgerError> {
    let state = state(database).await?;
    match state.pending.as_slice() {
        [] => Ok(()),
        pending => Err(LedgerError::Schema(format!("{} steps have not been applied", pending.len()))),
    }
}

async fn state(database: &Database) -> Result<SchemaState, LedgerError> {
    let mut connection = database.pool.acquire().await?;
    connection.ensure_migrations_table(&MIGRATIONS.table_name).await?;
    if let Some(version) = connection.dirty_version(&MIGRATIONS.table_name).await? {
        return Err(LedgerError::Schema(format!("step {version} was broken off half-way")));
    }
    let applied = connection.list_applied_migrations(&MIGRATIONS.table_name).await?;
    let ours: Vec<_> = MIGRATIONS.iter().filter(|step| step.migration_type.is_up_migration()).collect();
    for step in &applied {
        match ours.iter().find(|ours| ours.version == step.version) {
            None => return Err(LedgerError::Schema(format!("step {} is of a later version", step.version))),
            Some(ours) if ours.checksum != step.checksum => {
                return Err(LedgerError::Schema(format!("step {} was another one", step.version)));
            }
            Some(_) => {}
        }
    }
    let applied: Vec<_> = applied.into_iter().map(|step| step.version).collect();
    let pending = ours.iter().map(|step| step.version).filter(|version| !applied.contains(version)).collect();
    Ok(SchemaState { applied, pending })
}
