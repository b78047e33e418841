//! `work`: runs the worker and takes what it changed.
//!
//! A worker that fails or runs out of time still has its change judged, if there is one. Where there is nothing to judge
//! this stage ends well all the same and leaves the reason: it holds no token, so `evaluate` has to store the worker's log
//! before it fails for that reason.

mod change;
mod plugin;

use std::fs;
use std::path::Path;
use std::time::Duration;

use manyworlds_api::conditions::{Reason, shortened};
use manyworlds_api::labels;
use manyworlds_api::order_document::OrderDocument;
use manyworlds_api::result::{FailureClass, StageReport, WorkerReport};
use manyworlds_masking::{Filter, SHORTEST_VALUE};

use crate::files;
use crate::git;
use crate::layout::Layout;
use crate::order::{Identity, disk_bytes, load};
use crate::process::{Bounds, Completed, DiskLimit, Log, Program, Stop, Supervisor};
use crate::stage::StageError;
use crate::text::{StageLog, print_line};

pub(crate) use change::{commit, message, patch};
pub(crate) use plugin::ENV_GATEWAY_TOKEN_FILE;
pub use plugin::{Handled, ModelAccess, Plugin, WorkContext, WorkerError};

/// The most bytes of a worker's output that are kept.
const LOG_BYTES: usize = 8 * 1024 * 1024;
/// A worker that prints more than this has flooded its log.
const FLOOD_BYTES: u64 = 64 * 1024 * 1024;
/// How much of the World's disk a worker may fill, in tenths: a pod that fills all of it is evicted, and the rest is for
/// taking the change.
const DISK_TENTHS: u64 = 8;
/// The most bytes of a transcript that are kept.
const TRANSCRIPT_BYTES: u64 = 8 * 1024 * 1024;
/// The longest summary of its own that a worker may leave, in bytes.
const SUMMARY_BYTES: usize = 512;

/// Runs the stage.
///
/// # Errors
///
/// [`StageError`] with class `Spec` when the worker could not be started, and with class `Cancelled` when the pod was told
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
        transcript_file: layout.worker_transcript(),
        world: identity.world.clone(),
        attempt: identity.attempt,
        models: model_access(layout)?,
    };
    let mut secrets = Filter::by_pattern();
    if let Some(models) = &context.models {
        secrets = secrets.with_values([models.token.as_str()], SHORTEST_VALUE);
    }
    // A worker that prints too much is not ended: its log is cut.
    let bounds = Bounds {
        time: Duration::from(order.phase_timeout.coding),
        output_bytes: None,
        disk: disk_bytes().map(|bytes| DiskLimit {
            folders: vec![layout.order_directory(), layout.work_directory(), layout.temporary()],
            bytes: bytes / 10 * DISK_TENTHS,
            file_bytes: None,
        }),
    };
    let mut worked = work(&supervisor, &order, &context, bounds, &secrets)?;
    let said = files::read_ordinary(&layout.worker_transcript(), TRANSCRIPT_BYTES).unwrap_or_default();
    let said = secrets.masked(&String::from_utf8_lossy(&said));
    store_for_evaluation(layout, &worked, &said).map_err(|error| change::refused(&error.to_string()))?;
    let taken = change::take(layout, &worktree, &base, &order, &identity).and_then(|taken| {
        worked.reasons.extend(taken.reasons);
        store_reasons(layout, &worked.reasons).map_err(|error| change::refused(&error.to_string()))?;
        taken.commit.ok_or_else(|| without_change(&worked, &order))
    });
    let ended = match taken {
        Ok(commit) => {
            print_line(&format!("took the change as {commit}"));
            StageReport::done()
        }
        Err(error) => store_failure(layout, error)?,
    };
    Ok(StageReport { base_commit: Some(base), worker: Some(worked.report), ..ended })
}

/// Returns the worker's access to models, if the operator gives any.
fn model_access(layout: &Layout) -> Result<Option<ModelAccess>, StageError> {
    let Ok(url) = std::env::var(labels::ENV_GATEWAY_URL) else { return Ok(None) };
    let token_file = layout.gateway_token();
    let token = fs::read_to_string(&token_file).map_err(|error| StageError::file(&token_file, &error))?;
    Ok(Some(ModelAccess { url, token_file, token: token.trim().to_owned() }))
}

/// Leaves the failure for `evaluate`, which stores the worker's log first.
fn store_failure(layout: &Layout, error: StageError) -> Result<StageReport, StageError> {
    print_line(&format!("failed ({}): {}", error.reason, error.message));
    let report = StageReport::failed(error.class, error.reason, error.message.clone());
    let written = serde_json::to_vec(&report).map_err(std::io::Error::other);
    // Where not even that can be written, as on a full disk, the stage fails by itself.
    written.and_then(|bytes| fs::write(layout.failure(), bytes)).map(|()| report).map_err(|_| error)
}

/// The run of a worker: all that came of it besides the change.
struct WorkerRun {
    report: WorkerReport,
    /// Its exit code or signal, in words.
    ending: String,
    output: String,
    /// Findings against it.
    reasons: Vec<String>,
}

fn work(
    supervisor: &Supervisor,
    order: &OrderDocument,
    context: &WorkContext,
    bounds: Bounds,
    secrets: &Filter,
) -> Result<WorkerRun, StageError> {
    let plugin = plugin::find(&order.worker.plugin, &order.worker.command)?;
    let completed = match plugin.handle(order, context)? {
        Handled::Done(summary) => {
            let report = WorkerReport { exit_code: Some(0), timed_out: false, milliseconds: 0, summary };
            let mut log = StageLog::default();
            log.print_line(&format!("the worker {}: {}", order.worker.plugin, report.summary));
            let output = log.as_str().to_owned();
            return Ok(WorkerRun { report, ending: "exit code 0".to_owned(), output, reasons: Vec::new() });
        }
        Handled::Run(command) => supervisor
            .run(Program::new(*command, bounds), Log::new(LOG_BYTES, secrets.clone()))
            .map_err(|error| not_started(order, &error))?,
    };
    if completed.stopped == Some(Stop::Terminated) {
        let message = "the pod was told to end while the worker worked";
        return Err(StageError::new(FailureClass::Cancelled, Reason::Terminated, message));
    }
    let report = WorkerReport {
        exit_code: completed.exit_code,
        timed_out: completed.stopped == Some(Stop::TimeLimit),
        milliseconds: u64::try_from(completed.elapsed.as_millis()).unwrap_or(u64::MAX),
        summary: plugin::summary(&context.result_file, SUMMARY_BYTES),
    };
    let reasons = violations(&completed);
    let output = format!("{}{}", completed.output, describe_ending(&completed, &reasons));
    Ok(WorkerRun { report, ending: completed.ending(), output, reasons })
}

/// Returns the findings against a worker.
fn violations(completed: &Completed<String>) -> Vec<String> {
    let Completed { stopped, printed, left_behind, forged_signals, .. } = completed;
    [
        (*stopped == Some(Stop::DiskLimit)).then(|| "the worker filled the World's disk".to_owned()),
        (*stopped == Some(Stop::ProcessLimit)).then(|| "the worker started too many processes".to_owned()),
        (*forged_signals > 0).then(|| "the worker told the runner to end; only the kubelet can do that".to_owned()),
        (*left_behind > 0).then(|| format!("the worker left {left_behind} processes behind, which were ended")),
        (*printed > FLOOD_BYTES).then(|| format!("the worker flooded its log with {printed} bytes")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Leaves the worker's report and output for `evaluate`, in a folder that holds nothing of the worker's own.
fn store_for_evaluation(layout: &Layout, worked: &WorkerRun, transcript: &str) -> std::io::Result<()> {
    let WorkerRun { report, ending: _, output, reasons } = worked;
    files::make_empty(&layout.result_directory())?;
    let put = |path: &Path, bytes: &[u8]| fs::write(path, bytes);
    put(&layout.work_log(), output.as_bytes())?;
    if !transcript.is_empty() {
        put(&layout.transcript(), transcript.as_bytes())?;
    }
    store_reasons(layout, reasons)?;
    put(&layout.worker_report(), &serde_json::to_vec(report)?)
}

/// Leaves the findings against the worker for `evaluate`.
fn store_reasons(layout: &Layout, reasons: &[String]) -> std::io::Result<()> {
    fs::write(layout.worker_reasons(), serde_json::to_vec(reasons)?)
}

/// Prints how the worker ended and the findings against it, and returns these lines.
fn describe_ending(completed: &Completed<String>, reasons: &[String]) -> String {
    let how = match completed.stopped {
        Some(Stop::TimeLimit) => "ran out of time".to_owned(),
        Some(Stop::DiskLimit) => "filled the World's disk".to_owned(),
        Some(Stop::ProcessLimit) => "started too many processes".to_owned(),
        Some(Stop::OutputLimit) => "printed too much".to_owned(),
        Some(Stop::FileSizeLimit | Stop::Terminated) | None => format!("ended with {}", completed.ending()),
    };
    let mut log = StageLog::default();
    log.print_line(&format!("the worker {how} after {:.1} s", completed.elapsed.as_secs_f64()));
    if completed.stopped == Some(Stop::DiskLimit) {
        log.print_line("raise worlds.sizing.perWorld.ephemeralStorage if the worker needs more");
    }
    for reason in reasons {
        log.print_line(reason);
    }
    log.as_str().to_owned()
}

fn not_started(order: &OrderDocument, error: &std::io::Error) -> StageError {
    let program = order.worker.command.first().map_or(order.worker.plugin.as_str(), String::as_str);
    let message =
        format!("the worker {program:?} could not be started: {error}; check worker.command and worker.image");
    StageError::new(FailureClass::Spec, Reason::WorkerFailed, message)
}

fn without_change(worked: &WorkerRun, order: &OrderDocument) -> StageError {
    let WorkerRun { report, ending, output: _, reasons } = worked;
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
    StageError::new(FailureClass::Worker, reason, shortened(&message, 1024))
}
