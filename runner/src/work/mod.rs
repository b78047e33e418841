//! `work`: runs the worker, and runs nothing else.
//!
//! It holds no token of the artifact API. What it leaves for `collect`, which takes the change once this container is gone, is
//! a worktree that can be read, the worker's output and a note on how it ended.

mod plugin;

use std::fs;
use std::time::Duration;

use manyworlds_api::conditions::Reason;
use manyworlds_api::labels;
use manyworlds_api::order_document::OrderDocument;
use manyworlds_api::result::{FailureClass, StageReport, WorkerReport};
use manyworlds_masking::{Filter, SHORTEST_VALUE};

use crate::collect::refused;
use crate::files;
use crate::git;
use crate::layout::Layout;
use crate::note::WorkerNote;
use crate::order::{Identity, disk_bytes, load};
use crate::process::{Bounds, Completed, DiskLimit, Log, Program, Stop, Supervisor};
use crate::stage::StageError;
use crate::text::StageLog;

pub(crate) use plugin::ENV_GATEWAY_TOKEN_FILE;
pub use plugin::{Handled, ModelAccess, Plugin, WorkContext, WorkerError};

/// The most bytes of a worker's output that are kept.
const LOG_BYTES: usize = 8 * 1024 * 1024;
/// A worker that prints more than this has flooded its log.
const FLOOD_BYTES: u64 = 64 * 1024 * 1024;
/// How much of the World's disk a worker may fill, in tenths: a pod that fills all of it is evicted, and the rest is for
/// `collect`.
const DISK_TENTHS: u64 = 8;
/// The most bytes of a transcript that are kept.
const TRANSCRIPT_BYTES: u64 = 8 * 1024 * 1024;
/// The longest summary of its own that a worker may leave, in bytes.
const SUMMARY_BYTES: usize = 512;

/// Runs the stage.
///
/// # Errors
///
/// [`StageError`] with class `Spec` when the worker could not be started, `Worker` when there is no room for what is known
/// of it, and `Cancelled` when the pod was told to end.
pub fn run(layout: &Layout) -> Result<StageReport, StageError> {
    let supervisor = Supervisor::start(layout).map_err(|error| StageError::file(&layout.work_directory(), &error))?;
    // Workers need it. The gates do, too, and as a rule their image is this one.
    git::require()?;
    let identity = Identity::from_environment()?;
    let (order, base) = load(layout)?;
    let context = WorkContext {
        worktree: layout.worktree(&identity.world, &identity.work_order),
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
            files: None,
        }),
    };
    let worked = work(&supervisor, &order, &context, bounds, &secrets)?;
    // Here, where the volume can be written to.
    files::make_readable(&context.worktree);
    let said = files::read_ordinary(&layout.worker_transcript(), TRANSCRIPT_BYTES).unwrap_or_default();
    let said = secrets.masked(&String::from_utf8_lossy(&said));
    store(layout, &worked, &said).map_err(|error| refused(&error.to_string()))?;
    Ok(StageReport { base_commit: Some(base), worker: Some(worked.note.report), ..StageReport::done() })
}

/// Returns the worker's access to models, if the operator gives any.
fn model_access(layout: &Layout) -> Result<Option<ModelAccess>, StageError> {
    let Ok(url) = std::env::var(labels::ENV_GATEWAY_URL) else { return Ok(None) };
    let token_file = layout.gateway_token();
    let token = fs::read_to_string(&token_file).map_err(|error| StageError::file(&token_file, &error))?;
    Ok(Some(ModelAccess { url, token_file, token: token.trim().to_owned() }))
}

/// The run of a worker: all that came of it besides the change.
struct WorkerRun {
    note: WorkerNote,
    output: String,
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
            let note = WorkerNote { report, ending: "exit code 0".to_owned(), reasons: Vec::new() };
            return Ok(WorkerRun { note, output });
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
    Ok(WorkerRun { note: WorkerNote { report, ending: completed.ending(), reasons }, output })
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

/// Leaves the worker's output and the note on it for `collect`, in a folder that holds nothing of the worker's own.
fn store(layout: &Layout, WorkerRun { note, output }: &WorkerRun, transcript: &str) -> std::io::Result<()> {
    files::make_empty(&layout.result_directory())?;
    fs::write(layout.work_log(), output)?;
    if !transcript.is_empty() {
        fs::write(layout.transcript(), transcript)?;
    }
    note.store(layout)
}

/// Prints how the worker ended and the findings against it, and returns these lines.
fn describe_ending(completed: &Completed<String>, reasons: &[String]) -> String {
    let how = match completed.stopped {
        Some(Stop::TimeLimit) => "ran out of time".to_owned(),
        Some(Stop::DiskLimit) => "filled the World's disk".to_owned(),
        Some(Stop::ProcessLimit) => "started too many processes".to_owned(),
        Some(Stop::OutputLimit) => "printed too much".to_owned(),
        Some(Stop::FileSizeLimit | Stop::FileCountLimit | Stop::Terminated) | None => {
            format!("ended with {}", completed.ending())
        }
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
