//! Moves what was committed from SQLite's log into its file, beside the writer.
//!
//! A checkpoint waits for the disk. The writer would make one by itself whenever its log has grown, and all callers would wait
//! with it; another connection makes them while the writer goes on. What is written meanwhile is left over, and the log begins
//! anew only when nothing is: so the writer itself moves that little when the log has grown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::{AnyConnection, Executor, Row};
use tokio::task::JoinHandle;

use crate::store::backend::Backend;
use crate::store::database::Database;

/// The least time between two checkpoints.
const PAUSE: Duration = Duration::from_secs(1);
/// From how many pages on the log is to begin anew: 16 MiB.
const GROWN: i64 = 4000;

pub(super) struct Checkpoints {
    database: Arc<Database>,
    last: Instant,
    /// Returns how many pages the log has.
    running: Option<JoinHandle<i64>>,
}

impl Checkpoints {
    pub(super) fn new(database: &Arc<Database>) -> Self {
        Self { database: database.clone(), last: Instant::now(), running: None }
    }

    pub(super) fn backend(&self) -> Backend {
        self.database.backend
    }

    /// Begins a checkpoint if it is time for one and none is under way, and ends one where the log has grown.
    pub(super) async fn wrote(&mut self, writer: &mut AnyConnection) {
        if self.backend() != Backend::Sqlite {
            return;
        }
        if let Some(ended) = self.running.take_if(|running| running.is_finished()) {
            if ended.await.is_ok_and(|pages| pages >= GROWN) {
                checkpoint(writer).await;
            }
        } else if self.running.is_none() && self.last.elapsed() >= PAUSE {
            self.last = Instant::now();
            let database = self.database.clone();
            self.running = Some(tokio::spawn(async move { checkpoint(&database.pool).await }));
        }
    }
}

/// Moves what no reader needs any more, and returns how many pages the log has.
async fn checkpoint<'a>(connection: impl Executor<'a, Database = sqlx::Any>) -> i64 {
    let made = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(connection).await;
    made.and_then(|row| row.try_get("log")).unwrap_or_else(|error| {
        // The next one moves it too, and the writer makes one by itself when its log has grown a lot.
        tracing::debug!(%error, "a checkpoint of the ledger failed");
        0
    })
}
