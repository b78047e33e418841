//! The note on the worker, which `work` leaves for `collect`.

use std::fs;

use manyworlds_api::result::WorkerReport;
use serde::{Deserialize, Serialize};

use crate::files;
use crate::layout::Layout;

/// The most bytes of a note that are read.
const BYTES: u64 = 65_536;

/// What is known of a worker once it has ended.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WorkerNote {
    pub(crate) report: WorkerReport,
    /// Its exit code or signal, in words.
    pub(crate) ending: String,
    /// Findings against it.
    pub(crate) reasons: Vec<String>,
}

impl WorkerNote {
    /// Leaves the note.
    pub(crate) fn store(&self, layout: &Layout) -> std::io::Result<()> {
        fs::write(layout.worker_note(), serde_json::to_vec(self)?)
    }

    /// Reads the note; nothing where there is none that can be read.
    pub(crate) fn load(layout: &Layout) -> Option<Self> {
        serde_json::from_slice(&files::read_ordinary(&layout.worker_note(), BYTES)?).ok()
    }
}
