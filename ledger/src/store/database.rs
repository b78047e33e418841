//! The connections to a store.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyConnection, AnyPool, Connection};

use super::backend::Backend;
use super::rows::EPOCHS;
use super::table::column;
use crate::error::LedgerError;

/// The number of connections that read.
const READERS: u32 = 4;
/// The lease of a process: one that has not extended it for so long is taken for dead.
const LEASE_TIMEOUT_MS: i64 = 60_000;
/// Names the lock that the writers of a PostgreSQL store take in turn: the letters of "worlds".
const LOCK: i64 = 0x776f_726c_6473;
/// The settings of a connection to SQLite. NORMAL loses nothing when a process dies; only a loss of power can take the last
/// commits.
pub(crate) const SQLITE: &[&str] = &[
    "PRAGMA busy_timeout = 10000",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
    // The image has no folder for temporary files, and its root is read-only: statement journals, sorting and temporary
    // tables stay in memory.
    "PRAGMA temp_store = MEMORY",
    // Checkpoints are made beside the writer (writer/checkpoints.rs). Where those fail, it makes one at 64 MiB.
    "PRAGMA wal_autocheckpoint = 16000",
];
/// The settings of a connection to PostgreSQL: nobody waits for a lock for ever, and a process that stopped in the middle of a
/// transaction, such as one on a machine that is cut off, does not keep one for ever.
const POSTGRES: &[&str] = &["SET lock_timeout = '10s'", "SET idle_in_transaction_session_timeout = '30s'"];

/// A store that can be read.
pub(crate) struct Database {
    pub(crate) pool: AnyPool,
    pub(crate) backend: Backend,
    url: String,
}

/// The one connection that writes. It keeps the SQLite file for this process.
pub(crate) struct WritingConnection {
    pub(crate) connection: AnyConnection,
    pub(crate) backend: Backend,
    /// The file of a SQLite store.
    pub(crate) file: Option<PathBuf>,
    lock: Option<File>,
}

impl Database {
    /// Opens a store. A SQLite file that is not there is made, with its folder.
    pub(crate) async fn open(url: &str) -> Result<Self, LedgerError> {
        sqlx::any::install_default_drivers();
        let backend = backend(url)?;
        if let Some(path) = file(url) {
            prepare_folder(&path)?;
        }
        let url = complete(url, backend);
        let options = AnyPoolOptions::new()
            .max_connections(READERS)
            .after_connect(move |connection, _| Box::pin(async move { set_up(connection, backend).await }));
        let pool = options.connect(&url).await?;
        Ok(Self { pool, backend, url })
    }

    /// Holds a SQLite file, so that no process writes to it.
    pub(crate) fn hold(&self) -> Result<Option<File>, LedgerError> {
        file(&self.url).map(|path| lock_file(&path)).transpose()
    }

    /// Opens a store that exists already.
    pub(crate) async fn open_existing(url: &str) -> Result<Self, LedgerError> {
        match file(url) {
            Some(path) if !path.exists() => Err(LedgerError::Missing(path.display().to_string())),
            Some(_) | None => Self::open(url).await,
        }
    }

    /// Keeps other writers out until the transaction ends, and refuses a PostgreSQL store with a process whose lease has not
    /// ended. For a SQLite file, [`Database::hold`] does it.
    pub(crate) async fn ensure_no_other_writer(
        &self,
        transaction: &mut AnyConnection,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        if self.backend == Backend::Sqlite {
            return Ok(());
        }
        let locked = lock_writers(&mut *transaction, self.backend).await;
        locked.map_err(|_| LedgerError::InUse("a process that writes to it now".to_owned()))?;
        let since = now.as_millisecond() - LEASE_TIMEOUT_MS;
        let living = "SELECT writer FROM epochs WHERE ended_at IS NULL AND seen_at > $1 ORDER BY epoch LIMIT 1";
        match sqlx::query(living).bind(since).fetch_optional(transaction).await? {
            Some(row) => {
                let writer: String = column(&row, 0, &EPOCHS, "writer")?;
                Err(LedgerError::InUse(format!("the process {writer}")))
            }
            None => Ok(()),
        }
    }

    /// Makes a connection beside those that read.
    pub(crate) async fn connect(&self) -> Result<AnyConnection, LedgerError> {
        let mut connection = AnyConnection::connect(&self.url).await?;
        set_up(&mut connection, self.backend).await?;
        Ok(connection)
    }

    /// Makes the connection that writes, and begins a new epoch through it.
    ///
    /// - **Guarantees:** ends the epochs of all earlier processes on SQLite, and of those without a lease on PostgreSQL.
    pub(crate) async fn begin_epoch(
        &self,
        writer: &str,
        now: Timestamp,
    ) -> Result<(WritingConnection, i64), LedgerError> {
        let lock = self.hold()?;
        let (connection, file) = (self.connect().await?, file(&self.url));
        let mut writing = WritingConnection { connection, backend: self.backend, file, lock };
        let backend = self.backend;
        let now = now.as_millisecond();
        let mut transaction = writing.connection.begin().await?;
        lock_writers(&mut transaction, backend).await?;
        let (ended, ended_before) = match backend {
            Backend::Sqlite => ("UPDATE epochs SET ended_at = $1 WHERE ended_at IS NULL AND seen_at <= $2", i64::MAX),
            Backend::Postgres => {
                ("UPDATE epochs SET ended_at = $1 WHERE ended_at IS NULL AND seen_at <= $2", now - LEASE_TIMEOUT_MS)
            }
        };
        sqlx::query(ended).bind(now).bind(ended_before).execute(&mut *transaction).await?;
        let last = sqlx::query("SELECT COALESCE(MAX(epoch), 0) FROM epochs").fetch_one(&mut *transaction).await?;
        let epoch = column::<i64>(&last, 0, &EPOCHS, "epoch")? + 1;
        let insert = "INSERT INTO epochs (epoch, writer, began_at, seen_at) VALUES ($1, $2, $3, $4)";
        let query = sqlx::query(insert).bind(epoch).bind(writer.to_owned()).bind(now).bind(now);
        query.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok((writing, epoch))
    }
}

impl WritingConnection {
    /// Refuses a process whose epoch has ended, and keeps other writers out until the transaction ends.
    pub(crate) async fn guard(connection: &mut AnyConnection, backend: Backend, epoch: i64) -> Result<(), LedgerError> {
        if backend == Backend::Sqlite {
            return Ok(());
        }
        lock_writers(connection, backend).await?;
        let row = sqlx::query("SELECT ended_at FROM epochs WHERE epoch = $1").bind(epoch).fetch_optional(connection);
        match row.await?.map(|row| column::<Option<Timestamp>>(&row, 0, &EPOCHS, "ended_at")).transpose()? {
            Some(None) => Ok(()),
            Some(Some(_)) | None => Err(LedgerError::Superseded(epoch)),
        }
    }

    /// Extends the lease of this process, and ends the epochs of processes whose lease has ended.
    pub(crate) async fn heartbeat(&mut self, epoch: i64, now: Timestamp) -> Result<(), LedgerError> {
        let now = now.as_millisecond();
        let mut transaction = self.connection.begin().await?;
        Self::guard(&mut transaction, self.backend, epoch).await?;
        let seen = "UPDATE epochs SET seen_at = $1 WHERE epoch = $2 AND ended_at IS NULL";
        sqlx::query(seen).bind(now).bind(epoch).execute(&mut *transaction).await?;
        let silent = "UPDATE epochs SET ended_at = $1 WHERE ended_at IS NULL AND seen_at <= $2";
        let since = now - LEASE_TIMEOUT_MS;
        sqlx::query(silent).bind(now).bind(since).execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// Ends the epoch and frees the file.
    pub(crate) async fn end(&mut self, epoch: i64, now: Timestamp) -> Result<(), LedgerError> {
        let ended = "UPDATE epochs SET ended_at = $1 WHERE epoch = $2 AND ended_at IS NULL";
        sqlx::query(ended).bind(now.as_millisecond()).bind(epoch).execute(&mut self.connection).await?;
        self.lock = None;
        Ok(())
    }
}

async fn lock_writers(connection: &mut AnyConnection, backend: Backend) -> Result<(), LedgerError> {
    if backend == Backend::Postgres {
        // The result of the lock function has no type that could be read.
        let lock = "SELECT CAST(pg_advisory_xact_lock($1) AS TEXT)";
        sqlx::query(lock).bind(LOCK).fetch_one(connection).await?;
    }
    Ok(())
}

async fn set_up(connection: &mut AnyConnection, backend: Backend) -> Result<(), sqlx::Error> {
    let statements = match backend {
        Backend::Sqlite => SQLITE,
        Backend::Postgres => POSTGRES,
    };
    for statement in statements {
        sqlx::query(*statement).execute(&mut *connection).await?;
    }
    Ok(())
}

fn backend(url: &str) -> Result<Backend, LedgerError> {
    match url.split_once(':') {
        Some(("sqlite", _)) if file(url).is_some() => Ok(Backend::Sqlite),
        Some(("postgres" | "postgresql", _)) => Ok(Backend::Postgres),
        _ => Err(LedgerError::Url(without_password(url))),
    }
}

/// Returns whether two URLs name the same store.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    match (file(one), file(other)) {
        (Some(one), Some(other)) => {
            let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            real(&one) == real(&other)
        }
        (None, None) => one == other,
        _ => false,
    }
}

/// Returns a URL without its password, for messages.
fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(host)) if scheme < host => format!("{}://***{}", &url[..scheme], &url[host..]),
        _ => url.to_owned(),
    }
}

fn file(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite://")?;
    let path = path.split('?').next().unwrap_or_default();
    (!path.is_empty() && path != ":memory:").then(|| PathBuf::from(path))
}

fn complete(url: &str, backend: Backend) -> String {
    match backend {
        Backend::Sqlite if !url.contains('?') => format!("{url}?mode=rwc"),
        Backend::Sqlite | Backend::Postgres => url.to_owned(),
    }
}

fn prepare_folder(path: &Path) -> Result<(), LedgerError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let made = folder.map_or(Ok(()), fs::create_dir_all);
    made.map_err(|error| LedgerError::File { path: path.display().to_string(), reason: error.to_string() })
}

/// Locks the file for this process. The lock ends with the process, however it ends.
fn lock_file(path: &Path) -> Result<File, LedgerError> {
    let name = path.display().to_string();
    let refused = |error: std::io::Error| LedgerError::File { path: name.clone(), reason: error.to_string() };
    let beside = PathBuf::from(format!("{name}.lock"));
    let lock = File::options().create(true).truncate(false).write(true).open(beside).map_err(refused)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(LedgerError::Taken(name)),
        Err(TryLockError::Error(error)) => Err(refused(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_connection_to_sqlite_keeps_anything_in_temporary_files() {
        /// What SQLite answers where temporary storage is in memory.
        const MEMORY: i64 = 2;
        use sqlx::Row as _;
        async fn temporary_storage(connection: &mut AnyConnection) -> i64 {
            let row = sqlx::query("PRAGMA temp_store").fetch_one(connection).await.unwrap();
            row.try_get(0).unwrap()
        }
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/ledger.db", folder.path().display());
        let database = Database::open(&url).await.unwrap();
        let mut readers = Vec::new();
        for _ in 0..READERS {
            readers.push(database.pool.acquire().await.unwrap());
        }
        for reader in &mut readers {
            assert_eq!(temporary_storage(reader).await, MEMORY, "readers, checkpoints, migrations and transfers");
        }
        assert_eq!(temporary_storage(&mut database.connect().await.unwrap()).await, MEMORY, "the writer");
    }

    #[test]
    fn urls_are_understood_or_refused_without_their_password() {
        assert_eq!(backend("sqlite:///var/lib/ledger.db").unwrap(), Backend::Sqlite);
        assert_eq!(backend("postgres://a:b@c/d").unwrap(), Backend::Postgres);
        for url in ["", "mysql://a:secret@b/c", "sqlite://", "sqlite://:memory:", "/var/lib/ledger.db"] {
            let said = backend(url).unwrap_err().to_string();
            assert!(!said.contains("secret") && said.contains("postgres://"), "{said}");
        }
    }
}
