//! The errors of the store.

/// PostgreSQL's code of a lock that did not come in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// The reason why the ledger did not carry out a command.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LedgerError {
    /// The URL is of no store that is known.
    #[error(
        "the ledger's URL {0:?} is not understood; write sqlite://<path> or postgres://<user>:<password>@<host>/<database>"
    )]
    Url(String),
    /// Another process writes to the SQLite file.
    #[error(
        "the ledger's file {0} belongs to another process; only one may write to a SQLite file, use PostgreSQL for more"
    )]
    Taken(String),
    /// The file or its folder cannot be used.
    #[error("the ledger's file {path} cannot be used: {reason}")]
    File {
        /// The file.
        path: String,
        /// The reason.
        reason: String,
    },
    /// The tables are not those of this version.
    #[error(
        "the ledger's tables are not those of this version: {0}; where steps are missing, run: manyworlds-operator ledger up"
    )]
    Schema(String),
    /// The database refused or could not be reached.
    #[error("the ledger's database: {0}")]
    Database(String),
    /// Another process writes for longer than anybody waits.
    #[error("another process has held the ledger's lock for 10 s; nothing was written, try again")]
    Locked,
    /// There is no connection to the database, or it broke.
    #[error("the ledger's database cannot be reached, and it is not known whether all was written that was asked: {0}")]
    Unreachable(String),
    /// Another process has taken this one for dead and goes on in its place.
    #[error("this process's epoch {0} has ended; it may write no more and has to start anew")]
    Superseded(i64),
    /// A part of the ledger has panicked, and what it had in memory may not be what is in the store.
    #[error("the ledger has a fault that the log names; this process may write no more and has to start anew")]
    Faulted,
    /// A number does not fit into the store.
    #[error("{0} is larger than the ledger can hold")]
    Range(&'static str),
    /// A value of a row is not of its column's type.
    #[error("a row of the table {table} cannot be read: its column {column}: {reason}")]
    Row {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The problem with its value.
        reason: String,
    },
    /// The new store does not have what the old one has.
    #[error(
        "the table {table} has {found} in {what} after the transfer and had {expected} before; nothing may be trusted in the new store, make it anew"
    )]
    Transfer {
        /// The table.
        table: &'static str,
        /// The count or the sum.
        what: String,
        /// Its value in the new store.
        found: String,
        /// Its value in the old store.
        expected: String,
    },
    /// The new store is not empty.
    #[error("the table {0} of the new store is not empty; move into a store that was just migrated")]
    NotEmpty(&'static str),
    /// The store is used by processes that write to it.
    #[error(
        "the ledger is in use by {0}; end it first, for example by scaling the operator to 0, and wait for a minute where it was killed"
    )]
    InUse(String),
    /// Both ends of a transfer are the same store.
    #[error("both URLs are of the same ledger; there is nothing to move")]
    SameStore,
    /// The SQLite file does not exist.
    #[error("there is no ledger in the file {0}; look whether the path is right")]
    Missing(String),
    /// The ledger was closed.
    #[error("the ledger was closed")]
    Closed,
}

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(sqlx::error::DatabaseError::code) {
            Some(code) if code == LOCK_NOT_AVAILABLE => Self::Locked,
            _ => Self::Database(error.to_string()),
        }
    }
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.to_string())
    }
}

impl LedgerError {
    /// Returns whether it has nothing to do with the command, so that every other command would meet it too.
    pub(crate) const fn is_independent_of_command(&self) -> bool {
        matches!(self, Self::Locked | Self::Unreachable(_) | Self::Superseded(_) | Self::Faulted | Self::Closed)
    }
}

impl From<sqlx::migrate::MigrateError> for LedgerError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        Self::Schema(error.to_string())
    }
}
