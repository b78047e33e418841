//! The end of a stage: a report in the termination message, and an exit code; and the program for the stages that follow.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use manyworlds_api::conditions::Reason;
use manyworlds_api::labels;
use manyworlds_api::result::{FailureClass, StageReport};

use crate::layout::Layout;
use crate::text::{one_line, print_line};

/// The failure of a stage.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StageError {
    /// Class of the failure.
    pub class: FailureClass,
    /// One word.
    pub reason: Reason,
    /// The fault, and what to do about it.
    pub message: String,
}

impl StageError {
    pub(crate) fn new(class: FailureClass, reason: Reason, message: impl Into<String>) -> Self {
        // It may repeat what a program has said, or the name of a file that it has made.
        Self { class, reason, message: one_line(&message.into()) }
    }

    /// A file could not be read or written.
    pub(crate) fn file(path: &Path, error: &std::io::Error) -> Self {
        let full = error.kind() == std::io::ErrorKind::StorageFull;
        let advice = if full { "; raise worlds.sizing.perWorld.ephemeralStorage" } else { "" };
        Self::new(FailureClass::Infrastructure, Reason::Unexpected, format!("{}: {error}{advice}", path.display()))
    }
}

/// Returns the exit code that stands for a class of failure.
pub(crate) const fn exit_code(class: FailureClass) -> u8 {
    match class {
        FailureClass::Spec => 10,
        FailureClass::Infrastructure => 11,
        FailureClass::Worker | FailureClass::Budget => 12,
        FailureClass::Evaluation => 13,
        FailureClass::Cancelled => 14,
    }
}

/// Puts this program where the other stages of the pod find it, whatever their image is.
pub(crate) fn install(layout: &Layout) -> Result<(), StageError> {
    let target = layout.runner_directory().join(labels::RUNNER_FILE);
    let own = std::env::current_exe().map_err(|error| StageError::file(Path::new("/proc/self/exe"), &error))?;
    fs::copy(&own, &target).map(drop).map_err(|error| StageError::file(&target, &error))
}

/// Leaves the report of a stage and returns its exit code.
pub(crate) fn finish(layout: &Layout, outcome: Result<StageReport, StageError>) -> ExitCode {
    let (report, code) = match outcome {
        Ok(report) => (report, 0),
        Err(error) => {
            print_line(&format!("failed ({}): {}", error.reason, error.message));
            (StageReport::failed(error.class, error.reason, error.message), exit_code(error.class))
        }
    };
    let written = report.to_message().map_err(std::io::Error::other).and_then(|message| {
        // The kubelet makes the file; in a plain process it has to be made.
        fs::write(layout.termination_log(), message)
    });
    if let Err(error) = written {
        print_line(&format!("the report could not be left at {}: {error}", layout.termination_log().display()));
    }
    ExitCode::from(code)
}
