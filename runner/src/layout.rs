//! The paths of a World's pods.

use std::path::{Path, PathBuf};

use manyworlds_api::labels;

/// The paths of a World's pods: of the one that works and of the one that judges.
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

    /// The folder that the pod's first stage writes and nobody can change afterwards.
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

    /// The base with its history in one file, on its way to or from the operator.
    pub fn bundle(&self) -> PathBuf {
        self.order_directory().join("base.bundle")
    }

    /// The World's change, as `checkout` leaves it for `judge`.
    pub fn change(&self) -> PathBuf {
        self.order_directory().join("change")
    }

    /// What the gates give at the base, as `checkout` leaves it for `judge`.
    pub fn baseline(&self) -> PathBuf {
        self.order_directory().join("baseline.json")
    }

    /// The folder that `work` leaves for `collect`.
    pub fn result_directory(&self) -> PathBuf {
        self.work_directory().join("result")
    }

    /// The worker's output.
    pub fn work_log(&self) -> PathBuf {
        self.result_directory().join("work.log")
    }

    /// The note on the worker.
    pub fn worker_note(&self) -> PathBuf {
        self.result_directory().join("worker.json")
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

    /// The folder of `judge`.
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

    /// The folder for memory that programs share.
    pub fn shared_memory(&self) -> PathBuf {
        self.below("/dev/shm")
    }

    /// The folder with the POSIX message queues of the pod, where it is mounted.
    pub fn message_queues(&self) -> PathBuf {
        self.below("/dev/mqueue")
    }

    /// The folder for short-lived files.
    pub fn temporary(&self) -> PathBuf {
        self.below("/tmp")
    }
}
