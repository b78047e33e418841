//! Takes what a worker changed as one commit on top of the base.
//!
//! The worktree's own `.git` belongs to the worker and counts for nothing: the change is what its files are.

use std::fs;
use std::path::Path;

use manyworlds_api::conditions::Reason;
use manyworlds_api::order_document::OrderDocument;
use manyworlds_api::result::FailureClass;

use crate::git::{Git, GitError};
use crate::layout::Layout;
use crate::order::Identity;
use crate::stage::StageError;

/// Takes the change, leaves it as a patch, and returns the commit; nothing when the files are as they were.
pub(super) fn take(
    layout: &Layout,
    worktree: &Path,
    base: &str,
    order: &OrderDocument,
    identity: &Identity,
) -> Result<Option<String>, StageError> {
    let git = layout.temporary().join("change.git");
    make_repository(layout, &git)?;
    let call = |arguments: &[&str]| Git::new(worktree, arguments).with_git_directory(&git, worktree);
    call(&["read-tree", base]).run()?;
    call(&["add", "--all", "--", "."]).run().map_err(|error| unreadable(&error))?;
    let tree = call(&["write-tree"]).line()?;
    if tree == call(&["rev-parse", &format!("{base}^{{tree}}")]).line()? {
        return Ok(None);
    }
    let commit = commit(&call, &tree, base, &message(order, identity))?;
    let range = format!("{base}..{commit}");
    let patch =
        call(&["format-patch", "--stdout", "--binary", "--full-index", "--no-renames", "--no-signature", &range]);
    let file = layout.patch();
    fs::write(&file, patch.run()?).map_err(|error| StageError::file(&file, &error))?;
    Ok(Some(commit))
}

/// Makes a repository whose history is the mirror's.
pub(crate) fn make_repository(layout: &Layout, git: &Path) -> Result<(), StageError> {
    fs::create_dir_all(git).map_err(|error| StageError::file(git, &error))?;
    Git::new(git, ["init", "--quiet", "--bare", "--template=", "."]).run()?;
    let alternates = git.join("objects/info/alternates");
    if let Some(folder) = alternates.parent() {
        fs::create_dir_all(folder).map_err(|error| StageError::file(folder, &error))?;
    }
    let objects = layout.mirror().join("objects");
    fs::write(&alternates, format!("{}\n", objects.display())).map_err(|error| StageError::file(&alternates, &error))
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

fn unreadable(error: &GitError) -> StageError {
    let message = format!("what the worker left cannot be taken: {}", error.said());
    StageError::new(FailureClass::Worker, Reason::ChangeRefused, message)
}
