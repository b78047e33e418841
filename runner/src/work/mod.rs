//! `work`: runs the worker and takes what it changed.
//!
//! A worker that fails or runs out of time still has its change judged, if there is one.

mod change;
mod plugin;

use std::fs;
use std::path::Path;
use std::time::Duration;

use manyworlds_api::conditions::{Reason, shortened};
use manyworlds_api::order_document::OrderDocument;
use manyworlds_api::result::{FailureClass, StageReport, WorkerReport};

use crate::files;
use crate::git;
use crate::layout::Layout;
use crate::order::{Identity, disk_bytes, load};
use crate::process::{Limits, Outcome, Stopped, Supervisor};
use crate::stage::StageError;
use crate::text::{Journal, say};

pub(crate) use change::{commit, message, patch};
pub use plugin::{Handled, Plugin, WorkContext, WorkerError};

/// How many bytes of a worker's output are kept.
const OUTPUT_BYTES: usize = 8 * 1024 * 1024;
/// How much of the World's disk a worker may fill, in tenths: a pod that fills all of it is evicted, and the rest is for
/// taking the change.
const DISK_TENTHS: u64 = 8;
/// The longest summary of its own that a worker may leave, in bytes.
const SUMMARY_BYTES: usize = 512;

/// Runs the stage.
///
/// # Errors
///
/// [`StageError`] with class `Worker` when there is no change to judge, and with class `Cancelled` when the pod was told
/// to end.
pub fn run(layout: &Layout) -> Result<StageReport, StageError> {
    let supervisor = Supervisor::start(layout).map_err(|error| StageError::file(&layout.work_directory(), &error))?;
    git::require()?;
    let identity = Identity::from_environment()?;
    let (order, base) = load(layout)?;
    let worktree = layout.worktree(&identity.world, &identity.work_order);
    let context = WorkContext {
        worktree: worktree.clone(),
        order_file: layout.order_file(),
        result_file: layout.worker_result(),
        world: identity.world.clone(),
        attempt: identity.attempt,
    };
    let limits = Limits {
        time: Duration::from(order.phase_timeout.coding),
        output_bytes: OUTPUT_BYTES,
        disk: disk_bytes().map(|bytes| {
            (vec![layout.order_directory(), layout.work_directory(), layout.temporary()], bytes / 10 * DISK_TENTHS)
        }),
    };
    let Worked { report, output } = work(&supervisor, &order, &context, &limits)?;
    keep(layout, &report, &output).map_err(|error| change::refused(&error.to_string()))?;
    let taken = change::take(layout, &worktree, &base, &order, &identity)?;
    match taken {
        Some(commit) => {
            say(&format!("took the change as {commit}"));
            Ok(StageReport { base_commit: Some(base), worker: Some(report), ..StageReport::done() })
        }
        None => Err(without_change(&report, &order)),
    }
}

/// What came of the worker, besides its change.
struct Worked {
    report: WorkerReport,
    output: String,
}

fn work(
    supervisor: &Supervisor,
    order: &OrderDocument,
    context: &WorkContext,
    limits: &Limits,
) -> Result<Worked, StageError> {
    let plugin = plugin::find(&order.worker.plugin, &order.worker.command)?;
    let outcome = match plugin.handle(order, context)? {
        Handled::Done(summary) => {
            let report = WorkerReport { exit_code: Some(0), timed_out: false, milliseconds: 0, summary };
            return Ok(Worked { report, output: String::new() });
        }
        Handled::Run(command) => supervisor.run(*command, limits).map_err(|error| not_started(order, &error))?,
    };
    if outcome.stopped == Some(Stopped::Told) {
        let message = "the pod was told to end while the worker worked";
        return Err(StageError::new(FailureClass::Cancelled, Reason::Terminated, message));
    }
    let report = WorkerReport {
        exit_code: outcome.exit_code,
        timed_out: outcome.stopped == Some(Stopped::Time),
        milliseconds: u64::try_from(outcome.elapsed.as_millis()).unwrap_or(u64::MAX),
        summary: plugin::summary(&context.result_file, SUMMARY_BYTES),
    };
    Ok(Worked { output: format!("{}{}", outcome.output, tell(&outcome)), report })
}

/// Leaves for `evaluate` how the worker ended and what it printed, in a folder in which nothing of the worker's is left.
fn keep(layout: &Layout, report: &WorkerReport, output: &str) -> std::io::Result<()> {
    files::make_empty(&layout.result_directory())?;
    let put = |path: &Path, bytes: &[u8]| fs::write(path, bytes);
    put(&layout.work_log(), output.as_bytes())?;
    put(&layout.worker_report(), &serde_json::to_vec(report)?)
}

/// Says how the worker ended, and returns what was said.
fn tell(outcome: &Outcome) -> String {
    let how = match (outcome.stopped, outcome.exit_code) {
        (Some(Stopped::Time), _) => "ran out of time".to_owned(),
        (Some(Stopped::Disk), _) => {
            "filled the World's disk and was ended; raise worlds.sizing.perWorld.ephemeralStorage if it needs more"
                .to_owned()
        }
        (Some(Stopped::Processes), _) => "started too many processes and was ended".to_owned(),
        (_, Some(code)) => format!("ended with exit code {code}"),
        (_, None) => "was ended by a signal".to_owned(),
    };
    let mut journal = Journal::default();
    journal.say(&format!("the worker {how} after {:.1} s", outcome.elapsed.as_secs_f64()));
    if outcome.left_behind > 0 {
        journal.say(&format!("ended {} processes that it had left behind", outcome.left_behind));
    }
    if outcome.forged_signals > 0 {
        journal.say("it told the runner to end; only the kubelet can do that");
    }
    journal.as_str().to_owned()
}

fn not_started(order: &OrderDocument, error: &std::io::Error) -> StageError {
    let program = order.worker.command.first().map_or(order.worker.plugin.as_str(), String::as_str);
    let message =
        format!("the worker {program:?} could not be started: {error}; check worker.command and worker.image");
    StageError::new(FailureClass::Spec, Reason::WorkerFailed, message)
}

fn without_change(report: &WorkerReport, order: &OrderDocument) -> StageError {
    let said = if report.summary.is_empty() { String::new() } else { format!(": {}", report.summary) };
    let (reason, message) = match (report.timed_out, report.exit_code) {
        (true, _) => {
            let message = format!("the worker ran out of its {} and had changed nothing", order.phase_timeout.coding);
            (Reason::WorkerTimedOut, message)
        }
        (false, Some(0)) => (Reason::NoChange, format!("the worker ended well and changed nothing{said}")),
        (false, Some(code)) => {
            (Reason::WorkerFailed, format!("the worker ended with exit code {code} and changed nothing{said}"))
        }
        (false, None) => (Reason::WorkerFailed, "a signal ended the worker, and it had changed nothing".to_owned()),
    };
    StageError::new(FailureClass::Worker, reason, shortened(&message, 1024))
}
