//! Five Worlds of different orders on one rate limit, which the upstream enforces by itself.
//!
//! Each World wants more than there is all the time, one of them four times as much as the others. The gateway and the
//! upstream have the same limit and count it each for itself. It is measured twice at once, by one limit of calls and by one
//! of tokens, and the worse of the two counts. Steady state is what comes after as many calls as a minute has room for: the
//! first minute begins with an empty window, and what goes out at once then is spread over the minute after it.

use std::time::{Duration, Instant};

use futures::future::{try_join, try_join_all};
use manyworlds_tests::Result;
use manyworlds_upstream::{Script, Upstream};
use serde_json::json;

use super::load::{Connection, Manner};
use super::peers::Gateway;
use crate::figures::{Figure, Report, Target};

/// The figures of this part.
pub const FIGURES: [Figure; 3] = [
    Figure { id: "upstream_429_percent", unit: "%", target: Target::AtMost(1.0) },
    Figure { id: "limit_used_percent", unit: "%", target: Target::AtLeast(95.0) },
    Figure { id: "fairness", unit: "ratio", target: Target::AtMost(1.2) },
];

/// The calls that each World has under way or waiting, all the time.
const CONNECTIONS: [usize; 5] = [2, 2, 2, 2, 8];
/// The calls that a minute has room for, by either limit.
const CALLS: usize = 200;
const INPUT: usize = 280;
const OUTPUT: usize = 20;
/// No limit.
const FREE: usize = 1_000_000_000;
const MINUTE: f64 = 60.0;
/// The empty minute, and two more.
const MEASURED: Duration = Duration::from_secs(155);

/// A limit by which it is measured.
struct Limited {
    name: &'static str,
    requests: usize,
    tokens: usize,
}

/// The result.
struct Outcome {
    refused_percent: f64,
    used_percent: f64,
    fairness: f64,
    note: String,
}

/// Measures all three.
///
/// # Errors
///
/// When a call fails, or too few are served to tell.
pub async fn measure(report: &mut Report) -> Result {
    eprintln!("five Worlds on one limit, {} s", MEASURED.as_secs());
    let calls = Limited { name: "calls", requests: CALLS, tokens: FREE };
    let tokens = Limited { name: "tokens", requests: FREE, tokens: CALLS * (INPUT + OUTPUT) };
    let (calls, tokens) = try_join(run(&calls), run(&tokens)).await?;
    report.add(FIGURES[0], calls.refused_percent.max(tokens.refused_percent));
    report.add(FIGURES[1], calls.used_percent.min(tokens.used_percent));
    report.add(FIGURES[2], calls.fairness.max(tokens.fairness));
    report.note(calls.note);
    report.note(tokens.note);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "numbers of calls are small")]
async fn run(limited: &Limited) -> Result<Outcome> {
    let upstream = start(limited).await?;
    let limits = json!({"requestsPerMinute": limited.requests, "tokensPerMinute": limited.tokens, "maxWait": "10m"});
    let gateway = Gateway::start_limited(&upstream.url(), &limits).await?;
    let served = load(&gateway).await?;
    let (refused, count) = (upstream.refused(), upstream.count());
    if served.len() < CALLS * 5 / 2 {
        return Err(format!("only {} calls were served by a limit of {}", served.len(), limited.name).into());
    }
    let steady = &served[CALLS..];
    // The limit is used in full where each call comes a minute after the one that it takes the place of.
    let apart: Vec<_> = steady.windows(CALLS + 1).map(|all| (all[CALLS].0 - all[0].0).as_secs_f64()).collect();
    let used_percent = 100.0 * MINUTE * apart.len() as f64 / apart.iter().sum::<f64>();
    let each = (0..CONNECTIONS.len()).map(|world| steady.iter().filter(|(_, of)| *of == world).count());
    let each: Vec<_> = each.collect();
    let (most, least) = (each.iter().max().copied().unwrap_or(0), each.iter().min().copied().unwrap_or(0));
    let fairness = most as f64 / least as f64;
    let refused_percent = 100.0 * refused as f64 / count as f64;
    let note = format!(
        "limit of {}: {refused} of {count} calls refused by upstream, {used_percent:.1} % of the limit used, {each:?} calls of the five Worlds in steady state ({fairness:.2})",
        limited.name
    );
    Ok(Outcome { refused_percent, used_percent, fairness, note })
}

async fn start(limited: &Limited) -> Result<Upstream> {
    let usage = json!({"input": INPUT, "output": OUTPUT});
    let reply = json!({"text": "It is read_attribute, which returns a pair.", "usage": usage, "delayMs": 400});
    let script = json!({
        "models": {"*": [{"reply": reply}]},
        "rateLimit": {"requests": limited.requests, "tokens": limited.tokens},
    });
    Ok(Upstream::start(Script::read(&script.to_string())?).await?)
}

/// Lets all Worlds call without a pause, and returns when each call was answered, and whose it was, in their order.
async fn load(gateway: &Gateway) -> Result<Vec<(Instant, usize)>> {
    let servers = gateway.worlds();
    let end = Instant::now() + MEASURED;
    let all = CONNECTIONS.iter().enumerate().flat_map(|(world, count)| std::iter::repeat_n(world, *count));
    let all = all.map(|world| {
        let address = &servers[world];
        async move {
            let mut connection = Connection::open(address, Manner::Whole).await?;
            let mut served = Vec::new();
            // What still waits at the end waits for the next minute.
            while let Ok(answered) = tokio::time::timeout_at(end.into(), connection.call()).await {
                served.push((answered?.begun, world));
            }
            Result::Ok(served)
        }
    });
    let mut served = try_join_all(all).await?.concat();
    served.sort_unstable();
    Ok(served)
}
