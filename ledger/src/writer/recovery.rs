//! The recovery of the writer's connection to PostgreSQL: a broken one is made anew, so that this process goes on when the server
//! starts again or another takes its place.
//!
//! **Invariant: the epoch stays.** The guard of the next transaction finds out whether it has ended.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::Connection;
use tokio::time::{sleep, timeout};

use crate::ending::Ending;
use crate::error::LedgerError;
use crate::store::backend::Backend;
use crate::store::database::{Database, WritingConnection};

/// The longest time of a transaction, the wait for the lock included. It is shorter than the lease of a process.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(45);
/// The longest time in which the server answers a connection or a ping.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The pauses before the first attempts to connect again. Callers wait meanwhile.
const FIRST_PAUSES: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(700),
    Duration::from_millis(1500),
];
/// The pause between later attempts. Callers get an error meanwhile.
const LATER_PAUSE: Duration = Duration::from_secs(1);

/// The state of the connection.
enum ConnectionState {
    Connected,
    Broken,
    /// The server cannot be reached: the reason, and the time of the next attempt.
    Unreachable(String, Instant),
}

pub(super) struct Recovery {
    database: Arc<Database>,
    state: ConnectionState,
    ending: Ending,
}

impl Recovery {
    pub(super) fn new(database: &Arc<Database>, ending: Ending) -> Self {
        Self { database: database.clone(), state: ConnectionState::Connected, ending }
    }

    /// Makes a broken connection anew.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Unreachable`], at once where the last attempt was a moment ago.
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

    /// Tells that nothing may be written any more.
    pub(super) fn give_up(&self, why: &LedgerError) {
        self.ending.tell(why);
    }

    /// Returns whether the connection survived an error, and marks it as broken where it did not.
    pub(super) async fn survived(&mut self, error: &LedgerError, writing: &mut WritingConnection) -> bool {
        match error {
            LedgerError::Superseded(_) => {
                self.ending.tell(error);
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

/// Runs work within the time of a transaction.
///
/// # Errors
///
/// [`LedgerError::Unreachable`] after that time; the connection is of no more use then.
pub(super) async fn with_timeout<T>(work: impl Future<Output = Result<T, LedgerError>>) -> Result<T, LedgerError> {
    let late = || LedgerError::Unreachable(format!("no answer in {} s", TRANSACTION_TIMEOUT.as_secs()));
    timeout(TRANSACTION_TIMEOUT, work).await.unwrap_or_else(|_| Err(late()))
}
