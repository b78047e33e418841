//! A stream beside the largest bodies: what one World sends holds up no other.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::try_join_all;
use manyworlds_tests::Result;
use serde_json::json;

use super::load::{Connection, Manner, Server};
use super::peers::Gateway;
use super::upstream::upstream;
use crate::figures::{Figure, Report, Target};

/// The figures of this part.
pub const FIGURES: [Figure; 1] = [Figure { id: "gateway_stream_gap_ms", unit: "ms", target: Target::Below(100.0) }];

/// A text that leaves room for the rest of the largest request.
const TEXT: usize = 31 * 1024 * 1024;
const PARTS: usize = 1000;
const PAUSE: Duration = Duration::from_millis(10);
/// As many Worlds as have room for their bodies at the same time.
const SENDING: usize = 2;

/// Measures the longest pause of a stream while others send.
///
/// # Errors
///
/// When the gateway does not start, or a call fails.
pub async fn measure(report: &mut Report) -> Result {
    eprintln!("a stream beside bodies of 31 MiB");
    let upstream =
        upstream(&json!({"text": "word ".repeat(PARTS), "parts": PARTS, "pauseMs": PAUSE.as_millis()})).await?;
    let direct = Server { address: upstream.url().replace("http://", ""), key: "none".to_owned() };
    let gateway = Gateway::start(&upstream.url()).await?;
    let worlds = gateway.worlds();
    let (without, _) = longest_gap(&direct, &vec![direct.clone(); SENDING]).await?;
    let (with, bodies) = longest_gap(&worlds[0], &worlds[1..=SENDING]).await?;
    report.add(FIGURES[0], with);
    report.note(format!(
        "gateway_stream_gap: the longest of {PARTS} pauses, of which upstream makes {} ms each, beside {bodies} bodies of 31 MiB; without the gateway {without:.1} ms",
        PAUSE.as_millis()
    ));
    Ok(())
}

/// Returns the longest pause of a stream in milliseconds, and the number of bodies that others have sent meanwhile.
async fn longest_gap(stream: &Server, others: &[Server]) -> Result<(f64, usize)> {
    let mut streamed = Connection::open(stream, Manner::Streamed).await?;
    let mut large = try_join_all(others.iter().map(|server| Connection::open(server, Manner::Whole))).await?;
    for connection in &mut large {
        connection.bring(TEXT);
    }
    let sent = AtomicUsize::new(0);
    let sending = try_join_all(large.iter_mut().map(|connection| send_on(connection, &sent)));
    let answered = tokio::select! {
        answered = streamed.call() => answered?,
        ended = sending => return Err(ended.err().unwrap_or_else(|| "nobody has sent anything".into())),
    };
    match sent.load(Ordering::Relaxed) {
        0 => Err("the stream had ended before a body was sent; they were not under way at once".into()),
        bodies => Ok((answered.longest_gap.as_secs_f64() * 1000.0, bodies)),
    }
}

async fn send_on(connection: &mut Connection, sent: &AtomicUsize) -> Result<Infallible> {
    loop {
        connection.call().await?;
        sent.fetch_add(1, Ordering::Relaxed);
    }
}
