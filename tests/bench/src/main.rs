//! Measures what section "Figures" of the design promises, on a control plane with fake nodes, and says what was missed.
//!
//! ```text
//! idle -> single order -> paced orders -> bursts (Jobs, floor, operator) -> quiet -> first output (real node)
//! ```
//!
//! The operator under test is the release build, started as a process with a ServiceAccount of its own.

mod audit;
mod burst;
mod context;
mod figures;
mod first_output;
mod floor;
mod idle;
mod machine;
mod paced;
mod pods;
mod quiet;
mod single;
mod watch;

use clap::Parser;
use manyworlds_tests::Result;

use context::{Bench, Settings};
use figures::Report;

#[tokio::main]
async fn main() -> Result {
    let settings = Settings::parse();
    let bench = Bench::new(settings).await?;
    let mut report = Report::default();
    let measured = measure(&bench, &mut report).await;
    // What was measured before a failure is worth as much as without it.
    report.print(&bench.machine);
    report.write(&bench.settings.output)?;
    measured
}

async fn measure(bench: &Bench, report: &mut Report) -> Result {
    if bench.wants(&idle::FIGURES) {
        idle::measure(bench, report).await?;
    }
    if bench.wants(&single::FIGURES) {
        single::measure(bench, report).await?;
    }
    if bench.wants(&paced::FIGURES) {
        paced::measure(bench, report).await?;
    }
    if bench.wants(&burst::FIGURES) {
        burst::measure(bench, report).await?;
    }
    if bench.wants(&quiet::FIGURES) {
        quiet::measure(bench, report).await?;
    }
    if bench.wants(&first_output::FIGURES) {
        first_output::measure(bench, report).await?;
    }
    Ok(())
}
