//! An API server that answers with one object that cannot be read, and one that can.

use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use kube::runtime::watcher::Config;
use manyworlds_telemetry::Metrics;
use serde_json::{Value, json};
use tower::service_fn;

use super::observers::{Noted, Orders};
use crate::cluster::{self, Cluster};
use crate::index::Index;
use crate::reconcile::queue::work_queue;
use crate::watch::watches::Watches;

type Writes = Arc<Mutex<Vec<(String, Value)>>>;

fn order(name: &str, task: &Value) -> Value {
    json!({
        "apiVersion": "manyworlds.dev/v1alpha1", "kind": "WorkOrder",
        "metadata": { "name": name, "namespace": "team", "uid": name, "resourceVersion": "1" },
        "spec": { "source": { "git": { "url": "https://forge.example/a" } }, "task": task },
    })
}

/// Returns a client of an API server that lists two orders and then has no more to tell.
fn api_server(writes: Writes) -> Client {
    let service = service_fn(move |request: Request<Body>| {
        let writes = writes.clone();
        async move {
            let (head, body) = request.into_parts();
            let query = head.uri.query().unwrap_or_default();
            if head.method == Method::GET && query.contains("watch=") {
                return pending().await;
            }
            let answer = if head.method == Method::GET {
                let items = [order("bad", &json!({ "title": 7 })), order("good", &json!({ "title": "t" }))];
                json!({ "kind": "List", "apiVersion": "v1", "metadata": { "resourceVersion": "1" }, "items": items })
            } else {
                let bytes = body.collect_bytes().await.unwrap();
                let written: Value = serde_json::from_slice(&bytes).unwrap();
                writes.lock().unwrap().push((head.uri.path().to_owned(), written.clone()));
                written
            };
            Ok::<_, Infallible>(Response::new(Body::from(serde_json::to_vec(&answer).unwrap())))
        }
    });
    Client::new(service, "default")
}

async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..500 {
        if let Some(found) = look() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("in vain: {what}")
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_told_once_and_keeps_no_other_from_being_seen() {
    let written = Writes::default();
    let client = api_server(written.clone());
    let metrics = Metrics::new("0").unwrap();
    let (queue, _scheduled) = work_queue();
    let index = Arc::new(Index::default());
    let cluster = Cluster { client, namespace: None, metrics: metrics.clone() };
    let writes = cluster::Writes::start(&cluster);
    let mut watches = Watches::new(cluster, Some(writes));
    watches.start(Config::default(), Orders(Noted { index: index.clone(), queue }));
    tokio::time::timeout(Duration::from_secs(10), watches.listed()).await.unwrap();

    assert_eq!(index.census().active, 1, "the good order is seen");
    assert_eq!(metrics.objects_unreadable.with_label_values(&["workorder"]).get(), 1);
    let both = until("an event and a condition", || {
        let written = written.lock().unwrap();
        (written.len() == 2).then(|| written.clone())
    })
    .await;
    let of = |end: &str| both.iter().find(|(path, _)| path.ends_with(end)).map(|(_, body)| body.clone()).unwrap();
    let condition = &of("/team/workorders/bad/status")["status"]["conditions"][0];
    assert_eq!((&condition["type"], &condition["status"]), (&json!("Stalled"), &json!("True")));
    assert!(condition["message"].as_str().unwrap().contains("spec.task.title: invalid type"), "{condition}");
    let event = of("/team/events");
    assert_eq!((&event["reason"], &event["regarding"]["name"]), (&json!("Unreadable"), &json!("bad")));
}
