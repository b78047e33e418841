//! Moves what was committed from SQLite's log into its file, beside the writer.
//!
//! A checkpoint waits for the disk. The writer would make one by itself whenever its log has grown, and all callers would wait
//! with it; another connection makes them while the writer goes on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::store::{Backend, Database};

/// The least time between two checkpoints.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Checkpoints {
    database: Arc<Database>,
    last: Instant,
    running: Option<JoinHandle<()>>,
}

impl Checkpoints {
    pub(super) fn new(database: &Arc<Database>) -> Self {
        Self { database: database.clone(), last: Instant::now(), running: None }
    }

    pub(super) fn backend(&self) -> Backend {
        self.database.backend
    }

    /// Begins a checkpoint if it is time for one and none is under way.
    pub(super) fn wrote(&mut self) {
        let runs = self.running.as_ref().is_some_and(|running| !running.is_finished());
        if self.backend() != Backend::Sqlite || runs || self.last.elapsed() < PAUSE {
            return;
        }
        self.last = Instant::now();
        let database = self.database.clone();
        self.running = Some(tokio::spawn(async move {
            if let Err(error) = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&database.pool).await {
                // The writer makes one when its log has grown.
                tracing::debug!(%error, "a checkpoint of the ledger failed");
            }
        }));
    }
}
