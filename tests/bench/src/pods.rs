//! Pods for the comparisons: the same as the operator's.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use manyworlds_api::labels;
use manyworlds_tests::{Namespace, Result};
use serde_json::{Value, json};

use crate::context::Bench;
use crate::single::{WORLDS, finish_one};

/// A pod of a World without what belongs to that one World.
#[derive(Clone)]
pub struct Template {
    /// Labels, annotations and specification.
    pub pod: Value,
    /// The World that it belonged to, without its name and status.
    pub world: Value,
    /// Status of that World.
    pub world_status: Value,
    /// Status of its finished order.
    pub order_status: Value,
}

impl Template {
    /// Lets the operator do one order and takes what it made as the pattern.
    ///
    /// # Errors
    ///
    /// When the order does not finish.
    pub async fn new(bench: &Bench) -> Result<Self> {
        let namespace = bench.namespace().await?;
        let operator = bench.operator().await?;
        let order = finish_one(&namespace, "pattern").await?;
        operator.kill()?;
        let pod = first::<Pod>(&namespace, &labelled(labels::ROLE, "work")).await?;
        let mut world = first::<manyworlds_api::World>(&namespace, &ListParams::default()).await?;
        let world_status = world["status"].take();
        bench.clear(namespace).await?;
        let mut spec = pod["spec"].clone();
        for field in ["nodeName", "tolerations", "priority", "preemptionPolicy"] {
            spec.as_object_mut().map(|fields| fields.remove(field));
        }
        let metadata = json!({"labels": pod["metadata"]["labels"], "annotations": pod["metadata"]["annotations"]});
        Ok(Self {
            pod: json!({"metadata": metadata, "spec": spec}),
            world: json!({"labels": world["metadata"]["labels"], "spec": world["spec"]}),
            world_status,
            order_status: serde_json::to_value(order.status)?,
        })
    }

    /// Returns a Job of as many pods as an order has Worlds.
    ///
    /// # Errors
    ///
    /// When the pattern is no pod (class: bug).
    pub fn job(&self, name: &str) -> Result<Job> {
        Ok(serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {
                "completionMode": "Indexed",
                "completions": WORLDS,
                "parallelism": WORLDS,
                "backoffLimit": 6,
                "template": self.pod,
            },
        }))?)
    }
}

/// Returns what lists the objects with a label.
fn labelled(name: &str, value: &str) -> ListParams {
    ListParams::default().labels(&format!("{name}={value}"))
}

async fn first<K>(namespace: &Namespace, which: &ListParams) -> Result<Value>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = namespace.api();
    let list = api.list(&which.clone().limit(1)).await?;
    Ok(serde_json::to_value(list.items.into_iter().next().ok_or("the order left nothing")?)?)
}
