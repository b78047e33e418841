//! Many orders at once: how many a second come to their end, against Jobs and against the least that can be written.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use kube::Api;
use kube::api::PostParams;
use manyworlds_tests::{Result, orders};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::Bench;
use crate::figures::{Figure, Report, Target};
use crate::floor;
use crate::machine::{ControlPlane, peak_memory, processor_seconds};
use crate::pods::Template;
use crate::single::{FLOOR_OF_WRITES, WORLDS};
use crate::watch;

/// The figures of this part.
pub const FIGURES: [Figure; 5] = [
    Figure { id: "orders_rate_vs_job", unit: "ratio", target: Target::AtLeast(1.1) },
    Figure { id: "orders_rate_vs_floor", unit: "ratio", target: Target::AtLeast(0.9) },
    Figure { id: "loaded_writes_ratio", unit: "ratio", target: Target::AtMost(1.2) },
    Figure { id: "cpu_s_per_1000_orders", unit: "s", target: Target::AtMost(9.0) },
    Figure { id: "rss_mib_5000_pods", unit: "MiB", target: Target::AtMost(100.0) },
];

/// The longest burst.
const LIMIT: Duration = Duration::from_mins(20);

/// Runs the bursts, each on a cluster that has nothing else to do.
///
/// # Errors
///
/// When a burst does not end.
pub async fn measure(bench: &Bench, report: &mut Report) -> Result {
    let pattern = Template::new(bench).await?;
    let jobs = if bench.wants(&FIGURES[..1]) { Some(burst_of_jobs(bench, report, &pattern).await?) } else { None };
    let floor = if bench.wants(&FIGURES[1..2]) { Some(burst_of_floor(bench, report, &pattern).await?) } else { None };
    let rate = burst_of_orders(bench, report).await?;
    if let Some(jobs) = jobs {
        report.add(FIGURES[0], rate / jobs);
    }
    if let Some(floor) = floor {
        report.add(FIGURES[1], rate / floor);
    }
    Ok(())
}

async fn burst_of_jobs(bench: &Bench, report: &mut Report, pattern: &Template) -> Result<f64> {
    let namespace = bench.namespace().await?;
    let jobs = (0..bench.settings.orders).map(|number| pattern.job(&format!("job-{number}"))).collect::<Result<_>>()?;
    let burst = Burst { path: watch::jobs(&namespace.name), condition: "Complete", what: "Jobs" };
    let rate = burst.run(bench, report, namespace.api(), jobs).await?;
    bench.clear(namespace).await?;
    Ok(rate)
}

async fn burst_of_floor(bench: &Bench, report: &mut Report, pattern: &Template) -> Result<f64> {
    let namespace = bench.namespace().await?;
    let floor =
        tokio::spawn(floor::run(bench.identity.cluster().await?.client, namespace.name.clone(), pattern.clone()));
    let burst = Burst { path: watch::orders(&namespace.name), condition: "Finished", what: "orders of the floor" };
    let rate = tokio::select! {
        rate = burst.run(bench, report, namespace.api(), fake_orders(bench)?) => rate?,
        ended = floor => return Err(format!("the floor ended early: {ended:?}").into()),
    };
    bench.clear(namespace).await?;
    Ok(rate)
}

async fn burst_of_orders(bench: &Bench, report: &mut Report) -> Result<f64> {
    let namespace = bench.namespace().await?;
    let operator = bench.operator().await?;
    let before = processor_seconds(operator.id())?;
    let mark = bench.audit.mark()?;
    let burst = Burst { path: watch::orders(&namespace.name), condition: "Finished", what: "orders of the operator" };
    let rate = burst.run(bench, report, namespace.api(), fake_orders(bench)?).await?;
    let requests = bench.audit.until_quiet(mark, &bench.identity.user()).await?;
    #[expect(clippy::cast_precision_loss, reason = "thousands of orders")]
    let count = bench.settings.orders as f64;
    report.add(FIGURES[2], f64::from(requests.writes) / (count * FLOOR_OF_WRITES));
    report.add(FIGURES[3], (processor_seconds(operator.id())? - before) / count * 1000.0);
    report.add(FIGURES[4], peak_memory(operator.id())?);
    report.note(format!(
        "burst: {:.2} writes, {:.2} reads and {:.2} Events an order",
        f64::from(requests.writes) / count,
        f64::from(requests.reads) / count,
        f64::from(requests.events) / count,
    ));
    operator.kill()?;
    bench.clear(namespace).await?;
    Ok(rate)
}

fn fake_orders(bench: &Bench) -> Result<Vec<manyworlds_api::WorkOrder>> {
    (0..bench.settings.orders).map(|number| orders::fake(&format!("order-{number}"), WORLDS)).collect()
}

/// Objects that are all made at once.
struct Burst {
    path: String,
    condition: &'static str,
    what: &'static str,
}

impl Burst {
    /// Makes the objects and waits until all are over; returns how many a second were, from the first request on.
    async fn run<K>(&self, bench: &Bench, report: &mut Report, api: Api<K>, objects: Vec<K>) -> Result<f64>
    where
        K: Clone + Debug + Serialize + DeserializeOwned + Send + Sync,
    {
        eprintln!("{} {}", objects.len(), self.what);
        let folder = bench.cluster_folder();
        let count = objects.len();
        let before = ControlPlane::now(&folder);
        let events = watch::follow(&bench.cluster.client, &self.path).await?;
        let start = Instant::now();
        let made = futures::stream::iter(objects)
            .map(|object| {
                let api = &api;
                async move { api.create(&PostParams::default(), &object).await }
            })
            .buffer_unordered(bench.settings.concurrency)
            .try_for_each(|_| async { Ok(()) });
        let over = async {
            let mut events = std::pin::pin!(events);
            let mut finished = BTreeSet::new();
            while finished.len() < count {
                let (_, object) = events.next().await.ok_or("the watch ended early")??;
                if object.holds(self.condition) {
                    finished.insert(object.metadata.name);
                }
            }
            Result::Ok(())
        };
        let both = async { futures::try_join!(async { Ok(made.await?) }, over) };
        tokio::time::timeout(LIMIT, both).await.map_err(|_| format!("the {} did not end", self.what))??;
        let elapsed = start.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "thousands of objects")]
        let rate = count as f64 / elapsed;
        let busy = ControlPlane::now(&folder).since(&before, elapsed);
        report.note(format!("{count} {}: {rate:.1} a second, {elapsed:.1} s; busy cores: {busy}", self.what));
        Ok(rate)
    }
}
