//! A thousand streams at once.

use std::time::Duration;

use futures::future::{join_all, try_join_all};
use manyworlds_tests::Result;
use serde_json::json;

use super::load::{Connection, Manner};
use super::peers::Gateway;
use super::upstream::upstream;
use crate::figures::{Figure, Report, Target};

/// The figures of this part.
pub const FIGURES: [Figure; 2] = [
    Figure { id: "gateway_streams", unit: "dropped", target: Target::Exactly(0.0) },
    Figure { id: "gateway_kib_per_stream", unit: "KiB", target: Target::AtMost(64.0) },
];

const STREAMS: usize = 1000;
const PARTS: usize = 20;
const PAUSE: Duration = Duration::from_millis(500);

/// Measures streams that last until all have begun.
///
/// # Errors
///
/// When the gateway does not start, or the streams were not under way at once.
#[expect(clippy::cast_precision_loss, reason = "numbers of streams are small")]
pub async fn measure(report: &mut Report) -> Result {
    eprintln!("{STREAMS} streams");
    let reply = json!({"text": "word ".repeat(100), "parts": PARTS, "pauseMs": PAUSE.as_millis()});
    let upstream = upstream(&reply).await?;
    let gateway = Gateway::start(&upstream.url()).await?;
    let worlds = gateway.worlds();
    Connection::open(&worlds[0], Manner::Streamed).await?.call().await?;
    let before = gateway.memory()?;
    let chosen = worlds.iter().cycle().take(STREAMS);
    let mut connections = try_join_all(chosen.map(|server| Connection::open(server, Manner::Streamed))).await?;
    let answers = join_all(connections.iter_mut().map(Connection::call)).await;
    let whole: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
    let last_begun = whole.iter().map(|answer| answer.begun).max();
    if last_begun >= whole.iter().map(|answer| answer.ended).min() {
        return Err("the first stream had ended before the last one began; they were not under way at once".into());
    }
    let peak = gateway.peak_memory()?;
    report.add(FIGURES[0], (STREAMS - whole.len()) as f64);
    report.add(FIGURES[1], (peak - before) * 1024.0 / STREAMS as f64);
    if let Some(Err(error)) = answers.iter().find(|answer| answer.is_err()) {
        report.note(format!("gateway_streams: the first that was dropped: {error}"));
    }
    report.note(format!(
        "gateway_streams: {STREAMS} streams of {PARTS} parts, one in {} ms, all under way at once; the gateway had {before:.1} MiB before and {peak:.1} MiB at its peak",
        PAUSE.as_millis()
    ));
    Ok(())
}
