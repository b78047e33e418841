//! Measures what section "Figures" of the design promises, on a control plane with fake nodes, and says what was missed.
//!
//! ```text
//! idle -> single order -> paced orders -> bursts (Jobs, floor, operator) -> quiet -> large orders -> stops -> first output, evaluation (real node) -> gateway
//! ```
//!
//! The gateway is measured without a cluster.
//!
//! The operator under test is the release build, started as a process with a ServiceAccount of its own.

mod audit;
mod burst;
mod context;
mod evaluation;
mod figures;
mod first_output;
mod floor;
mod gateway;
mod idle;
mod large;
mod machine;
mod paced;
mod pods;
mod quiet;
mod real;
mod single;
mod stops;
mod watch;

use clap::Parser;
use manyworlds_tests::Result;

use context::{Bench, Settings};
use figures::{Figure, Report};
use machine::Machine;

#[tokio::main]
async fn main() -> Result {
    let settings = Settings::parse();
    let mut report = Report::default();
    let measured = measure(&settings, &mut report).await;
    // What was measured before a failure is worth as much as without it.
    report.print(&Machine::this());
    report.write(&settings.output)?;
    measured
}

async fn measure(settings: &Settings, report: &mut Report) -> Result {
    let on_cluster: [&[Figure]; 9] = [
        &idle::FIGURES,
        &single::FIGURES,
        &paced::FIGURES,
        &burst::FIGURES,
        &quiet::FIGURES,
        &large::FIGURES,
        &stops::FIGURES,
        &first_output::FIGURES,
        &evaluation::FIGURES,
    ];
    if on_cluster.iter().any(|figures| settings.wants(figures)) {
        measure_on_cluster(&Bench::new(settings.clone()).await?, report).await?;
    }
    if gateway::FIGURES.iter().any(|figures| gateway::wants(settings, figures)) {
        gateway::measure(settings, report).await?;
    }
    Ok(())
}

async fn measure_on_cluster(bench: &Bench, report: &mut Report) -> Result {
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
    if bench.wants(&large::FIGURES) {
        large::measure(bench, report).await?;
    }
    if bench.wants(&stops::FIGURES) {
        stops::measure(bench, report).await?;
    }
    if bench.wants(&first_output::FIGURES) {
        first_output::measure(bench, report).await?;
    }
    if bench.wants(&evaluation::FIGURES) {
        evaluation::measure(bench, report).await?;
    }
    Ok(())
}
