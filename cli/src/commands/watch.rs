//! `watch`: a live table of an order's Worlds on a terminal, one plain line for each change elsewhere.

use std::process::ExitCode;
use std::time::Duration;

use futures::{StreamExt, stream};
use kube::runtime::{WatchStreamExt, watcher};
use manyworlds_api::labels;
use tokio::time::{Instant, sleep_until, timeout};

use crate::arguments::Order;
use crate::errors::Failure;
use crate::order_view::OrderView;
use crate::render::change_log::{ChangeLog, Reachability};
use crate::render::live_table::{Canvas, live_table};
use crate::render::summary::outcome;
use crate::render::text::{Line, Tone};
use crate::session::Session;

/// Interval between two drawings of the table; the shown times go on.
const FRAME_INTERVAL: Duration = Duration::from_millis(120);
/// Shortest interval between two reads of the order.
const POLL_INTERVAL: Duration = Duration::from_millis(300);
/// Interval between two reads while the API server does not answer.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// Time-out of a read; the user is told after it.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest interval between two reads when the watches report nothing.
const REFRESH_INTERVAL: Duration = Duration::from_secs(10);

/// Runs the command. The exit code is 0 when the order succeeded and 1 when it did not.
pub(super) async fn watch(session: &mut Session, which: &Order) -> Result<ExitCode, Failure> {
    let progress = if which.output.is_data() { ProgressOutput::Hidden } else { ProgressOutput::Shown };
    let view = until_finished(session, &which.order, progress).await?;
    if progress == ProgressOutput::Hidden {
        session.print_data(which.output, &view.order)?;
    }
    Ok(if view.has_succeeded() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether progress is printed until the order is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProgressOutput {
    /// Progress is printed.
    Shown,
    /// Nothing is printed: a program reads the finished order.
    Hidden,
}

/// Shows an order until it is finished, then returns it.
pub(super) async fn until_finished(
    session: &mut Session,
    name: &str,
    progress: ProgressOutput,
) -> Result<OrderView, Failure> {
    let mut view = session.cluster.order_view(name).await?;
    let mut change_events = Box::pin(change_events(session, name));
    let mut log = ChangeLog::default();
    let mut tick = 0;
    let (mut is_stale, mut last_read, mut unanswered_since) = (false, Instant::now(), None);
    loop {
        if view.is_finished() {
            if progress == ProgressOutput::Shown {
                print_end(session, &view, &mut log)?;
            }
            return Ok(view);
        }
        if progress == ProgressOutput::Shown {
            show(session, &view, &mut log, tick, unanswered_since)?;
        }
        let next_frame = Instant::now() + FRAME_INTERVAL;
        tokio::select! {
            _ = change_events.next(), if !is_stale => is_stale = true,
            () = sleep_until(next_frame) => tick += 1,
        }
        let elapsed = last_read.elapsed();
        let interval = if unanswered_since.is_some() { RETRY_INTERVAL } else { POLL_INTERVAL };
        if (is_stale && elapsed >= interval) || elapsed >= REFRESH_INTERVAL {
            // The order goes on meanwhile, so the API server may restart.
            unanswered_since = match timeout(READ_TIMEOUT, session.cluster.order_view(name)).await {
                Ok(Ok(seen)) => {
                    view = seen;
                    None
                }
                Ok(Err(failure)) if !failure.is_transient() => return Err(failure),
                Ok(Err(_)) | Err(_) => unanswered_since.or(Some(last_read)),
            };
            (is_stale, last_read) = (unanswered_since.is_some(), Instant::now());
        }
    }
}

fn show(
    session: &mut Session,
    view: &OrderView,
    log: &mut ChangeLog,
    tick: usize,
    unanswered_since: Option<Instant>,
) -> Result<(), Failure> {
    let now = jiff::Timestamp::now();
    if !session.terminal.can_redraw() {
        let reachability = if unanswered_since.is_some() { Reachability::Unreachable } else { Reachability::Reachable };
        let mut lines: Vec<Line> = log.reachability(reachability, now).into_iter().collect();
        lines.extend(log.changes(view, now));
        return session.terminal.print(&lines);
    }
    let mut lines = live_table(view, now, session.terminal.canvas(Some(tick)));
    if let Some(since) = unanswered_since {
        let seconds = since.elapsed().as_secs();
        lines.push(Line::of(Tone::Bad, format!("The API server has not answered for {seconds}s; trying again.")));
    }
    session.terminal.redraw(&lines);
    Ok(())
}

/// Prints how the order ended.
fn print_end(session: &mut Session, view: &OrderView, log: &mut ChangeLog) -> Result<(), Failure> {
    let now = jiff::Timestamp::now();
    if !session.terminal.can_redraw() {
        let mut lines: Vec<Line> = log.reachability(Reachability::Reachable, now).into_iter().collect();
        lines.extend(log.changes(view, now));
        return session.terminal.print(&lines);
    }
    let mut lines = live_table(view, now, Canvas { height: None, ..session.terminal.canvas(None) });
    lines.extend([Line::default(), outcome(view)]);
    session.terminal.print(&lines)
}

/// Returns a stream with an item for each change of the order, its Worlds or its pods.
fn change_events(session: &Session, name: &str) -> impl futures::Stream<Item = ()> + use<> {
    let mine = watcher::Config::default().labels(&format!("{}={name}", labels::WORK_ORDER));
    let own = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let pods = watcher::watcher(session.cluster.pods(), mine.clone()).default_backoff().map(|_| ());
    let worlds = watcher::watcher(session.cluster.worlds(), mine).default_backoff().map(|_| ());
    let orders = watcher::watcher(session.cluster.orders(), own).default_backoff().map(|_| ());
    stream::select_all([pods.boxed(), worlds.boxed(), orders.boxed()])
}
