//! Answers that need not be paid for twice: the same request at temperature 0 gets the answer that it got before.
//!
//! They are kept in memory and bounded in bytes. The least recently used go first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use lru::LruCache;
use manyworlds_telemetry::{CacheLabel, Metrics};

use crate::kept_bytes::{AnswerRoom, KeptBytes};
use crate::response::{Body, ClientResponse};

/// An answer of more than this share of the cache is not kept: it would drive out too many others.
const LARGEST_SHARE: usize = 16;
/// The bytes that an entry takes besides its body, roughly.
const ENTRY: usize = 1024;
/// The header of an answer that was kept from before and costs nothing.
const HEADER: &str = "x-manyworlds-cache";

/// The hash of everything that an answer depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CacheKey(pub(crate) [u8; 32]);

/// The answers. Clones share them.
#[derive(Clone)]
pub(crate) struct Cache {
    entries: Arc<Mutex<Entries>>,
    most: usize,
    metrics: Metrics,
}

struct Entries {
    answers: LruCache<CacheKey, CachedAnswer>,
    bytes: usize,
}

struct CachedAnswer {
    headers: HeaderMap,
    body: Bytes,
}

impl Cache {
    /// Returns a cache of at most so many bytes. With 0, no answer is kept.
    pub(crate) fn new(most: usize, metrics: Metrics) -> Self {
        let entries = Entries { answers: LruCache::unbounded(), bytes: 0 };
        Self { entries: Arc::new(Mutex::new(entries)), most, metrics }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // Nothing panics while it holds the lock.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the answer that a request got before, where there is room for it until its client has taken it.
    pub(crate) fn find(&self, key: CacheKey, room: &AnswerRoom) -> Option<ClientResponse> {
        let found = self.entries().answers.get(&key).map(|cached| (cached.headers.clone(), cached.body.clone()));
        let found = found.and_then(|(headers, body)| Some((headers, room.hold(body).ok()?)));
        let word = if found.is_some() { CacheLabel::Hit } else { CacheLabel::Miss };
        self.metrics.llm_cache.with_label_values(&[word.as_str()]).inc();
        let (mut headers, body) = found?;
        headers.insert(HEADER, HeaderValue::from_static("hit"));
        Some(ClientResponse { status: StatusCode::OK, headers, body: Body::whole(body) })
    }

    /// Begins to record an answer as it passes.
    pub(crate) fn record(&self, key: CacheKey, headers: &HeaderMap, room: &AnswerRoom) -> Recording {
        Recording { cache: self.clone(), key, headers: headers.clone(), body: Some(KeptBytes::within(room)) }
    }

    fn keep(&self, key: CacheKey, answer: CachedAnswer) {
        let mut entries = self.entries();
        entries.bytes += size(&answer);
        if let Some(before) = entries.answers.put(key, answer) {
            entries.bytes -= size(&before);
        }
        while entries.bytes > self.most {
            let Some((_, oldest)) = entries.answers.pop_lru() else { break };
            entries.bytes -= size(&oldest);
        }
        self.metrics.llm_cache_bytes.set(i64::try_from(entries.bytes).unwrap_or(i64::MAX));
    }
}

fn size(answer: &CachedAnswer) -> usize {
    answer.body.len() + ENTRY
}

/// An answer on its way, kept if all of it comes.
pub(crate) struct Recording {
    cache: Cache,
    key: CacheKey,
    headers: HeaderMap,
    /// `None` once it is too large, or there is no room for it.
    body: Option<KeptBytes>,
}

impl Recording {
    /// Records a part.
    pub(crate) fn feed(&mut self, part: &[u8]) {
        let largest = self.cache.most / LARGEST_SHARE;
        if let Some(body) = &mut self.body
            && (body.len() + part.len() + ENTRY > largest || body.extend(part).is_err())
        {
            self.body = None;
        }
    }

    /// Keeps the answer: all of it has come.
    pub(crate) fn finish(self) {
        if let Some(mut body) = self.body {
            self.cache.keep(self.key, CachedAnswer { headers: self.headers, body: body.take().into() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> CacheKey {
        CacheKey([number; 32])
    }

    fn find(cache: &Cache, number: u8) -> Option<ClientResponse> {
        cache.find(key(number), &AnswerRoom::default())
    }

    fn keep(cache: &Cache, number: u8, bytes: usize) {
        let mut recording = cache.record(key(number), &HeaderMap::new(), &AnswerRoom::default());
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
        assert!(find(&cache, 0).is_some());
        keep(&cache, 21, 2 * 1024);
        assert!(find(&cache, 0).is_some(), "it was used last");
        assert!(find(&cache, 1).is_none(), "it was not");
        assert!(metrics.llm_cache_bytes.get() <= 64 * 1024);
        assert_eq!(metrics.llm_cache.with_label_values(&["hit"]).get(), 2);
        assert_eq!(metrics.llm_cache.with_label_values(&["miss"]).get(), 1);
    }

    #[test]
    fn an_answer_that_is_too_large_or_comes_twice_does_not_grow_the_count() {
        let metrics = Metrics::new("test").unwrap();
        let cache = Cache::new(64 * 1024, metrics.clone());
        keep(&cache, 1, 5 * 1024);
        assert!(find(&cache, 1).is_none(), "more than a sixteenth");
        keep(&cache, 2, 1024);
        keep(&cache, 2, 1024);
        assert_eq!(metrics.llm_cache_bytes.get(), 2048);
    }
}
