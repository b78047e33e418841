//! The gateway in front of a scripted upstream: what it adds to a call, what it holds, and the same with LiteLLM's proxy.
//!
//! No cluster is needed. The gateway is `gateway/examples/standalone.rs`: the release build, one thread, its ledger on disk.
//! Upstream and load run in this process, on the same machine; what is compared is compared within one run.
//!
//! | figure | how it is measured |
//! |---|---|
//! | `gateway_ttfb_*` | streams on 64 connections, 320 a second in even steps, in rounds that go through the gateway and straight to upstream in turn; the difference of the two percentiles |
//! | `gateway_streams`, `gateway_kib_per_stream` | 1,000 streams of ten seconds, all under way at once; those that did not come to their last event, and the growth of the gateway's memory (`VmHWM` after, `VmRSS` before) by their number |
//! | `gateway_stream_gap_ms` | the longest pause of a stream with a part every 10 ms for ten seconds, while two other Worlds send bodies of 31 MiB one after the other |
//! | `gateway_rate_vs_litellm` | calls that are not streamed, on 64 connections without a pause, for 15 s after 3 s; first the gateway with one thread and a ledger on disk, then LiteLLM with a worker process for each core and no database, both reckoning what each call costs |
//! | `gateway_memory_vs_litellm` | the peaks of memory of that run (`VmHWM`), of all processes of LiteLLM together |
//! | `upstream_429_percent`, `limit_used_percent`, `fairness` | see `limit.rs` |

mod first_byte;
mod limit;
pub mod load;
mod peers;
mod rate;
mod stream_gap;
mod streams;
mod upstream;

use manyworlds_tests::Result;

use crate::context::Settings;
use crate::figures::{Figure, Report};

/// The figures of this part.
pub const FIGURES: [&[Figure]; 5] =
    [&first_byte::FIGURES, &rate::FIGURES, &streams::FIGURES, &stream_gap::FIGURES, &limit::FIGURES];

/// Returns whether any of these figures is asked for: `gateway` stands for all of this part, whatever they are called.
pub fn wants(settings: &Settings, figures: &[Figure]) -> bool {
    settings.only == "gateway" || settings.wants(figures)
}

/// Measures the gateway.
///
/// # Errors
///
/// When a program does not build or start, or a call is not answered.
pub async fn measure(settings: &Settings, report: &mut Report) -> Result {
    peers::build()?;
    if wants(settings, &first_byte::FIGURES) {
        first_byte::measure(report).await?;
    }
    if wants(settings, &streams::FIGURES) {
        streams::measure(report).await?;
    }
    if wants(settings, &stream_gap::FIGURES) {
        stream_gap::measure(report).await?;
    }
    if wants(settings, &rate::FIGURES) {
        rate::measure(report).await?;
    }
    if wants(settings, &limit::FIGURES) {
        limit::measure(report).await?;
    }
    Ok(())
}
