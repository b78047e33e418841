//! An operator with thousands of finished orders and nothing to do for them.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use manyworlds_api::WorkOrder;
use manyworlds_tests::{Result, orders};
use serde_json::json;

use crate::context::Bench;
use crate::figures::{Figure, Report, Target};
use crate::machine::{peak_memory, processor_seconds};
use crate::pods::Template;
use crate::single::WORLDS;

/// The figures of this part.
pub const FIGURES: [Figure; 2] = [
    Figure { id: "quiet_writes", unit: "requests", target: Target::Exactly(0.0) },
    Figure { id: "quiet_cpu_percent", unit: "%", target: Target::Below(1.0) },
];

/// Processor time in a second below which the operator has read all that was there when it started.
const SETTLED: f64 = 0.02;

/// Measures what an operator does that has nothing to do.
///
/// # Errors
///
/// When the orders cannot be made.
pub async fn measure(bench: &Bench, report: &mut Report) -> Result {
    let (count, seconds) = (bench.settings.quiet_orders, bench.settings.quiet_seconds);
    eprintln!("{count} finished orders, {seconds} s");
    let pattern = Template::new(bench).await?;
    let namespace = bench.namespace().await?;
    let api: Api<WorkOrder> = namespace.api();
    let status = json!({"status": pattern.order_status});
    futures::stream::iter(0..count)
        .map(|number| {
            let (api, status) = (&api, &status);
            async move {
                let name = format!("finished-{number}");
                api.create(&PostParams::default(), &orders::fake(&name, WORLDS)?).await?;
                api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
                Result::Ok(())
            }
        })
        .buffer_unordered(bench.settings.concurrency)
        .try_collect::<()>()
        .await?;
    let operator = bench.operator().await?;
    settle(operator.id()).await?;
    let (before, mark, start) = (processor_seconds(operator.id())?, bench.audit.mark()?, Instant::now());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let elapsed = start.elapsed().as_secs_f64();
    let used = processor_seconds(operator.id())? - before;
    let requests = bench.audit.since(mark, &bench.identity.user())?;
    report.add(FIGURES[0], f64::from(requests.writes + requests.events));
    report.add(FIGURES[1], used / elapsed * 100.0);
    report.note(format!(
        "quiet: {count} orders with the status of a finished one, their Worlds and pods already gone; {elapsed:.0} s; {} reads; operator's peak {:.1} MiB",
        requests.reads,
        peak_memory(operator.id())?
    ));
    operator.kill()?;
    bench.clear(namespace).await
}

async fn settle(pid: u32) -> Result {
    loop {
        let before = processor_seconds(pid)?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        if processor_seconds(pid)? - before <= SETTLED {
            return Ok(());
        }
    }
}
