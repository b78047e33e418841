//! `watch`: the live table of an order's Worlds; plain lines where nothing can be redrawn.

use std::process::ExitCode;
use std::time::Duration;

use futures::{StreamExt, stream};
use kube::runtime::{WatchStreamExt, watcher};
use manyworlds_api::labels;
use tokio::time::{Instant, sleep_until};

use super::{Session, print_json};
use crate::arguments::{Order, Output};
use crate::errors::Failure;
use crate::picture::Picture;
use crate::view::changes::{Said, changes};
use crate::view::frame::frame;
use crate::view::summary::outcome;
use crate::view::text::Line;

/// How often a table is drawn anew, so that times go on.
const FRAME: Duration = Duration::from_millis(120);
/// How often the cluster is asked at most.
const LOOK: Duration = Duration::from_millis(300);
/// How long the cluster is believed without having sent anything.
const LONGEST_REST: Duration = Duration::from_secs(10);

/// Runs the command. The exit code says whether the order has succeeded.
pub(super) async fn watch(session: &mut Session, which: &Order) -> Result<ExitCode, Failure> {
    let picture = until_finished(session, &which.order).await?;
    if which.output == Output::Json {
        print_json(session, &picture.order)?;
    }
    Ok(if picture.has_succeeded() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Shows an order until it is finished, and returns it.
pub(super) async fn until_finished(session: &mut Session, name: &str) -> Result<Picture, Failure> {
    let mut picture = session.cluster.picture(name).await?;
    let mut touched = Box::pin(touches(session, name));
    let mut said = Said::default();
    let mut beat = 0;
    let (mut dirty, mut looked) = (false, Instant::now());
    loop {
        show(session, &picture, &mut said, beat)?;
        if picture.is_finished() {
            if session.terminal.can_redraw() {
                session.terminal.print(&[Line::default(), outcome(&picture)])?;
            }
            return Ok(picture);
        }
        let next_frame = Instant::now() + FRAME;
        tokio::select! {
            _ = touched.next(), if !dirty => dirty = true,
            () = sleep_until(next_frame) => beat += 1,
        }
        let rest = looked.elapsed();
        if (dirty && rest >= LOOK) || rest >= LONGEST_REST {
            picture = session.cluster.picture(name).await?;
            (dirty, looked) = (false, Instant::now());
        }
    }
}

fn show(session: &mut Session, picture: &Picture, said: &mut Said, beat: usize) -> Result<(), Failure> {
    let now = jiff::Timestamp::now();
    if session.terminal.can_redraw() {
        let canvas = session.terminal.canvas(Some(beat));
        session.terminal.redraw(&frame(picture, now, canvas))
    } else {
        session.terminal.print(&changes(said, picture, now))
    }
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
