//! The writer's connection to PostgreSQL, which is made anew where it broke: a server that starts again, or one that takes the
//! place of another, needs no new start of this process.
//!
//! **Invariant: the epoch stays.** Whether it still lives, the guard of the next transaction says.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::Connection;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::error::LedgerError;
use crate::store::{Backend, Database, WritingConnection};

/// How long a transaction may take, the wait for the lock included: less than the silence after which a process is taken for dead.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(45);
/// How long the server may take to answer a connection, or a ping.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The pauses before the first attempts to connect again: callers who ask meanwhile wait.
const FIRST_PAUSES: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(700),
    Duration::from_millis(1500),
];
/// The pause between later ones: callers who ask meanwhile get an error.
const LATER_PAUSE: Duration = Duration::from_secs(1);

/// How the connection stands.
enum ConnectionState {
    Connected,
    Broken,
    /// The server cannot be reached; why, and until when nobody tries again.
    Unreachable(String, Instant),
}

pub(super) struct Recovery {
    database: Arc<Database>,
    state: ConnectionState,
    superseded: watch::Sender<bool>,
}

impl Recovery {
    pub(super) fn new(database: &Arc<Database>, superseded: watch::Sender<bool>) -> Self {
        Self { database: database.clone(), state: ConnectionState::Connected, superseded }
    }

    /// Makes a broken connection anew.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Unreachable`], at once where it was tried a moment ago.
    pub(super) async fn restore(&mut self, writing: &mut WritingConnection) -> Result<(), LedgerError> {
        let pauses = match &self.state {
            ConnectionState::Connected => return Ok(()),
            ConnectionState::Broken => FIRST_PAUSES.as_slice(),
            ConnectionState::Unreachable(why, until) if Instant::now() < *until => {
                return Err(LedgerError::Unreachable(why.clone()));
            }
            ConnectionState::Unreachable(..) => &FIRST_PAUSES[..1],
        };
        let mut why = String::new();
        for pause in pauses {
            sleep(*pause).await;
            match timeout(ANSWER_TIMEOUT, self.database.connect()).await {
                Ok(Ok(connection)) => {
                    writing.connection = connection;
                    self.state = ConnectionState::Connected;
                    tracing::info!("there is a connection to the ledger's database again");
                    return Ok(());
                }
                Ok(Err(error)) => why = error.to_string(),
                Err(_) => why = format!("no connection in {} s", ANSWER_TIMEOUT.as_secs()),
            }
        }
        self.state = ConnectionState::Unreachable(why.clone(), Instant::now() + LATER_PAUSE);
        Err(LedgerError::Unreachable(why))
    }

    /// Returns whether the connection still stands after an error, and notes it where it does not.
    pub(super) async fn stands_after(&mut self, error: &LedgerError, writing: &mut WritingConnection) -> bool {
        match error {
            LedgerError::Superseded(_) => {
                self.superseded.send_replace(true);
                return true;
            }
            LedgerError::Locked => return true,
            LedgerError::Unreachable(_) => {}
            _ if writing.backend == Backend::Sqlite => return true,
            _ => {
                if matches!(timeout(ANSWER_TIMEOUT, writing.connection.ping()).await, Ok(Ok(()))) {
                    return true;
                }
            }
        }
        tracing::warn!(%error, "the connection to the ledger's database broke; it is made anew");
        self.state = ConnectionState::Broken;
        false
    }
}

/// Does something within the time that a transaction may take.
///
/// - **Errors:** [`LedgerError::Unreachable`] after that time; the connection is of no more use then.
pub(super) async fn in_time<T>(work: impl Future<Output = Result<T, LedgerError>>) -> Result<T, LedgerError> {
    let late = || LedgerError::Unreachable(format!("no answer in {} s", TRANSACTION_TIMEOUT.as_secs()));
    timeout(TRANSACTION_TIMEOUT, work).await.unwrap_or_else(|_| Err(late()))
}
