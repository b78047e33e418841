//! Keeps states of the worktree as the work goes on.

use super::workplace::Workplace;

/// Keeps the state of a worktree as a commit under `refs/manyworlds/checkpoints/<number>`. Neither its index nor a branch changes.
///
/// # Errors
///
/// The words of git.
pub(super) fn checkpoint(workplace: &Workplace, number: u32) -> Result<(), String> {
    let index = tempfile::Builder::new().prefix("index-").tempdir().map_err(|error| error.to_string())?;
    let file = index.path().join("index");
    let git = |arguments: &[&str]| {
        let called = workplace.git(arguments).env("GIT_INDEX_FILE", &file).line();
        called.map_err(|error| error.said().to_owned())
    };
    git(&["add", "--all", "--", "."])?;
    let tree = git(&["write-tree"])?;
    let commit = git(&["commit-tree", "--no-gpg-sign", "-p", "HEAD", "-m", &format!("Checkpoint {number}"), &tree])?;
    git(&["update-ref", &format!("refs/manyworlds/checkpoints/{number}"), &commit]).map(drop)
}
