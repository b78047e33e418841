//! A client that does what an order cannot do without, and nothing else: 4N + 4 writes, no decisions, no safety.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use manyworlds_api::{WorkOrder, World, labels};
use manyworlds_tests::Result;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::pods::Template;
use crate::single::WORLDS;
use crate::watch;

/// The end of the name of a pod that judges.
const JUDGE: &str = "-e1";
/// The end of the name of a pod that judges the base of an order.
const BASELINE: &str = "-baseline-e1";
/// Requests under way at once.
const REQUESTS: usize = 16;

struct Floor {
    orders: Api<WorkOrder>,
    worlds: Api<World>,
    pods: Api<Pod>,
    pattern: Template,
    permits: Semaphore,
}

/// Serves the orders of a namespace until it is dropped.
///
/// # Errors
///
/// Whatever the API server says.
pub async fn run(client: Client, namespace: String, pattern: Template) -> Result {
    let floor = Arc::new(Floor {
        orders: Api::namespaced(client.clone(), &namespace),
        worlds: Api::namespaced(client.clone(), &namespace),
        pods: Api::namespaced(client.clone(), &namespace),
        pattern,
        permits: Semaphore::new(REQUESTS),
    });
    let orders = watch::follow(&client, &watch::orders(&namespace)).await?;
    let pods = watch::follow(&client, &watch::pods(&namespace)).await?;
    futures::try_join!(start(&floor, orders.boxed()), end(&floor, pods.boxed()))?;
    Ok(())
}

type Events = futures::stream::BoxStream<'static, Result<(std::time::Instant, watch::Light)>>;

/// Makes Worlds and pods of every order that comes, and says that it runs.
async fn start(floor: &Arc<Floor>, mut events: Events) -> Result {
    let (mut known, mut tasks) = (BTreeSet::new(), JoinSet::new());
    while let Some(event) = next(&mut events, &mut tasks).await? {
        let name = event.metadata.name;
        if known.insert(name.clone()) {
            let floor = Arc::clone(floor);
            tasks.spawn(async move { floor.begin(&name).await });
        }
    }
    Ok(())
}

/// The base of an order, with the Worlds that wait until it is judged.
#[derive(Default)]
enum Base {
    /// Nobody has asked for it.
    #[default]
    Unknown,
    /// It is being judged.
    Judging(Vec<String>),
    /// It is judged.
    Judged,
}

/// Has the base of every order judged, then every World in a second pod, and writes its end, and the order's with the last.
async fn end(floor: &Arc<Floor>, mut events: Events) -> Result {
    let mut ended: BTreeMap<String, usize> = BTreeMap::new();
    let mut bases: BTreeMap<String, Base> = BTreeMap::new();
    let (mut known, mut tasks) = (BTreeSet::new(), JoinSet::new());
    while let Some(pod) = next(&mut events, &mut tasks).await? {
        if !pod.has_ended() || !known.insert(pod.metadata.name.clone()) {
            continue;
        }
        let order = pod.metadata.labels.get(labels::WORK_ORDER).cloned().unwrap_or_default();
        let floor = Arc::clone(floor);
        let base = bases.entry(order.clone()).or_default();
        if pod.metadata.name.ends_with(BASELINE) {
            if let Base::Judging(waiting) = std::mem::replace(base, Base::Judged) {
                tasks.spawn(async move { floor.judge_all(&waiting, &order).await });
            }
            continue;
        }
        let Some(world) = pod.metadata.name.strip_suffix(JUDGE).map(str::to_owned) else {
            let world = pod.metadata.name;
            match base {
                Base::Unknown => {
                    *base = Base::Judging(vec![world]);
                    tasks.spawn(async move { floor.make_judge(format!("{order}{BASELINE}"), &order).await });
                }
                Base::Judging(waiting) => waiting.push(world),
                Base::Judged => {
                    tasks.spawn(async move { floor.judge(&world, &order).await });
                }
            }
            continue;
        };
        let count = ended.entry(order.clone()).or_default();
        *count += 1;
        let last_of = (*count == WORLDS).then_some(order);
        tasks.spawn(async move { floor.finish(&world, last_of).await });
    }
    Ok(())
}

/// Returns the next object, and passes on the failure of any task that has ended meanwhile.
async fn next(events: &mut Events, tasks: &mut JoinSet<Result>) -> Result<Option<watch::Light>> {
    while let Some(done) = tasks.try_join_next() {
        done??;
    }
    Ok(events.next().await.transpose()?.map(|(_, object)| object))
}

impl Floor {
    async fn begin(&self, order: &str) -> Result {
        let worlds = (1..=WORLDS).map(|number| async move {
            let name = format!("{order}-w{number}");
            let world: World = serde_json::from_value(json!({
                "metadata": {"name": name, "labels": self.pattern.world["labels"]},
                "spec": self.pattern.world["spec"],
            }))?;
            let mut pod = self.pattern.pod.clone();
            pod["metadata"]["name"] = json!(name);
            pod["metadata"]["labels"][labels::WORK_ORDER] = json!(order);
            let pod: Pod = serde_json::from_value(pod)?;
            futures::try_join!(
                self.write(async { Ok(self.worlds.create(&PostParams::default(), &world).await.map(drop)?) }),
                self.write(async { Ok(self.pods.create(&PostParams::default(), &pod).await.map(drop)?) }),
            )
        });
        futures::future::try_join_all(worlds).await?;
        self.order_status(order, &json!({"summary": "Running"})).await
    }

    /// Writes that the base is judged, and has the Worlds judged that have waited for it.
    async fn judge_all(&self, worlds: &[String], order: &str) -> Result {
        let status = json!({"baseline": self.pattern.order_status["baseline"]});
        let judged = futures::future::try_join_all(worlds.iter().map(|world| self.judge(world, order)));
        futures::try_join!(self.order_status(order, &status), judged)?;
        Ok(())
    }

    /// Makes the pod that judges a World.
    async fn judge(&self, world: &str, order: &str) -> Result {
        self.make_judge(format!("{world}{JUDGE}"), order).await
    }

    /// Makes a pod that judges.
    async fn make_judge(&self, name: String, order: &str) -> Result {
        let mut pod = self.pattern.pod.clone();
        pod["metadata"]["name"] = json!(name);
        pod["metadata"]["labels"][labels::WORK_ORDER] = json!(order);
        pod["metadata"]["labels"][labels::EVALUATION] = json!("1");
        let pod: Pod = serde_json::from_value(pod)?;
        self.write(async { Ok(self.pods.create(&PostParams::default(), &pod).await.map(drop)?) }).await
    }

    async fn finish(&self, world: &str, last_of: Option<String>) -> Result {
        let status = json!({"status": self.pattern.world_status});
        let parameters = PatchParams::default();
        let patch = Patch::Merge(&status);
        self.write(async { Ok(self.worlds.patch_status(world, &parameters, &patch).await.map(drop)?) }).await?;
        match last_of {
            Some(order) => self.order_status(&order, &self.pattern.order_status).await,
            None => Ok(()),
        }
    }

    async fn order_status(&self, order: &str, status: &Value) -> Result {
        let status = json!({"status": status});
        let parameters = PatchParams::default();
        let patch = Patch::Merge(&status);
        self.write(async { Ok(self.orders.patch_status(order, &parameters, &patch).await.map(drop)?) }).await
    }

    async fn write(&self, request: impl Future<Output = Result>) -> Result {
        let _permit = self.permits.acquire().await?;
        request.await
    }
}
