//! Answers that need not be paid for twice: the same request at temperature 0 gets the answer that it got before.
//!
//! Kept in memory, the least recently used go first, bounded in bytes. Whose answers a World may have is the scope of its
//! grant, which is a part of the key; so is every byte of the request, and with it every sampling parameter.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use lru::LruCache;
use manyworlds_telemetry::{CacheWord, Metrics};
use sha2::{Digest, Sha256};

use crate::access::Grant;
use crate::answer::{Answer, Body};
use crate::endpoint::Endpoint;
use crate::forward::Asked;
use crate::request::{Prepared, samples};

/// An answer of more than this share of the cache is not kept: it would drive out too many others.
const LARGEST_SHARE: usize = 16;
/// What an entry takes besides its body, roughly.
const ENTRY: usize = 1024;
/// Says that an answer was kept from before and costs nothing.
const HEADER: &str = "x-manyworlds-cache";
/// Headers that change what a request means.
const MEANING: [&str; 3] = ["anthropic-version", "anthropic-beta", "openai-beta"];

/// Names a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CacheKey([u8; 32]);

/// Returns the name of a request, where its answer may be kept: somebody may have it, and its temperature is 0.
pub(crate) fn key(asked: &Asked, endpoint: &Endpoint, grant: &Grant, prepared: &Prepared) -> Option<CacheKey> {
    let scope = grant.cache_scope.as_deref()?;
    if !samples(endpoint) || prepared.temperature != Some(0.0) {
        return None;
    }
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        // Lengths keep parts from running into each other.
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    };
    add(scope.as_bytes());
    add(grant.provider_key.as_bytes());
    add(endpoint.upstream_path().unwrap_or_default().as_bytes());
    add(asked.query.as_deref().unwrap_or_default().as_bytes());
    for name in MEANING {
        add(asked.headers.get(name).map_or(&[][..], HeaderValue::as_bytes));
    }
    // The event that the gateway itself asked for is not in the answer that is kept.
    add(if prepared.usage_added { b"stripped" } else { b"as it came" });
    // What was let through for others is not looked through.
    add(if asked.screen.is_some() { b"screened" } else { b"" });
    add(&prepared.body);
    Some(CacheKey(hash.finalize().into()))
}

/// The answers. Clones share them.
#[derive(Clone)]
pub(crate) struct Cache {
    held: Arc<Mutex<Held>>,
    most: usize,
    metrics: Metrics,
}

struct Held {
    answers: LruCache<CacheKey, Kept>,
    bytes: usize,
}

struct Kept {
    headers: HeaderMap,
    body: Bytes,
}

impl Cache {
    /// Returns a cache of at most so many bytes; none is kept where that is 0.
    pub(crate) fn new(most: usize, metrics: Metrics) -> Self {
        let held = Held { answers: LruCache::unbounded(), bytes: 0 };
        Self { held: Arc::new(Mutex::new(held)), most, metrics }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the answer that a request got before.
    pub(crate) fn find(&self, key: CacheKey) -> Option<Answer> {
        let found = self.held().answers.get(&key).map(|kept| (kept.headers.clone(), kept.body.clone()));
        let word = if found.is_some() { CacheWord::Hit } else { CacheWord::Miss };
        self.metrics.llm_cache.with_label_values(&[word.as_str()]).inc();
        let (mut headers, body) = found?;
        headers.insert(HEADER, HeaderValue::from_static("hit"));
        Some(Answer { status: StatusCode::OK, headers, body: Body::whole(body) })
    }

    /// Begins to keep an answer as it passes.
    pub(crate) fn record(&self, key: CacheKey, headers: &HeaderMap) -> Recording {
        Recording { cache: self.clone(), key, headers: headers.clone(), body: Some(Vec::new()) }
    }

    fn keep(&self, key: CacheKey, kept: Kept) {
        let mut held = self.held();
        held.bytes += size(&kept);
        if let Some(before) = held.answers.put(key, kept) {
            held.bytes -= size(&before);
        }
        while held.bytes > self.most {
            let Some((_, oldest)) = held.answers.pop_lru() else { break };
            held.bytes -= size(&oldest);
        }
        self.metrics.llm_cache_bytes.set(i64::try_from(held.bytes).unwrap_or(i64::MAX));
    }
}

fn size(kept: &Kept) -> usize {
    kept.body.len() + ENTRY
}

/// An answer on its way that is kept if all of it comes.
pub(crate) struct Recording {
    cache: Cache,
    key: CacheKey,
    headers: HeaderMap,
    /// `None` once it is too large.
    body: Option<Vec<u8>>,
}

impl Recording {
    /// Notes a part.
    pub(crate) fn feed(&mut self, part: &[u8]) {
        let largest = self.cache.most / LARGEST_SHARE;
        if let Some(body) = &mut self.body {
            if body.len() + part.len() + ENTRY <= largest {
                body.extend_from_slice(part);
            } else {
                self.body = None;
            }
        }
    }

    /// Keeps the answer: all of it has come.
    pub(crate) fn finish(self) {
        if let Some(body) = self.body {
            self.cache.keep(self.key, Kept { headers: self.headers, body: body.into() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> CacheKey {
        CacheKey([number; 32])
    }

    fn keep(cache: &Cache, number: u8, bytes: usize) {
        let mut recording = cache.record(key(number), &HeaderMap::new());
        recording.feed(&vec![0; bytes]);
        recording.finish();
    }

    #[test]
    fn the_least_recently_used_answers_go_first_and_the_bound_holds() {
        let metrics = Metrics::new("test").unwrap();
        let cache = Cache::new(64 * 1024, metrics.clone());
        for number in 0..21 {
            keep(&cache, number, 2 * 1024);
        }
        assert!(cache.find(key(0)).is_some());
        keep(&cache, 21, 2 * 1024);
        assert!(cache.find(key(0)).is_some(), "it was used last");
        assert!(cache.find(key(1)).is_none(), "it was not");
        assert!(metrics.llm_cache_bytes.get() <= 64 * 1024);
        assert_eq!(metrics.llm_cache.with_label_values(&["hit"]).get(), 2);
        assert_eq!(metrics.llm_cache.with_label_values(&["miss"]).get(), 1);
    }

    #[test]
    fn what_is_too_large_or_said_twice_does_not_grow_the_count() {
        let metrics = Metrics::new("test").unwrap();
        let cache = Cache::new(64 * 1024, metrics.clone());
        keep(&cache, 1, 5 * 1024);
        assert!(cache.find(key(1)).is_none(), "more than a sixteenth");
        keep(&cache, 2, 1024);
        keep(&cache, 2, 1024);
        assert_eq!(metrics.llm_cache_bytes.get(), 2048);
    }
}
