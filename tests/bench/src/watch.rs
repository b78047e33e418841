//! Watches that read little of each object, so that the bench takes as little of the machine as it can.

use std::time::Instant;

use futures::{Stream, StreamExt};
use http::Request;
use kube::Client;
use kube::api::WatchEvent;
use manyworlds_tests::Result;
use serde::Deserialize;
use serde_json::Value;

/// What the bench reads of an object.
#[derive(Clone, Debug, Deserialize)]
pub struct Light {
    /// Name and labels.
    pub metadata: Metadata,
    /// Phase and conditions.
    #[serde(default)]
    pub status: Status,
}

/// Name and labels of an object.
#[derive(Clone, Debug, Deserialize)]
pub struct Metadata {
    /// Name.
    pub name: String,
    /// Labels.
    #[serde(default)]
    pub labels: std::collections::BTreeMap<String, String>,
}

/// Phase and conditions of an object.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Status {
    /// Phase of a pod.
    #[serde(default)]
    pub phase: String,
    /// Conditions.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// One condition.
#[derive(Clone, Debug, Deserialize)]
pub struct Condition {
    /// Type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
}

impl Light {
    /// Returns whether a condition is True.
    pub fn holds(&self, kind: &str) -> bool {
        self.status.conditions.iter().any(|condition| condition.kind == kind && condition.status == "True")
    }

    /// Returns whether a pod has ended.
    pub fn has_ended(&self) -> bool {
        ["Succeeded", "Failed"].contains(&self.status.phase.as_str())
    }
}

/// Watches what is below a path of the API from now on; every object comes with the time at which it was seen.
///
/// # Errors
///
/// Whatever the API server says.
pub async fn follow(
    client: &Client,
    path: &str,
) -> Result<impl Stream<Item = Result<(Instant, Light)>> + Send + use<>> {
    let list: Value = client.request(Request::get(format!("{path}?limit=1")).body(Vec::new())?).await?;
    let version = list["metadata"]["resourceVersion"].as_str().ok_or("a list without a version")?;
    let request = Request::get(format!("{path}?watch=true&resourceVersion={version}&timeoutSeconds=7200"));
    let events = client.request_events::<Light>(request.body(Vec::new())?).await?;
    Ok(events.filter_map(|event| async move {
        match event {
            Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => Some(Ok((Instant::now(), object))),
            Ok(WatchEvent::Deleted(_) | WatchEvent::Bookmark(_)) => None,
            Ok(WatchEvent::Error(status)) => Some(Err(status.message.into())),
            Err(error) => Some(Err(error.into())),
        }
    }))
}

/// Returns the path of the WorkOrders of a namespace.
pub fn orders(namespace: &str) -> String {
    format!("/apis/manyworlds.dev/v1alpha1/namespaces/{namespace}/workorders")
}

/// Returns the path of the pods of a namespace.
pub fn pods(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods")
}

/// Returns the path of the Jobs of a namespace.
pub fn jobs(namespace: &str) -> String {
    format!("/apis/batch/v1/namespaces/{namespace}/jobs")
}
