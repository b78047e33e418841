//! Finds out by trying what the kernel of a node can confine a gate by.
//!
//! The pod that works tries it before a model is paid, and the pod that judges tries it again: they may run on different nodes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use manyworlds_api::conditions::Reason;
use manyworlds_api::result::FailureClass;
use serde::{Deserialize, Serialize};

use crate::process::{Bounds, Capture, Program, Stream};
use crate::stage::StageError;

/// The least version of Landlock's interface that is enough: up to the second one a gate can empty files that it may not
/// write to.
const LEAST_ABI: i32 = 3;
/// The longest time of a trial.
pub(crate) const TRIAL_TIME: Duration = Duration::from_mins(1);
/// The most bytes of the trial's answer, which is one short line.
const ANSWER_BYTES: usize = 1024;

/// The part of a gate's confinement that the kernel enforces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Confinement {
    /// Version of Landlock's interface.
    pub(crate) landlock: Option<i32>,
    /// Whether system calls are filtered.
    pub(crate) seccomp: bool,
}

impl Confinement {
    /// Returns what the kernel lacks to confine a gate, if anything.
    pub(crate) fn lack(self) -> Option<String> {
        match self.landlock {
            None => Some("it has no Landlock".to_owned()),
            Some(abi) if abi < LEAST_ABI => {
                Some(format!("its Landlock has the version {abi}, and {LEAST_ABI} is the least that is enough"))
            }
            Some(_) => (!self.seccomp).then(|| "it has no filters of system calls (seccomp)".to_owned()),
        }
    }
}

/// Returns what a gate would be confined by.
///
/// - **Shape:** `folder` is any folder that exists.
pub(crate) fn tried(folder: &Path) -> Result<Confinement, StageError> {
    let own = own_program()?;
    let mut command = Command::new(&own);
    command.arg("confine").arg("--best-effort").arg("--write").arg(folder);
    let tried = Program::new(command, Bounds::of_time(TRIAL_TIME)).run(Answer::default());
    let tried = tried.map_err(|error| StageError::file(&own, &error))?;
    // A kernel under which the trial cannot even end well confines nothing.
    Ok(if tried.succeeded() {
        serde_json::from_slice(&tried.output).unwrap_or_default()
    } else {
        Confinement::default()
    })
}

/// Returns the failure of an order that asks for more than the kernel of the node has.
pub(crate) fn not_sealed(lack: &str) -> StageError {
    let message = format!(
        "the kernel of the node cannot confine the gates: {lack}; use another node, or set evaluation.sealing to Preferred"
    );
    StageError::new(FailureClass::Evaluation, Reason::NotSealed, message)
}

/// Returns the path of the runner's own program.
pub(crate) fn own_program() -> Result<PathBuf, StageError> {
    std::env::current_exe().map_err(|error| {
        let message = format!("the runner's own program cannot be found: {error}");
        StageError::new(FailureClass::Infrastructure, Reason::Unexpected, message)
    })
}

/// The beginning of what the trial prints.
#[derive(Debug, Default)]
struct Answer(Vec<u8>);

impl Capture for Answer {
    type Output = Vec<u8>;

    fn push(&mut self, stream: Stream, bytes: &[u8]) {
        if stream == Stream::Output {
            let room = ANSWER_BYTES.saturating_sub(self.0.len());
            self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    fn finish(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W14: an old Landlock is not enough, and neither is Landlock alone.
    #[test]
    fn what_a_kernel_lacks_is_said() {
        for (landlock, seccomp, lack) in [
            (None, true, Some("no Landlock")),
            (Some(2), true, Some("version 2, and 3 is the least")),
            (Some(3), false, Some("no filters of system calls")),
            (Some(3), true, None),
            (Some(6), true, None),
        ] {
            let found = Confinement { landlock, seccomp }.lack();
            match (&found, lack) {
                (None, None) => {}
                (Some(found), Some(lack)) => assert!(found.contains(lack), "{found}"),
                _ => assert_eq!(found.as_deref(), lack, "{landlock:?} {seccomp}"),
            }
        }
    }
}
