//! An operator with nothing to do.

use std::time::Duration;

use manyworlds_tests::Result;

use crate::context::Bench;
use crate::figures::{Figure, Report, Target};
use crate::machine::peak_memory;

/// The figures of this part.
pub const FIGURES: [Figure; 1] = [Figure { id: "rss_mib_idle", unit: "MiB", target: Target::AtMost(20.0) }];
/// For how long the operator is looked at.
const WINDOW: Duration = Duration::from_secs(15);

/// Measures the memory of an operator that has nothing to do.
///
/// # Errors
///
/// When the operator does not become ready.
pub async fn measure(bench: &Bench, report: &mut Report) -> Result {
    eprintln!("idle");
    let operator = bench.operator().await?;
    tokio::time::sleep(WINDOW).await;
    report.add(FIGURES[0], peak_memory(operator.id())?);
    Ok(operator.kill()?)
}
