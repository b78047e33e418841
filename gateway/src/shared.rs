//! The state that all calls of a gateway share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use manyworlds_ledger::Ledger;
use manyworlds_telemetry::Metrics;

use crate::body_permits::BodyPermits;
use crate::cache::Cache;
use crate::client::Clients;
use crate::kept_bytes::AnswerRoom;
use crate::queue::FairQueue;
use crate::wait_list::WaitList;

/// The number of Providers above which empty queues are forgotten.
const QUEUES: usize = 1024;

pub(crate) struct Shared {
    pub(crate) ledger: Ledger,
    pub(crate) metrics: Metrics,
    pub(crate) clients: Clients,
    pub(crate) cache: Cache,
    pub(crate) waits: WaitList,
    pub(crate) body_permits: Arc<BodyPermits>,
    queues: Mutex<HashMap<String, Arc<FairQueue>>>,
}

impl Shared {
    pub(crate) fn new(ledger: Ledger, metrics: Metrics, clients: Clients, cache_bytes: usize, waits: WaitList) -> Self {
        let cache = Cache::new(cache_bytes, metrics.clone());
        Self { ledger, metrics, clients, cache, waits, body_permits: Arc::default(), queues: Mutex::default() }
    }

    /// Returns the room for the answers of a World.
    pub(crate) fn answer_room(&self, world_uid: &str) -> AnswerRoom {
        AnswerRoom::new(&self.body_permits, world_uid)
    }

    /// Returns the queue in front of a Provider.
    pub(crate) fn queue(&self, provider: &str) -> Arc<FairQueue> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get(provider) {
            return queue.clone();
        }
        if queues.len() >= QUEUES {
            queues.retain(|_, queue| Arc::strong_count(queue) > 1);
        }
        queues.entry(provider.to_owned()).or_default().clone()
    }
}
