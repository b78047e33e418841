//! An operator that is started while thousands of orders wait that are as large as orders may be.

use futures::{StreamExt, TryStreamExt};
use kube::Api;
use kube::api::PostParams;
use manyworlds_api::WorkOrder;
use manyworlds_tests::{Result, eventually, orders};
use serde_json::{Value, json};

use crate::context::Bench;
use crate::figures::{Figure, Report, Target};
use crate::machine::peak_memory;

/// The figures of this part. The target is half of the memory that the chart gives the operator.
pub const FIGURES: [Figure; 1] = [Figure { id: "large_orders_mib", unit: "MiB", target: Target::AtMost(256.0) }];

/// The longest time until the operator has looked at all orders.
const LIMIT: std::time::Duration = std::time::Duration::from_mins(10);

/// Measures the memory of an operator that starts and finds orders of the largest size.
///
/// # Errors
///
/// When the orders cannot be made, or the operator does not come to look at them.
pub async fn measure(bench: &Bench, report: &mut Report) -> Result {
    let count = bench.settings.large_orders;
    eprintln!("{count} orders of the largest size");
    let namespace = bench.namespace().await?;
    let api: Api<WorkOrder> = namespace.api();
    let largest = largest()?;
    let bytes = serde_json::to_vec(&largest)?.len();
    futures::stream::iter(0..count)
        .map(|number| {
            let mut order = largest.clone();
            order.metadata.name = Some(format!("large-{number}"));
            let api = &api;
            async move { api.create(&PostParams::default(), &order).await.map(drop) }
        })
        .buffer_unordered(bench.settings.concurrency)
        .try_collect::<()>()
        .await?;
    let operator = bench.operator().await?;
    let last = format!("large-{}", count.saturating_sub(1));
    // The queue is worked off in order, so the last one has a status when all have been looked at.
    eventually(&format!("{last} was looked at"), LIMIT, || async {
        Ok(api.get(&last).await?.status.and_then(|status| status.summary))
    })
    .await?;
    report.add(FIGURES[0], peak_memory(operator.id())?);
    report.note(format!(
        "large orders: {count} suspended orders of {bytes} bytes each, all there before the operator starts"
    ));
    operator.kill()?;
    bench.clear(namespace).await
}

/// Returns an order that can hardly be larger.
fn largest() -> Result<WorkOrder> {
    let text = |length: usize| "x".repeat(length);
    let env: Vec<Value> = (0..6).map(|number| json!({"name": format!("A{number}"), "value": text(16_384)})).collect();
    let mut order = orders::fake("large", 1)?;
    order.spec.suspend = true;
    order.spec.task.body = text(65_536);
    order.spec.worker = serde_json::from_value(json!({
        "plugin": "command", "command": [text(16_384), text(16_384), text(7000)], "env": env,
        "podTemplate": {"annotations": {"a": text(8192), "b": text(8000)}},
    }))?;
    order.spec.evaluation.protected_paths = vec![text(256); 32];
    Ok(order)
}
