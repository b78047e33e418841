//! Orders at a fixed pace, whether or not those before are done: what a user waits for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::Api;
use manyworlds_api::{WorkOrder, labels};
use manyworlds_tests::{Namespace, Result, orders};
use tokio::task::JoinSet;

use crate::context::Bench;
use crate::figures::{Figure, Report, Target, percentile};
use crate::floor;
use crate::machine::ControlPlane;
use crate::pods::Template;
use crate::single::{WORLDS, finish_one};
use crate::watch::{self, Light};

/// The figures of this part.
pub const FIGURES: [Figure; 4] = [
    Figure { id: "pods_created_p50_ms", unit: "ms", target: Target::AtMost(30.0) },
    Figure { id: "pods_created_p99_ms", unit: "ms", target: Target::AtMost(100.0) },
    Figure { id: "finished_p50_ms", unit: "ms", target: Target::AtMost(50.0) },
    Figure { id: "finished_p99_ms", unit: "ms", target: Target::AtMost(200.0) },
];

/// Orders in a second.
const PACE: u64 = 5;
/// The time after the last order within which all must be over.
const LIMIT: Duration = Duration::from_mins(2);

/// The times of one order.
#[derive(Default)]
struct Times {
    sent: Option<Instant>,
    pods: BTreeMap<String, PodTimes>,
    finished: Option<Instant>,
}

struct PodTimes {
    /// Whether a World works in it. It is judged in another one.
    works: bool,
    seen: Instant,
    ended: Option<Instant>,
}

/// An event of an order, as the bench sees it.
enum Happening {
    Pod(Instant, Light),
    Order(Instant, Light),
}

/// Measures from the request that makes an order to its fifth pod, and from its last pod's end to its own: of the floor for
/// comparison, then of the operator.
///
/// # Errors
///
/// When orders do not finish.
pub async fn measure(bench: &Bench, report: &mut Report) -> Result {
    // What this machine gives a client that does the least, so that a figure can be told from the machine.
    let pattern = Template::new(bench).await?;
    let namespace = bench.namespace().await?;
    let client = bench.identity.cluster().await?.client;
    let floor = tokio::spawn(floor::run(client, namespace.name.clone(), pattern));
    let (mut created, mut finished) = tokio::select! {
        times = pace(bench, &namespace) => times?,
        ended = floor => return Err(format!("the floor ended early: {ended:?}").into()),
    };
    report.note(format!(
        "paced floor: to its pods {:.0} ms (p50), {:.0} ms (p99); to Finished {:.0} ms, {:.0} ms",
        percentile(&mut created, 50.0),
        percentile(&mut created, 99.0),
        percentile(&mut finished, 50.0),
        percentile(&mut finished, 99.0),
    ));
    bench.clear(namespace).await?;

    let namespace = bench.namespace().await?;
    let operator = bench.operator().await?;
    finish_one(&namespace, "warm-up").await?;
    let before = ControlPlane::now(&bench.cluster_folder());
    let start = Instant::now();
    let (mut created, mut finished) = pace(bench, &namespace).await?;
    let busy = ControlPlane::now(&bench.cluster_folder()).since(&before, start.elapsed().as_secs_f64());
    report.add(FIGURES[0], percentile(&mut created, 50.0));
    report.add(FIGURES[1], percentile(&mut created, 99.0));
    report.add(FIGURES[2], percentile(&mut finished, 50.0));
    report.add(FIGURES[3], percentile(&mut finished, 99.0));
    report.note(format!(
        "paced: {} orders at {PACE} a second, open loop, times from watch events; busy cores: {busy}",
        created.len()
    ));
    operator.kill()?;
    bench.clear(namespace).await
}

/// Sends orders at their pace; returns, for every order, the milliseconds to its pods and those from its last pod's end to
/// its own.
async fn pace(bench: &Bench, namespace: &Namespace) -> Result<(Vec<f64>, Vec<f64>)> {
    let count = bench.settings.paced_seconds * PACE;
    eprintln!("{PACE} orders a second for {} s", bench.settings.paced_seconds);
    let client = &bench.cluster.client;
    let pods = watch::follow(client, &watch::pods(&namespace.name)).await?;
    let orders = watch::follow(client, &watch::orders(&namespace.name)).await?;
    let pods = pods.map(|event| event.map(|(time, pod)| Happening::Pod(time, pod)));
    let orders = orders.map(|event| event.map(|(time, order)| Happening::Order(time, order)));
    let sender = tokio::spawn(send(namespace.api(), count));
    let mut times: BTreeMap<String, Times> = BTreeMap::new();
    let happenings = collect(futures::stream::select(pods.boxed(), orders.boxed()), &mut times, count);
    let limit = Duration::from_secs(bench.settings.paced_seconds) + LIMIT;
    tokio::time::timeout(limit, happenings).await.map_err(|_| "paced orders did not finish")??;
    for (name, sent) in sender.await?? {
        times.entry(name).or_default().sent = Some(sent);
    }
    Ok(durations(&times))
}

/// Sends orders at their times, and never waits for an answer before the next.
async fn send(api: Api<WorkOrder>, count: u64) -> Result<Vec<(String, Instant)>> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / u32::try_from(PACE)?);
    let mut requests = JoinSet::new();
    let mut sent = Vec::new();
    for number in 0..count {
        ticks.tick().await;
        let name = format!("paced-{number}");
        let order = orders::fake(&name, WORLDS)?;
        let api = api.clone();
        sent.push((name, Instant::now()));
        requests.spawn(async move { orders::create(&api, &order).await });
    }
    while let Some(answer) = requests.join_next().await {
        answer??;
    }
    Ok(sent)
}

async fn collect(
    mut happenings: impl StreamExt<Item = Result<Happening>> + Unpin,
    times: &mut BTreeMap<String, Times>,
    count: u64,
) -> Result {
    let mut finished = 0;
    while let Some(happening) = happenings.next().await {
        match happening? {
            Happening::Pod(time, pod) => {
                let Some(order) = pod.metadata.labels.get(labels::WORK_ORDER) else { continue };
                let ended = pod.has_ended();
                let entry = times.entry(order.clone()).or_default();
                let works = !pod.metadata.labels.contains_key(labels::EVALUATION);
                let pod = entry.pods.entry(pod.metadata.name).or_insert(PodTimes { works, seen: time, ended: None });
                if ended && pod.ended.is_none() {
                    pod.ended = Some(time);
                }
            }
            Happening::Order(time, order) => {
                if !order.holds("Finished") {
                    continue;
                }
                let entry = times.entry(order.metadata.name).or_default();
                if entry.finished.replace(time).is_none() {
                    finished += 1;
                }
            }
        }
        let pods_seen = || times.values().all(|times| times.pods.values().all(|pod| pod.ended.is_some()));
        if finished == count && pods_seen() {
            return Ok(());
        }
    }
    Err("a watch ended early".into())
}

/// Returns, for every order, the milliseconds until all its Worlds have a pod, and those from its last pod's end to its own.
fn durations(times: &BTreeMap<String, Times>) -> (Vec<f64>, Vec<f64>) {
    let milliseconds = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64() * 1000.0;
    let (mut created, mut finished) = (Vec::new(), Vec::new());
    for times in times.values() {
        let (Some(sent), Some(end)) = (times.sent, times.finished) else { continue };
        if let (Some(seen), Some(ended)) = (
            times.pods.values().filter(|pod| pod.works).map(|pod| pod.seen).max(),
            times.pods.values().filter_map(|pod| pod.ended).max(),
        ) {
            created.push(milliseconds(sent, seen));
            finished.push(milliseconds(ended, end));
        }
    }
    (created, finished)
}
