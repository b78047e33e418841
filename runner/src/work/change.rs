//! Takes what a worker changed as one commit on top of the base.
//!
//! The worktree's own `.git` belongs to the worker and counts for nothing: the change is what its files are. The
//! repository that takes it is made anew, under a name that the worker could not know.

use std::fs;
use std::path::Path;

use manyworlds_api::conditions::{Reason, shortened};
use manyworlds_api::order_document::OrderDocument;
use manyworlds_api::result::FailureClass;

use crate::files;
use crate::git::{Git, GitError, make_repository};
use crate::layout::Layout;
use crate::order::Identity;
use crate::stage::StageError;

/// The largest file that is read, in bytes: four times the largest patch that an order can allow.
const LARGEST_FILE: u64 = 64 * 1024 * 1024;
/// The most bytes of git's words that a message repeats.
const SAID_BYTES: usize = 512;

/// Takes the change, leaves it as a patch, and returns the commit. Returns nothing when no file has changed.
///
/// # Errors
///
/// [`StageError`] with class `Worker` when what the worker left cannot be taken: it alone had its hands on it.
pub(super) fn take(
    layout: &Layout,
    worktree: &Path,
    base: &str,
    order: &OrderDocument,
    identity: &Identity,
) -> Result<Option<String>, StageError> {
    let folder = tempfile::Builder::new()
        .prefix("change-")
        .tempdir_in(layout.temporary())
        .map_err(|error| refused(&format!("{}: {error}", layout.temporary().display())))?;
    let git = folder.path().join("change.git");
    make_repository(&git, &layout.mirror(), &git, ["--bare", "."]).map_err(|error| refused(&error.message))?;
    let call = |arguments: &[&str]| Git::new(worktree, arguments).with_git_directory(&git, worktree);
    call(&["read-tree", base]).run()?;
    files::make_readable(worktree);
    refuse_large_files(&call, worktree)?;
    let taken = commit_files(&call, base, &message(order, identity)).map_err(|error| refused(error.said()))?;
    let Some((commit, patch)) = taken else { return Ok(None) };
    let file = layout.patch();
    fs::write(&file, patch).map_err(|error| refused(&format!("{}: {error}", file.display())))?;
    Ok(Some(commit))
}

fn commit_files(
    call: &impl Fn(&[&str]) -> Git,
    base: &str,
    message: &str,
) -> Result<Option<(String, Vec<u8>)>, GitError> {
    call(&["add", "--all", "--", "."]).run()?;
    let tree = call(&["write-tree"]).line()?;
    if tree == call(&["rev-parse", &format!("{base}^{{tree}}")]).line()? {
        return Ok(None);
    }
    let commit = commit(call, &tree, base, message)?;
    let patch = patch(call, base, &commit)?;
    Ok(Some((commit, patch)))
}

/// Refuses files that no patch could hold before time and disk are spent on reading them.
fn refuse_large_files(call: &impl Fn(&[&str]) -> Git, worktree: &Path) -> Result<(), StageError> {
    let listed = call(&["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).run();
    let listed = listed.map_err(|error| refused(error.said()))?;
    for path in String::from_utf8_lossy(&listed).split('\0').filter(|path| !path.is_empty()) {
        let size = fs::symlink_metadata(worktree.join(path)).map_or(0, |metadata| metadata.len());
        if size <= LARGEST_FILE {
            continue;
        }
        let before = call(&["cat-file", "-s", &format!(":{path}")]).line().ok().and_then(|size| size.parse().ok());
        if before != Some(size) {
            return Err(refused(&format!("{path} has {size} bytes; add it to .gitignore or make it smaller")));
        }
    }
    Ok(())
}

/// Makes a commit.
pub(crate) fn commit(
    call: &impl Fn(&[&str]) -> Git,
    tree: &str,
    base: &str,
    message: &str,
) -> Result<String, GitError> {
    call(&["commit-tree", "--no-gpg-sign", "-p", base, "-m", message, tree]).line()
}

/// Returns a commit as a patch that holds every byte.
pub(crate) fn patch(call: &impl Fn(&[&str]) -> Git, base: &str, commit: &str) -> Result<Vec<u8>, GitError> {
    let range = format!("{base}..{commit}");
    call(&["format-patch", "--stdout", "--binary", "--full-index", "--no-renames", "--no-signature", &range]).run()
}

/// Returns the message of a World's commit: the task, and who did it (R6).
pub(crate) fn message(order: &OrderDocument, identity: &Identity) -> String {
    let issue = order.task.issue.as_ref().map_or_else(String::new, |issue| format!("Issue: {}\n", issue.url));
    format!(
        "{}\n\n{issue}Work-Order: {}/{}\nWorld: {}\n",
        order.task.title.trim(),
        identity.namespace,
        identity.work_order,
        identity.world
    )
}

/// The failure of a change that cannot be taken.
pub(super) fn refused(why: &str) -> StageError {
    let message = format!("what the worker left cannot be taken: {}", shortened(why, SAID_BYTES));
    StageError::new(FailureClass::Worker, Reason::ChangeRefused, message)
}
