//! `collect`: takes what the worker left, once the worker is gone, and stores it.
//!
//! It runs in a container of its own, from the runner's image, so that no program runs here that a worker could have altered.
//! Everything that it reads in the worker's volume is the worker's, and none of it is believed.

mod change;
mod worker_log;

use std::path::Path;
use std::time::Duration;

use manyworlds_api::artifacts::ArtifactName;
use manyworlds_api::conditions::{Reason, shortened};
use manyworlds_api::order_document::OrderDocument;
use manyworlds_api::result::{Collection, FailureClass, StageReport};

use crate::layout::Layout;
use crate::note::WorkerNote;
use crate::operator::OperatorClient;
use crate::order::{Identity, load};
use crate::process::Signals;
use crate::stage::StageError;
use crate::text::{one_line, print_line};
use change::{Change, Taken};
use worker_log::{WorkerLog, transcript_try_store};

pub(crate) use change::{commit, message, patch, refused};

/// How long it goes on when the pod is told to end, of the ten seconds that the kubelet gives: what is stored by then is not
/// lost.
const GRACE: Duration = Duration::from_secs(8);
/// The longest message of a failure, in bytes.
const MESSAGE_BYTES: usize = 1024;

/// Runs the stage.
///
/// - **Guarantees:** what the worker printed is stored before anything else is looked at, so that it can be read however this
///   stage ends.
///
/// # Errors
///
/// [`StageError`] with class `Worker` when the worker left nothing to judge, or nothing that can be taken; `Evaluation` when an
/// artifact is larger than it may be; `Infrastructure` when the artifacts could not be stored for another reason; and
/// `Cancelled` when the pod was told to end.
pub fn run(layout: &Layout) -> Result<StageReport, StageError> {
    Signals::take_over(layout, GRACE).map_err(|error| StageError::file(Path::new("/proc/self"), &error))?;
    let identity = Identity::from_environment()?;
    let (order, base) = load(layout)?;
    let operator = OperatorClient::new(layout, &identity)?;
    let log = WorkerLog::try_store(layout, &operator);
    let collected = collect(layout, &operator, &order, &base, &identity, &log);
    if collected.is_err() {
        log.store_or_lose(&operator);
    }
    collected
}

fn collect(
    layout: &Layout,
    operator: &OperatorClient,
    order: &OrderDocument,
    base: &str,
    identity: &Identity,
    log: &WorkerLog,
) -> Result<StageReport, StageError> {
    let mut note = WorkerNote::load(layout).ok_or_else(|| refused("the note on the worker cannot be read"))?;
    let Taken { change, reasons } = change::take(layout, base, order, identity)?;
    note.reasons.extend(reasons);
    let Some(Change { commit, patch }) = change else { return Err(without_change(&note, order)) };
    print_line(&format!("took the change as {commit}"));
    let mut artifacts = vec![operator.artifact_put(ArtifactName::Change, &patch)?];
    artifacts.extend(log.store_unless_done(operator)?);
    artifacts.extend(transcript_try_store(layout, operator));
    let WorkerNote { report, ending: _, reasons } = note;
    // They name files of the worker's, whose names may be anything.
    let reasons = reasons.iter().map(|reason| one_line(reason)).collect();
    Ok(StageReport {
        base_commit: Some(base.to_owned()),
        worker: Some(report),
        collection: Some(Collection { artifacts, reasons }),
        ..StageReport::done()
    })
}

/// The failure of a worker that left nothing to judge.
fn without_change(note: &WorkerNote, order: &OrderDocument) -> StageError {
    let WorkerNote { report, ending, reasons } = note;
    let said = if report.summary.is_empty() { String::new() } else { format!(": {}", report.summary) };
    let (reason, message) = match (report.timed_out, report.exit_code) {
        (true, _) => {
            let message = format!("the worker ran out of its {} and had changed nothing", order.phase_timeout.coding);
            (Reason::WorkerTimedOut, message)
        }
        (false, Some(0)) => (Reason::NoChange, format!("the worker ended well and changed nothing{said}")),
        (false, _) => (Reason::WorkerFailed, format!("the worker ended with {ending}, and changed nothing{said}")),
    };
    let message = std::iter::once(message).chain(reasons.iter().cloned()).collect::<Vec<_>>().join("; ");
    StageError::new(FailureClass::Worker, reason, shortened(&message, MESSAGE_BYTES))
}
