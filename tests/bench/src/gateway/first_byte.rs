//! The delay of the first byte through the gateway.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use manyworlds_tests::Result;
use serde_json::json;

use super::load::{Connection, Manner, Server};
use super::peers::Gateway;
use super::upstream::upstream;
use crate::figures::{Figure, Report, Target, percentile};

/// The figures of this part.
pub const FIGURES: [Figure; 2] = [
    Figure { id: "gateway_ttfb_p50_ms", unit: "ms", target: Target::AtMost(0.3) },
    Figure { id: "gateway_ttfb_p99_ms", unit: "ms", target: Target::AtMost(2.0) },
];

const CONNECTIONS: u32 = 64;
/// The time between two calls of a connection: 320 calls a second of all, which no core is full of.
const PERIOD: Duration = Duration::from_millis(200);
/// Calls of each connection in a round.
const CALLS: u32 = 15;
/// Rounds of either kind. They alternate, so that what else the machine does falls on both.
const ROUNDS: usize = 8;

/// Measures the first byte.
///
/// # Errors
///
/// When a call fails.
pub async fn measure(report: &mut Report) -> Result {
    eprintln!("first byte, {CONNECTIONS} connections");
    let upstream = upstream(&json!({"text": "It is read_attribute, which returns a pair.", "parts": 8})).await?;
    let direct = Server { address: upstream.url().replace("http://", ""), key: "none".to_owned() };
    let gateway = Gateway::start(&upstream.url()).await?;
    let mut near = open(&[direct]).await?;
    let mut far = open(&gateway.worlds()).await?;
    round(&mut near).await?;
    round(&mut far).await?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        without.extend(round(&mut near).await?);
        with.extend(round(&mut far).await?);
    }
    let at = |values: &mut Vec<f64>, percent| percentile(values, percent);
    let (p50, p99) = (at(&mut with, 50.0), at(&mut with, 99.0));
    let (direct_p50, direct_p99) = (at(&mut without, 50.0), at(&mut without, 99.0));
    report.add(FIGURES[0], p50 - direct_p50);
    report.add(FIGURES[1], p99 - direct_p99);
    report.note(format!(
        "gateway_ttfb: {} calls of either kind, one in {} ms on each of {CONNECTIONS} connections; p50 {p50:.3} ms through the gateway and {direct_p50:.3} ms without, p99 {p99:.3} and {direct_p99:.3}; differences of percentiles",
        with.len(),
        PERIOD.as_millis(),
    ));
    Ok(())
}

async fn open(servers: &[Server]) -> Result<Vec<Connection>> {
    let chosen = servers.iter().cycle().take(usize::try_from(CONNECTIONS)?);
    try_join_all(chosen.map(|server| Connection::open(server, Manner::Streamed))).await
}

/// Makes the calls of one round, evenly spread over time, and returns milliseconds to the first byte.
async fn round(connections: &mut [Connection]) -> Result<Vec<f64>> {
    let start = Instant::now();
    let calls = (0..CONNECTIONS).zip(connections).map(|(number, connection)| async move {
        let mut times = Vec::new();
        for call in 0..CALLS {
            let due = start + PERIOD * call + PERIOD * number / CONNECTIONS;
            tokio::time::sleep_until(due.into()).await;
            times.push(connection.call().await?.first_byte.as_secs_f64() * 1000.0);
        }
        Result::Ok(times)
    });
    Ok(try_join_all(calls).await?.concat())
}
