//! `watch`: the live table of an order's Worlds; plain lines where nothing can be redrawn.

use std::process::ExitCode;
use std::time::Duration;

use futures::{StreamExt, stream};
use kube::runtime::{WatchStreamExt, watcher};
use manyworlds_api::labels;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Session, print_as};
use crate::arguments::Order;
use crate::errors::Failure;
use crate::picture::Picture;
use crate::view::changes::{Answer, Said, changes};
use crate::view::frame::{Canvas, frame};
use crate::view::summary::outcome;
use crate::view::text::{Line, Tone};

/// How often a table is drawn anew, so that times go on.
const FRAME: Duration = Duration::from_millis(120);
/// How often the cluster is asked at most.
const LOOK: Duration = Duration::from_millis(300);
/// How often it is asked while it does not answer.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How long an answer may take before the user is told.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the cluster is believed without having sent anything.
const LONGEST_REST: Duration = Duration::from_secs(10);

/// Runs the command. The exit code says whether the order has succeeded.
pub(super) async fn watch(session: &mut Session, which: &Order) -> Result<ExitCode, Failure> {
    let telling = if which.output.is_data() { Telling::Nothing } else { Telling::All };
    let picture = until_finished(session, &which.order, telling).await?;
    if telling == Telling::Nothing {
        print_as(session, which.output, &picture.order)?;
    }
    Ok(if picture.has_succeeded() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What people are told on the way to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    /// All that happens.
    All,
    /// Nothing: a program wants the end alone.
    Nothing,
}

/// Shows an order until it is finished, and returns it.
pub(super) async fn until_finished(session: &mut Session, name: &str, telling: Telling) -> Result<Picture, Failure> {
    let mut picture = session.cluster.picture(name).await?;
    let mut touched = Box::pin(touches(session, name));
    let mut said = Said::default();
    let mut beat = 0;
    let (mut dirty, mut looked, mut silence) = (false, Instant::now(), None);
    loop {
        if picture.is_finished() {
            if telling == Telling::All {
                conclude(session, &picture, &mut said)?;
            }
            return Ok(picture);
        }
        if telling == Telling::All {
            show(session, &picture, &mut said, beat, silence)?;
        }
        let next_frame = Instant::now() + FRAME;
        tokio::select! {
            _ = touched.next(), if !dirty => dirty = true,
            () = sleep_until(next_frame) => beat += 1,
        }
        let rest = looked.elapsed();
        let pause = if silence.is_some() { LOOK_AGAIN } else { LOOK };
        if (dirty && rest >= pause) || rest >= LONGEST_REST {
            // The order goes on without us, so an API server that restarts is waited for.
            silence = match timeout(PATIENCE, session.cluster.picture(name)).await {
                Ok(Ok(seen)) => {
                    picture = seen;
                    None
                }
                Ok(Err(failure)) if !failure.is_transient() => return Err(failure),
                Ok(Err(_)) | Err(_) => silence.or(Some(looked)),
            };
            (dirty, looked) = (silence.is_some(), Instant::now());
        }
    }
}

fn show(
    session: &mut Session,
    picture: &Picture,
    said: &mut Said,
    beat: usize,
    silence: Option<Instant>,
) -> Result<(), Failure> {
    let now = jiff::Timestamp::now();
    if !session.terminal.can_redraw() {
        let answer = if silence.is_some() { Answer::IsMissing } else { Answer::Comes };
        let mut lines: Vec<Line> = said.answer(answer, now).into_iter().collect();
        lines.extend(changes(said, picture, now));
        return session.terminal.print(&lines);
    }
    let mut lines = frame(picture, now, session.terminal.canvas(Some(beat)));
    if let Some(since) = silence {
        let seconds = since.elapsed().as_secs();
        lines.push(Line::of(Tone::Bad, format!("The API server has not answered for {seconds}s; trying again.")));
    }
    session.terminal.redraw(&lines);
    Ok(())
}

/// Writes how it ended, to stay.
fn conclude(session: &mut Session, picture: &Picture, said: &mut Said) -> Result<(), Failure> {
    let now = jiff::Timestamp::now();
    if !session.terminal.can_redraw() {
        let mut lines: Vec<Line> = said.answer(Answer::Comes, now).into_iter().collect();
        lines.extend(changes(said, picture, now));
        return session.terminal.print(&lines);
    }
    let mut lines = frame(picture, now, Canvas { height: None, ..session.terminal.canvas(None) });
    lines.extend([Line::default(), outcome(picture)]);
    session.terminal.print(&lines)
}

/// Returns a stream with an item whenever something about the order may have changed.
fn touches(session: &Session, name: &str) -> impl futures::Stream<Item = ()> + use<> {
    let mine = watcher::Config::default().labels(&format!("{}={name}", labels::WORK_ORDER));
    let own = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let pods = watcher::watcher(session.cluster.pods(), mine.clone()).default_backoff().map(|_| ());
    let worlds = watcher::watcher(session.cluster.worlds(), mine).default_backoff().map(|_| ());
    let orders = watcher::watcher(session.cluster.orders(), own).default_backoff().map(|_| ());
    stream::select_all([pods.boxed(), worlds.boxed(), orders.boxed()])
}
