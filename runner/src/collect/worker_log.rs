//! The worker's output and transcript. `work` has no token to store them.

use std::path::Path;

use manyworlds_api::artifacts::{ArtifactDigest, ArtifactName};

use crate::files;
use crate::layout::Layout;
use crate::operator::OperatorClient;
use crate::stage::StageError;
use crate::text::clean;

/// The most bytes of a log or a transcript that are stored.
const LOG_BYTES: u64 = 16 * 1024 * 1024;

/// The worker's output.
pub(super) struct WorkerLog {
    text: String,
    stored: Option<ArtifactDigest>,
}

impl WorkerLog {
    /// Stores the log if the operator takes it at once: a change that ends this whole stage must not take it along.
    pub(super) fn try_store(layout: &Layout, operator: &OperatorClient) -> Self {
        let text = log(&layout.work_log());
        let stored =
            if text.is_empty() { None } else { operator.artifact_try_put(ArtifactName::WorkLog, text.as_bytes()) };
        Self { text, stored }
    }

    /// Stores the log of an attempt that has failed.
    pub(super) fn store_or_lose(&self, operator: &OperatorClient) {
        if self.stored.is_none() && !self.text.is_empty() {
            operator.artifact_put_or_lose(ArtifactName::WorkLog, self.text.as_bytes());
        }
    }

    /// Returns the digest of the log, and stores it where that has not been done; nothing where nothing was printed.
    pub(super) fn store_unless_done(&self, operator: &OperatorClient) -> Result<Option<ArtifactDigest>, StageError> {
        match &self.stored {
            Some(digest) => Ok(Some(digest.clone())),
            None if self.text.is_empty() => Ok(None),
            None => operator.artifact_put(ArtifactName::WorkLog, self.text.as_bytes()).map(Some),
        }
    }
}

/// Stores the transcript, where there is one. To lose it is no reason to lose the change.
pub(super) fn transcript_try_store(layout: &Layout, operator: &OperatorClient) -> Option<ArtifactDigest> {
    let text = files::read_ordinary(&layout.transcript(), LOG_BYTES).filter(|text| !text.is_empty())?;
    operator.artifact_try_put(ArtifactName::Transcript, &text)
}

/// Returns a log; one that cannot be read is no reason to lose the change.
fn log(path: &Path) -> String {
    clean(&String::from_utf8_lossy(&files::read_ordinary(path, LOG_BYTES).unwrap_or_default()))
}
