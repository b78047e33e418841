//! An API server that answers with one object that cannot be read, and one that can.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use kube::runtime::watcher::Config;
use manyworlds_telemetry::Metrics;
use manyworlds_test_support::{Answer, ApiServer, LIMIT, eventually};
use serde_json::{Value, json};

use super::observers::{Noted, Orders};
use crate::cluster::{self, Cluster};
use crate::index::Index;
use crate::index::fixtures::client_of;
use crate::reconcile::queue::work_queue;
use crate::watch::watches::Watches;

fn order(name: &str, task: &Value) -> Value {
    json!({
        "apiVersion": "manyworlds.dev/v1alpha1", "kind": "WorkOrder",
        "metadata": {
            "name": name, "namespace": "team", "uid": name, "resourceVersion": "1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": { "source": { "git": { "url": "https://forge.example/a" } }, "task": task },
    })
}

/// Starts an API server that lists two orders, and answers a write with what is written.
fn api_server() -> ApiServer {
    let orders = Answer::list(&[order("bad", &json!({ "title": 7 })), order("good", &json!({ "title": "t" }))]);
    ApiServer::start(move |call| ready(if call.is_read() { orders.clone() } else { Answer::object(&call.body) }))
        .unwrap()
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_told_once_and_keeps_no_other_from_being_seen() {
    let server = api_server();
    let metrics = Metrics::new("0").unwrap();
    let (queue, _scheduled) = work_queue();
    let index = Arc::new(Index::default());
    let cluster = Cluster { client: client_of(&server), namespace: None, metrics: metrics.clone() };
    let writes = cluster::Writes::start(&cluster);
    let mut watches = Watches::new(cluster, Some(writes));
    watches.start(Config::default(), Orders(Noted { index: index.clone(), queue }));
    tokio::time::timeout(Duration::from_secs(10), watches.listed()).await.unwrap();

    assert_eq!(index.census().active, 1, "the good order is seen");
    assert_eq!(metrics.objects_unreadable.with_label_values(&["workorder"]).get(), 1);
    let both = eventually("an event and a condition are written", LIMIT, || {
        let writes = server.writes();
        ready((writes.len() == 2).then_some(writes))
    });
    let both = both.await.unwrap();
    let of = |end: &str| both.iter().find(|call| call.path.ends_with(end)).map(|call| call.body.clone()).unwrap();
    let condition = &of("/team/workorders/bad/status")["status"]["conditions"][0];
    assert_eq!((&condition["type"], &condition["status"]), (&json!("Stalled"), &json!("True")));
    assert!(condition["message"].as_str().unwrap().contains("spec.task.title: invalid type"), "{condition}");
    let event = of("/team/events");
    assert_eq!((&event["reason"], &event["regarding"]["name"]), (&json!("Unreadable"), &json!("bad")));
}
