//! States of the worktree that are kept as the work goes on.

use std::path::Path;
use std::process::Command;

/// Keeps the state of a worktree as a commit under `refs/manyworlds/checkpoints/<number>`. Neither its index nor a branch changes.
///
/// # Errors
///
/// What git says.
pub(super) fn checkpoint(worktree: &Path, number: u32) -> Result<(), String> {
    let index = tempfile::Builder::new().prefix("index-").tempdir().map_err(|error| error.to_string())?;
    let git = |arguments: &[&str]| -> Result<String, String> {
        let output = Command::new("git")
            .args(["-c", "user.name=manyworlds", "-c", "user.email=manyworlds@localhost", "-c", "core.fsmonitor=false"])
            .args(arguments)
            .current_dir(worktree)
            .env("GIT_INDEX_FILE", index.path().join("index"))
            .output()
            .map_err(|error| error.to_string())?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
    };
    git(&["add", "--all", "--", "."])?;
    let tree = git(&["write-tree"])?;
    let commit = git(&["commit-tree", "--no-gpg-sign", "-p", "HEAD", "-m", &format!("Checkpoint {number}"), &tree])?;
    git(&["update-ref", &format!("refs/manyworlds/checkpoints/{number}"), &commit]).map(drop)
}
