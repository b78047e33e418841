//! The requests of one order on an idle cluster.

use kube::{Api, ResourceExt};
use manyworlds_api::WorkOrder;
use manyworlds_tests::{LIMIT, Namespace, Result, eventually, orders};

use crate::context::Bench;
use crate::figures::{Figure, Report, Target};

/// The figures of this part.
pub const FIGURES: [Figure; 2] = [
    Figure { id: "order_writes", unit: "requests", target: Target::Exactly(24.0) },
    Figure { id: "order_reads", unit: "requests", target: Target::Exactly(0.0) },
];

/// Worlds of an order.
pub const WORLDS: usize = 5;
/// Writes that an order of [`WORLDS`] cannot do without: a World, two pods and a status each, a pod that judges the base, and three
/// statuses of its own.
pub const FLOOR_OF_WRITES: f64 = 24.0;

/// Counts the requests of one order, after another one has warmed the caches.
///
/// # Errors
///
/// When an order does not finish.
pub async fn measure(bench: &Bench, report: &mut Report) -> Result {
    eprintln!("a single order");
    let namespace = bench.namespace().await?;
    let operator = bench.operator().await?;
    let user = bench.identity.user();
    let before = bench.audit.mark()?;
    finish_one(&namespace, "warm-up").await?;
    bench.audit.until_quiet(before, &user).await?;
    let mark = bench.audit.mark()?;
    finish_one(&namespace, "measured").await?;
    let requests = bench.audit.until_quiet(mark, &user).await?;
    report.add(FIGURES[0], f64::from(requests.writes));
    report.add(FIGURES[1], f64::from(requests.reads));
    report.note(format!("one order: {} Events (at most 2)", requests.events));
    operator.kill()?;
    bench.clear(namespace).await
}

/// Makes an order and waits until it is over.
///
/// # Errors
///
/// When it does not finish.
pub async fn finish_one(namespace: &Namespace, name: &str) -> Result<WorkOrder> {
    let api: Api<WorkOrder> = namespace.api();
    let name = orders::create(&api, &orders::fake(name, WORLDS)?).await?.name_any();
    eventually(&format!("{name} is finished"), LIMIT, || async {
        let order = api.get(&name).await?;
        Ok(order.is_finished().then_some(order))
    })
    .await
}
