//! Watches that read little of each object, so that the bench takes as little of the machine as it can.

use std::time::Instant;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use http::Request;
use kube::Client;
use kube::api::WatchEvent;
use manyworlds_tests::Result;
use serde::Deserialize;
use serde_json::Value;

/// The part of an object that the bench reads.
#[derive(Clone, Debug, Deserialize)]
pub struct Light {
    /// Name and labels.
    pub metadata: Metadata,
    /// Phase and conditions.
    #[serde(default)]
    pub status: Status,
}

/// Name, version and labels of an object.
#[derive(Clone, Debug, Deserialize)]
pub struct Metadata {
    /// Name.
    pub name: String,
    /// Version.
    #[serde(rename = "resourceVersion")]
    pub resource_version: String,
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
/// - **Guarantees:** goes on where it was when the API server ends it.
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
    let place = Place { client: client.clone(), path: path.to_owned(), version: version.to_owned() };
    let events = place.open().await?;
    Ok(futures::stream::try_unfold((place, events), |(mut place, mut events)| async move {
        loop {
            match events.next().await.transpose()? {
                // The API server ends the watch of a client that it takes for too slow.
                None => events = place.open().await?,
                Some(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                    place.version.clone_from(&object.metadata.resource_version);
                    return Ok(Some(((Instant::now(), object), (place, events))));
                }
                Some(WatchEvent::Deleted(object)) => place.version = object.metadata.resource_version,
                Some(WatchEvent::Bookmark(_)) => {}
                Some(WatchEvent::Error(status)) => return Err(status.message.into()),
            }
        }
    }))
}

/// The position of a watch.
struct Place {
    client: Client,
    path: String,
    version: String,
}

impl Place {
    /// Watches what comes behind it.
    async fn open(&self) -> Result<BoxStream<'static, kube::Result<WatchEvent<Light>>>> {
        let Self { client, path, version } = self;
        let request = Request::get(format!("{path}?watch=true&resourceVersion={version}&timeoutSeconds=7200"));
        Ok(client.request_events::<Light>(request.body(Vec::new())?).await?.boxed())
    }
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
