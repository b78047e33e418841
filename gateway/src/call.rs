//! A call while it is served: the client's request, what it becomes for one model, and what was tried so far.

use std::sync::Arc;

use http::HeaderMap;
use jiff::Timestamp;
use manyworlds_api::provider::Protocol;
use manyworlds_ledger::Caller;

use crate::access::Grant;
use crate::cache::CacheKey;
use crate::endpoint::Endpoint;
use crate::redactor::Redactor;
use crate::request::Prepared;

/// A client's request that was understood.
pub(crate) struct ModelRequest {
    pub(crate) endpoint: Endpoint,
    pub(crate) protocol: Protocol,
    pub(crate) caller: Arc<Caller>,
    pub(crate) headers: HeaderMap,
    pub(crate) query: Option<String>,
    /// Masks secrets in the calls of our own worker. Other clients have none.
    pub(crate) redactor: Option<Redactor>,
}

/// A request as it goes to the model that it was granted.
pub(crate) struct ModelCall<'a> {
    pub(crate) request: &'a ModelRequest,
    /// The request's endpoint, with the name of the model as the Provider knows it.
    pub(crate) endpoint: Endpoint,
    pub(crate) grant: Grant,
    pub(crate) prepared: Prepared,
    /// The name under which the answer is kept, where it may be kept.
    pub(crate) cache_key: Option<CacheKey>,
}

/// The attempts that a request has had, at whichever models: their number and time are bounded for all models together.
pub(crate) struct RetryState {
    begun: Timestamp,
    attempts: u32,
}

impl RetryState {
    /// Returns the state of a request that begins now.
    pub(crate) fn begin() -> Self {
        Self { begun: Timestamp::now(), attempts: 0 }
    }

    /// Returns when the request began.
    pub(crate) const fn begun(&self) -> Timestamp {
        self.begun
    }

    /// Returns how many attempts were made.
    pub(crate) const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Counts one attempt more.
    pub(crate) const fn count_attempt(&mut self) {
        self.attempts += 1;
    }

    /// Returns how often the request was tried again, where it was tried.
    pub(crate) fn retries(&self) -> Option<u32> {
        self.attempts.checked_sub(1)
    }

    /// Returns whether further tries may be left to the client. A client counts its own requests, and not the attempts that
    /// one of them made here.
    pub(crate) const fn leaves_retries(&self) -> bool {
        self.attempts <= 1
    }
}
