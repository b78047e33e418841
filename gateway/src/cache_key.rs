//! The key under which an answer is kept: a hash of everything that the answer depends on.
//!
//! The scope of the grant says whose answers a World may have. It is a part of the key. So is every byte of the request, and with
//! it every sampling parameter.

use http::HeaderValue;
use sha2::{Digest, Sha256};

use crate::access::Grant;
use crate::cache::CacheKey;
use crate::call::ModelRequest;
use crate::endpoint::Endpoint;
use crate::request::{Prepared, samples};

/// Headers that change what a request means.
const MEANINGFUL_HEADERS: [&str; 3] = ["anthropic-version", "anthropic-beta", "openai-beta"];

/// Returns the key of a request whose answer may be kept: its grant has a scope, and its temperature is 0.
pub(crate) fn cache_key(
    request: &ModelRequest,
    endpoint: &Endpoint,
    grant: &Grant,
    prepared: &Prepared,
) -> Option<CacheKey> {
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
    add(request.query.as_deref().unwrap_or_default().as_bytes());
    for name in MEANINGFUL_HEADERS {
        add(request.headers.get(name).map_or(&[][..], HeaderValue::as_bytes));
    }
    // The event that the gateway itself asked for is not in the answer that is kept.
    add(if prepared.usage_added { b"filtered" } else { b"as it came" });
    // Answers for other clients are not masked.
    add(if request.redactor.is_some() { b"redacted" } else { b"" });
    add(&prepared.body);
    Some(CacheKey(hash.finalize().into()))
}
