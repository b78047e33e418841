//! A small server in the operator's place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use manyworlds_api::artifacts::{DIGEST_HEADER, hexadecimal};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tiny_http::{Header, Method, Response, ResponseBox};

/// The requests to the operator.
#[derive(Clone, Default)]
pub struct Received {
    /// What was stored, by its path; the base of the order is [`BUNDLE`], and what the gates give there [`BASELINE`].
    pub artifacts: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    pub pinned: Arc<Mutex<Option<String>>>,
    /// How many more requests are answered as by an operator that is just being started again.
    pub absences: Arc<AtomicU32>,
    /// How many more uploads find the volume full.
    pub full: Arc<AtomicU32>,
    /// How often a base has come.
    pub bundles: Arc<AtomicU32>,
    /// The end of the path of what is refused, because it would go over a bound.
    pub over_quota: Arc<Mutex<Option<&'static str>>>,
    /// The tokens that came with the requests.
    pub tokens: Arc<Mutex<BTreeSet<String>>>,
}

/// Where the base of the order is among the artifacts: all Worlds share it.
pub const BUNDLE: &str = "bundle";
/// Where that is what the gates give at the base.
pub const BASELINE: &str = "baseline";

impl Received {
    fn answer(&self, method: &Method, path: &str, body: Vec<u8>) -> ResponseBox {
        if counted_down(&self.absences) {
            return Response::from_string("no backend").with_status_code(503).boxed();
        }
        if path.ends_with("/base") {
            let found: Value = serde_json::from_slice(&body).unwrap();
            let mut pinned = self.pinned.lock().unwrap();
            let commit = pinned.get_or_insert_with(|| found["commit"].as_str().unwrap().to_owned());
            return Response::from_string(json!({ "commit": commit }).to_string()).boxed();
        }
        let shared = [BUNDLE, BASELINE].into_iter().find(|name| path.ends_with(&format!("/{name}")));
        let key = shared.unwrap_or(path);
        if *method == Method::Put { self.stored(key, body) } else { self.found(key) }
    }

    fn stored(&self, key: &str, body: Vec<u8>) -> ResponseBox {
        if counted_down(&self.full) {
            return refusal(507, "full");
        }
        if self.over_quota.lock().unwrap().is_some_and(|end| key.ends_with(end)) {
            return refusal(413, "over its bound");
        }
        let mut artifacts = self.artifacts.lock().unwrap();
        if key == BUNDLE {
            self.bundles.fetch_add(1, Ordering::Relaxed);
        }
        if [BUNDLE, BASELINE].contains(&key) {
            // The first to come decides.
            artifacts.entry(key.to_owned()).or_insert(body);
        } else {
            artifacts.insert(key.to_owned(), body);
        }
        Response::from_string("{}").with_status_code(201).boxed()
    }

    fn found(&self, key: &str) -> ResponseBox {
        let artifacts = self.artifacts.lock().unwrap();
        let Some(bytes) = artifacts.get(key) else { return refusal(404, "not there") };
        let digest: Header = format!("{DIGEST_HEADER}: {}", hexadecimal(&Sha256::digest(bytes))).parse().unwrap();
        Response::from_data(bytes.clone()).with_header(digest).boxed()
    }
}

/// Returns whether a request is one of those that are still to be counted.
fn counted_down(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

fn refusal(status: u16, message: &str) -> ResponseBox {
    let error = json!({ "code": "refused", "message": message, "hint": "store less" });
    Response::from_string(json!({ "error": error }).to_string()).with_status_code(status).boxed()
}

/// Starts the server.
pub fn start(received: &Received) -> String {
    let server = tiny_http::Server::http("127.0.0.1:0").unwrap();
    let url = format!("http://{}", server.server_addr());
    let received = received.clone();
    std::thread::spawn(move || {
        for mut request in server.incoming_requests() {
            let mut body = Vec::new();
            request.as_reader().read_to_end(&mut body).unwrap();
            let token = request.headers().iter().find(|header| header.field.equiv("Authorization"));
            received.tokens.lock().unwrap().extend(token.map(|header| header.value.to_string()));
            let (method, path) = (request.method().clone(), request.url().to_owned());
            request.respond(received.answer(&method, &path, body)).unwrap();
        }
    });
    url
}
