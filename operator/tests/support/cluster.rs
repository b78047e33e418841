//! An API server with one World, which notes every request and takes no write. Its worker is at work and its gates run, which no
//! World's do at once, so that a test has both.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::{Method, StatusCode};
use manyworlds_api::labels;
use manyworlds_test_support::{Answer, ApiServer, Call, kubeconfig};
use serde_json::{Value, json};

/// Time that each thing has happened at.
const TIME: &str = "2026-01-01T00:00:00Z";

/// A token of the World's pod, as far as it can be read: `{"kubernetes.io":{"namespace":"team","pod":{"name":"fix-alpha-1","uid":"p"}}}`.
pub const TOKEN: &str =
    "e30.eyJrdWJlcm5ldGVzLmlvIjp7Im5hbWVzcGFjZSI6InRlYW0iLCJwb2QiOnsibmFtZSI6ImZpeC1hbHBoYS0xIiwidWlkIjoicCJ9fX0.s";

/// A token of the pod that judges: the same with the name `fix-alpha-1-e1` and the uid `e`.
pub const TOKEN_OF_JUDGE: &str =
    "e30.eyJrdWJlcm5ldGVzLmlvIjp7Im5hbWVzcGFjZSI6InRlYW0iLCJwb2QiOnsibmFtZSI6ImZpeC1hbHBoYS0xLWUxIiwidWlkIjoiZSJ9fX0.s";

/// A token of the pod that judges the base of the order: the same with the name `fix-baseline-e1` and the uid `b`.
pub const TOKEN_OF_BASE: &str = "e30.eyJrdWJlcm5ldGVzLmlvIjp7Im5hbWVzcGFjZSI6InRlYW0iLCJwb2QiOnsibmFtZSI6ImZpeC1iYXNlbGluZS1lMSIsInVpZCI6ImIifX19.s";

/// The cluster. It serves until it is dropped.
#[derive(Clone)]
pub struct Cluster(Arc<ApiServer>);

impl Cluster {
    /// Starts to serve. The model of the World is served at an address.
    pub fn start(provider: &str) -> Self {
        let provider_url = format!("http://{provider}/v1");
        let server = ApiServer::start(move |call| std::future::ready(answer(&call, &provider_url)));
        Self(Arc::new(server.unwrap()))
    }

    /// Writes a kubeconfig for the cluster into a folder.
    pub fn kubeconfig(&self, folder: &Path) -> PathBuf {
        let path = folder.join("kubeconfig");
        std::fs::write(&path, kubeconfig(&self.0.url())).unwrap();
        path
    }

    /// Returns the requests that would have changed the cluster. A review changes nothing.
    pub fn writes(&self) -> Vec<String> {
        let writes = self.0.writes().into_iter().filter(|call| !call.path.ends_with("reviews"));
        writes.map(|call| format!("{} {}", call.method, call.path)).collect()
    }

    /// Returns whether something was read at a path with such an end.
    pub fn has_read(&self, end: &str) -> bool {
        self.0.calls().iter().any(|call| call.is_read() && call.path.ends_with(end))
    }
}

fn answer(call: &Call, provider_url: &str) -> Answer {
    match (&call.method, call.path.rsplit('/').next()) {
        (&Method::GET, Some("workorders")) => Answer::list(&[order()]),
        (&Method::GET, Some("worlds")) => Answer::list(&[world()]),
        (&Method::GET, Some("pods")) => Answer::list(&[pod(), judge(), judge_of_base()]),
        (&Method::GET, Some("providers")) => Answer::list(&[provider(provider_url)]),
        (&Method::GET, _) => Answer::list(&[]),
        (&Method::POST, Some("tokenreviews")) => Answer::object(&reviewed(&call.body)),
        _ => Answer::Text(StatusCode::SERVICE_UNAVAILABLE, String::new()),
    }
}

fn provider(url: &str) -> Value {
    json!({
        "apiVersion": "manyworlds.dev/v1alpha1", "kind": "Provider",
        "metadata": { "name": "scripted", "namespace": "team", "uid": "r", "resourceVersion": "1", "creationTimestamp": TIME },
        "spec": {
            "protocol": "OpenAI", "baseUrl": url,
            "models": [{ "name": "m", "prices": { "input": "1.00", "output": "2.00" } }],
        },
    })
}

/// Every token of an audience but one is that of the pod that works.
fn reviewed(review: &Value) -> Value {
    let mut review = review.clone();
    let (name, uid) = match review["spec"]["token"].as_str() {
        Some(TOKEN_OF_JUDGE) => ("fix-alpha-1-e1", "e"),
        Some(TOKEN_OF_BASE) => ("fix-baseline-e1", "b"),
        _ => ("fix-alpha-1", "p"),
    };
    let key = |name: &str| format!("authentication.kubernetes.io/{name}");
    review["status"] = json!({
        "authenticated": true,
        "audiences": review["spec"]["audiences"],
        "user": {
            "username": "system:serviceaccount:team:default",
            "extra": { key("pod-name"): [name], key("pod-uid"): [uid] },
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

fn container(name: &str, state: &Value) -> Value {
    json!({ "name": name, "state": state })
}

fn pod() -> Value {
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
        "spec": { "nodeName": "n", "containers": [{ "name": labels::COLLECT }] },
        "status": {
            "phase": "Pending",
            "initContainerStatuses": [container(labels::PREPARE, &ended), container(labels::WORK, &running)],
            "containerStatuses": [container(labels::COLLECT, &waiting)],
        },
    })
}

fn judge() -> Value {
    let mut judge = pod();
    let ended = json!({ "terminated": { "exitCode": 0, "startedAt": TIME, "finishedAt": TIME } });
    judge["metadata"]["name"] = json!("fix-alpha-1-e1");
    judge["metadata"]["uid"] = json!("e");
    judge["metadata"]["labels"][labels::ROLE] = json!("evaluation");
    judge["metadata"]["labels"][labels::EVALUATION] = json!("1");
    judge["spec"]["containers"] = json!([{ "name": labels::JUDGE }]);
    judge["status"]["initContainerStatuses"] = json!([container(labels::CHECKOUT, &ended)]);
    judge["status"]["containerStatuses"] =
        json!([container(labels::JUDGE, &json!({ "running": { "startedAt": TIME } }))]);
    judge
}

fn judge_of_base() -> Value {
    let mut judge = judge();
    judge["metadata"]["name"] = json!("fix-baseline-e1");
    judge["metadata"]["uid"] = json!("b");
    judge["metadata"]["labels"] =
        json!({ labels::WORK_ORDER: "fix", labels::ATTEMPT: "1", labels::EVALUATION: "1", labels::ROLE: "baseline" });
    judge["metadata"]["ownerReferences"] =
        json!([{ "apiVersion": "manyworlds.dev/v1alpha1", "kind": "WorkOrder", "name": "fix", "uid": "o" }]);
    // Its checkout runs still, as far as anybody has seen, so that it reads the base.
    judge["status"]["initContainerStatuses"][0]["state"] = json!({ "running": { "startedAt": TIME } });
    judge
}
