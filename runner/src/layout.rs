//! The paths of a World's pod.

use std::path::{Path, PathBuf};

use manyworlds_api::labels;

/// The paths of a World's pod.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Returns the paths below a folder: `/` in a pod.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn below(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The folder that `prepare` writes and nobody can change afterwards.
    pub fn order_directory(&self) -> PathBuf {
        self.below(labels::ORDER_DIRECTORY)
    }

    /// The order document.
    pub fn order_file(&self) -> PathBuf {
        self.order_directory().join(labels::ORDER_FILE)
    }

    /// The pinned commit.
    pub fn base_file(&self) -> PathBuf {
        self.order_directory().join("base")
    }

    /// The bare mirror of the repository.
    pub fn mirror(&self) -> PathBuf {
        self.order_directory().join(labels::MIRROR)
    }

    /// The folder with the runner's own program.
    pub fn runner_directory(&self) -> PathBuf {
        self.below(labels::RUNNER_DIRECTORY)
    }

    /// The folder of the worker.
    pub fn work_directory(&self) -> PathBuf {
        self.below(labels::WORK_DIRECTORY)
    }

    /// The World's worktree.
    pub fn worktree(&self, world: &str, order: &str) -> PathBuf {
        self.work_directory().join("worktrees").join(format!("world-{world}")).join(order)
    }

    /// The folder that `work` leaves for `evaluate`.
    pub fn result_directory(&self) -> PathBuf {
        self.work_directory().join("result")
    }

    /// The World's change.
    pub fn patch(&self) -> PathBuf {
        self.result_directory().join("patch")
    }

    /// The worker's output.
    pub fn work_log(&self) -> PathBuf {
        self.result_directory().join("work.log")
    }

    /// The report on the worker.
    pub fn worker_report(&self) -> PathBuf {
        self.result_directory().join("worker.json")
    }

    /// Findings against the worker.
    pub fn worker_reasons(&self) -> PathBuf {
        self.result_directory().join("reasons.json")
    }

    /// The failure that left nothing to judge.
    pub fn failure(&self) -> PathBuf {
        self.result_directory().join("failure.json")
    }

    /// The worker's own result file.
    pub fn worker_result(&self) -> PathBuf {
        self.work_directory().join("worker-result.json")
    }

    /// The transcript of worker and model, as the worker writes it.
    pub fn worker_transcript(&self) -> PathBuf {
        self.work_directory().join("worker-transcript.jsonl")
    }

    /// The transcript, as `work` leaves it.
    pub fn transcript(&self) -> PathBuf {
        self.result_directory().join("transcript.jsonl")
    }

    /// The folder of `evaluate`.
    pub fn evaluation_directory(&self) -> PathBuf {
        self.below(labels::EVALUATION_DIRECTORY)
    }

    /// The fresh checkout with the change.
    pub fn checkout(&self) -> PathBuf {
        self.evaluation_directory().join("checkout")
    }

    /// A folder that a gate may fill.
    pub fn scratch(&self) -> PathBuf {
        self.evaluation_directory().join("scratch")
    }

    /// The folder of the judge, which no gate may touch.
    pub fn evidence(&self) -> PathBuf {
        self.evaluation_directory().join("evidence")
    }

    /// The World's token.
    pub fn token(&self) -> PathBuf {
        self.token_directory().join(labels::TOKEN_FILE)
    }

    /// The folder with the World's token.
    pub fn token_directory(&self) -> PathBuf {
        self.below(labels::TOKEN_DIRECTORY)
    }

    /// The token with which the worker calls models, where it may.
    pub fn gateway_token(&self) -> PathBuf {
        self.below(labels::GATEWAY_TOKEN_DIRECTORY).join(labels::TOKEN_FILE)
    }

    /// The folder with the credential of the repository.
    pub fn credential_directory(&self) -> PathBuf {
        self.below(labels::CREDENTIAL_DIRECTORY)
    }

    /// The file for the report of the stage.
    pub fn termination_log(&self) -> PathBuf {
        self.below(labels::TERMINATION_LOG)
    }

    /// The folder for short-lived files.
    pub fn temporary(&self) -> PathBuf {
        self.below("/tmp")
    }
}
