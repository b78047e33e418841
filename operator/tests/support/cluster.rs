//! An API server with one World at work, which notes every request and takes no write.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use futures::stream;
use manyworlds_api::labels;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Time that each thing has happened at.
const TIME: &str = "2026-01-01T00:00:00Z";

/// The cluster. It serves as long as the test's runtime.
#[derive(Clone)]
pub struct Cluster {
    address: String,
    provider_url: String,
    requests: Arc<Mutex<Vec<(Method, String)>>>,
}

impl Cluster {
    /// Starts to serve. The model of the World is served at an address.
    pub async fn start(provider: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let cluster = Self { address, provider_url: format!("http://{provider}/v1"), requests: Arc::default() };
        let router = Router::new().fallback(answer).with_state(cluster.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        cluster
    }

    /// Writes a kubeconfig for the cluster into a folder.
    pub fn kubeconfig(&self, folder: &Path) -> PathBuf {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{ "name": "c", "cluster": { "server": format!("http://{}", self.address) } }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
            "users": [{ "name": "u", "user": {} }],
        });
        let path = folder.join("kubeconfig");
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// Returns the requests that would have changed the cluster. A review changes nothing.
    pub fn writes(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        let writes = requests.iter().filter(|(method, path)| *method != Method::GET && !path.ends_with("reviews"));
        writes.map(|(method, path)| format!("{method} {path}")).collect()
    }

    /// Returns whether something was read at a path with such an end.
    pub fn has_read(&self, end: &str) -> bool {
        let requests = self.requests.lock().unwrap();
        requests.iter().any(|(method, path)| *method == Method::GET && path.ends_with(end))
    }

    fn items(&self, kind: &str) -> Vec<Value> {
        match kind {
            "workorders" => vec![order()],
            "worlds" => vec![world()],
            "pods" => vec![pod()],
            "providers" => vec![self.provider()],
            _ => Vec::new(),
        }
    }

    fn provider(&self) -> Value {
        json!({
            "apiVersion": "manyworlds.dev/v1alpha1", "kind": "Provider",
            "metadata": { "name": "scripted", "namespace": "team", "uid": "r", "resourceVersion": "1" },
            "spec": {
                "protocol": "OpenAI", "baseUrl": self.provider_url,
                "models": [{ "name": "m", "prices": { "input": "1.00", "output": "2.00" } }],
            },
        })
    }
}

async fn answer(State(cluster): State<Cluster>, method: Method, uri: Uri, body: Bytes) -> Response {
    let path = uri.path().to_owned();
    cluster.requests.lock().unwrap().push((method.clone(), path.clone()));
    let last = path.rsplit('/').next().unwrap_or_default();
    match (method, last) {
        (Method::GET, _) if uri.query().unwrap_or_default().contains("watch=") => {
            // Nothing ever happens.
            Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()).into_response()
        }
        (Method::GET, kind) => {
            let metadata = json!({ "resourceVersion": "1" });
            let items = cluster.items(kind);
            Json(json!({ "kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items })).into_response()
        }
        (Method::POST, "tokenreviews") => Json(reviewed(&body)).into_response(),
        _ => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// Every token of an audience is that of the World's pod.
fn reviewed(body: &[u8]) -> Value {
    let mut review: Value = serde_json::from_slice(body).unwrap();
    let key = |name: &str| format!("authentication.kubernetes.io/{name}");
    review["status"] = json!({
        "authenticated": true,
        "audiences": review["spec"]["audiences"],
        "user": {
            "username": "system:serviceaccount:team:default",
            "extra": { key("pod-name"): ["fix-alpha-1"], key("pod-uid"): ["p"] },
        },
    });
    review
}

fn order() -> Value {
    json!({
        "apiVersion": "manyworlds.dev/v1alpha1", "kind": "WorkOrder",
        "metadata": { "name": "fix", "namespace": "team", "uid": "o", "resourceVersion": "1", "creationTimestamp": TIME },
        "spec": {
            "source": { "git": { "url": "https://forge.example/a", "revision": "main" } },
            "task": { "title": "Fix it" },
            "worker": { "plugin": "coder" },
            "worlds": { "variants": [{ "name": "alpha", "model": "m" }] },
        },
    })
}

fn world() -> Value {
    json!({
        "apiVersion": "manyworlds.dev/v1alpha1", "kind": "World",
        "metadata": {
            "name": "fix-alpha", "namespace": "team", "uid": "w", "resourceVersion": "1", "creationTimestamp": TIME,
            "labels": { labels::WORK_ORDER: "fix" },
        },
        "spec": {
            "order": { "name": "fix", "uid": "o" },
            "variant": { "name": "alpha", "index": 0, "model": "m" },
            "blueprint": { "plugin": "coder", "image": "i", "resources": {} },
        },
    })
}

fn pod() -> Value {
    let container = |name: &str, state: Value| json!({ "name": name, "state": state });
    let ended = json!({ "terminated": { "exitCode": 0, "startedAt": TIME, "finishedAt": TIME } });
    let (running, waiting) = (json!({ "running": { "startedAt": TIME } }), json!({ "waiting": {} }));
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "fix-alpha-1", "namespace": "team", "uid": "p", "resourceVersion": "1", "creationTimestamp": TIME,
            "labels": { labels::WORK_ORDER: "fix", labels::WORLD: "alpha", labels::ATTEMPT: "1" },
            "ownerReferences": [{
                "apiVersion": "manyworlds.dev/v1alpha1", "kind": "World", "name": "fix-alpha", "uid": "w",
            }],
        },
        "spec": { "nodeName": "n", "containers": [{ "name": labels::EVALUATE }] },
        "status": {
            "phase": "Pending",
            "initContainerStatuses": [container(labels::PREPARE, ended), container(labels::WORK, running)],
            "containerStatuses": [container(labels::EVALUATE, waiting)],
        },
    })
}
