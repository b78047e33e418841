//! What all calls of a gateway share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use manyworlds_ledger::Ledger;
use manyworlds_telemetry::Metrics;

use crate::bodies::Bodies;
use crate::cache::Cache;
use crate::client::Clients;
use crate::line::Line;
use crate::waits::WaitList;

/// The most Providers whose lines are remembered when nobody stands in them.
const LINES: usize = 1024;

pub(crate) struct Shared {
    pub(crate) ledger: Ledger,
    pub(crate) metrics: Metrics,
    pub(crate) clients: Clients,
    pub(crate) cache: Cache,
    pub(crate) waits: WaitList,
    pub(crate) bodies: Arc<Bodies>,
    lines: Mutex<HashMap<String, Arc<Line>>>,
}

impl Shared {
    pub(crate) fn new(ledger: Ledger, metrics: Metrics, clients: Clients, cache_bytes: usize, waits: WaitList) -> Self {
        let cache = Cache::new(cache_bytes, metrics.clone());
        Self { ledger, metrics, clients, cache, waits, bodies: Arc::default(), lines: Mutex::default() }
    }

    /// Returns the line in front of a Provider.
    pub(crate) fn line(&self, provider: &str) -> Arc<Line> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(provider) {
            return line.clone();
        }
        if lines.len() >= LINES {
            lines.retain(|_, line| Arc::strong_count(line) > 1);
        }
        lines.entry(provider.to_owned()).or_default().clone()
    }
}
