//! Runs one gate: confined, timed, with its output bounded and nothing left of it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use manyworlds_api::work_order::EnvironmentVariable;
use manyworlds_masking::Filter;

use super::sealing::own_program;
use crate::process::{Bounds, Completed, DiskLimit, Listener, Log, Program, Supervisor};
use crate::stage::StageError;

/// The most bytes of a gate's output that are kept.
const LOG_BYTES: usize = 1024 * 1024;
/// The largest file that a gate may write.
pub(super) const FILE_BYTES: u64 = 1024 * 1024 * 1024;
/// The most files, folders and links that a gate may make. The largest builds make some hundred thousand; a disk of the
/// usual size for a node has some millions for all of its pods, and the judge has to look at each before the next gate.
const MOST_FILES: u64 = 1_000_000;
/// The most bytes of disk that a gate may fill where the World has no limit of its own.
const DISK_BYTES: u64 = 8 * 1024 * 1024 * 1024;

/// The place that a gate runs in, and what it may do there.
pub(super) struct Sandbox<'a> {
    /// The checkout, which it may change.
    pub(super) checkout: PathBuf,
    /// A folder that it may fill.
    pub(super) scratch: PathBuf,
    /// The folder for short-lived files.
    pub(super) temporary: PathBuf,
    /// The folder for memory that programs share.
    pub(super) shared_memory: PathBuf,
    /// Paths that it may not even read.
    pub(super) hidden: Vec<PathBuf>,
    /// The order's environment.
    pub(super) environment: &'a [EnvironmentVariable],
    /// Whether the kernel confines it.
    pub(super) sealed: bool,
}

impl Sandbox<'_> {
    /// Runs a command. `listener` hears every line that it prints, also those that are not kept.
    pub(super) fn run(
        &self,
        supervisor: &Supervisor,
        words: &[String],
        time: Duration,
        listener: impl Listener,
    ) -> Result<Completed<String>, StageError> {
        let own = own_program()?;
        let mut command = Command::new(&own);
        command.arg("confine").arg("--file-bytes").arg(FILE_BYTES.to_string());
        for folder in [&self.checkout, &self.scratch, &self.temporary, &self.shared_memory] {
            command.arg("--write").arg(folder);
        }
        for path in &self.hidden {
            command.arg("--hide").arg(path);
        }
        if !self.sealed {
            command.arg("--best-effort");
        }
        command.arg("--").args(words).current_dir(&self.checkout).env_clear();
        for (name, value) in self.variables() {
            command.env(name, value);
        }
        for variable in self.environment {
            command.env(&variable.name, &variable.value);
        }
        let folders = vec![self.checkout.clone(), self.scratch.clone(), self.temporary.clone()];
        let disk = DiskLimit { folders, bytes: disk_bytes(), file_bytes: Some(FILE_BYTES), files: Some(MOST_FILES) };
        // A gate that prints too much is not ended: its log is cut.
        let bounds = Bounds { time, output_bytes: None, disk: Some(disk) };
        let log = Log::heard_by(listener, LOG_BYTES, Filter::by_pattern());
        supervisor.run(Program::new(command, bounds), log).map_err(|error| StageError::file(&own, &error))
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let scratch = self.scratch.display().to_string();
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned());
        vec![
            ("PATH", path),
            ("HOME", scratch.clone()),
            ("TMPDIR", scratch),
            ("LANG", "C.UTF-8".to_owned()),
            ("CI", "true".to_owned()),
        ]
    }
}

/// Returns how much disk a gate may fill: half of what the World has, so that the pod is not evicted for it.
fn disk_bytes() -> u64 {
    crate::order::disk_bytes().map_or(DISK_BYTES, |bytes| bytes / 2)
}
