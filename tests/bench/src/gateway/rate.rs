//! Calls a second and memory, against LiteLLM's proxy in front of the same upstream.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use manyworlds_tests::Result;
use serde_json::json;
use tokio::task::JoinSet;

use super::load::{Connection, Manner, Server};
use super::peers::{Gateway, LiteLlm};
use super::upstream::upstream;
use crate::figures::{Figure, Report, Target};

/// The figures of this part.
pub const FIGURES: [Figure; 2] = [
    Figure { id: "gateway_rate_vs_litellm", unit: "times", target: Target::AtLeast(20.0) },
    Figure { id: "gateway_memory_vs_litellm", unit: "times", target: Target::AtMost(0.1) },
];

const CONNECTIONS: usize = 64;
const WARM_UP: Duration = Duration::from_secs(3);
const MEASURED: Duration = Duration::from_secs(15);

/// Measures both.
///
/// # Errors
///
/// When a call fails, or LiteLLM cannot be installed or does not know what calls cost.
pub async fn measure(report: &mut Report) -> Result {
    eprintln!("calls a second, {CONNECTIONS} connections");
    let upstream = upstream(&json!({"text": "It is read_attribute, which returns a pair."})).await?;
    let gateway = Gateway::start(&upstream.url()).await?;
    let ours = rate(&gateway.worlds()).await?;
    let our_memory = gateway.peak_memory()?;
    drop(gateway);
    let lite = LiteLlm::start(&upstream.url()).await?;
    let theirs = rate(&[lite.server()]).await?;
    let their_memory = lite.peak_memory()?;
    report.add(FIGURES[0], ours / theirs);
    report.add(FIGURES[1], our_memory / their_memory);
    report.note(format!(
        "gateway_rate: {ours:.0} calls a second and {our_memory:.1} MiB with one thread and a ledger on disk; LiteLLM {} {theirs:.0} calls a second and {their_memory:.1} MiB with {} workers and no database; each after the other, load and upstream on the same machine",
        lite.version, lite.workers,
    ));
    Ok(())
}

/// Calls on all connections without a pause, and returns calls a second.
async fn rate(servers: &[Server]) -> Result<f64> {
    let chosen = servers.iter().cycle().take(CONNECTIONS);
    let connections = try_join_all(chosen.map(|server| Connection::open(server, Manner::Whole))).await?;
    let begin = Instant::now() + WARM_UP;
    let end = begin + MEASURED;
    let mut tasks = JoinSet::new();
    for mut connection in connections {
        tasks.spawn(async move {
            let mut counted = 0_u32;
            loop {
                let ended = connection.call().await.map_err(|error| error.to_string())?.ended;
                if ended >= end {
                    return Ok::<_, String>(counted);
                }
                counted += u32::from(ended >= begin);
            }
        });
    }
    let mut all = 0.0;
    while let Some(counted) = tasks.join_next().await {
        all += f64::from(counted??);
    }
    Ok(all / MEASURED.as_secs_f64())
}
