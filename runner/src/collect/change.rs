//! Takes what a worker changed as one commit on top of the base.
//!
//! The worktree's own `.git` belongs to the worker and counts for nothing: the change is what its files are. The
//! repository that takes it is made anew, in a folder that the worker has never seen.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use manyworlds_api::artifacts::MAXIMUM_BYTES;
use manyworlds_api::conditions::{Reason, shortened};
use manyworlds_api::order_document::OrderDocument;
use manyworlds_api::result::FailureClass;

use crate::git::{Git, GitError, input, make_repository, paths};
use crate::layout::Layout;
use crate::order::Identity;
use crate::stage::StageError;
use crate::text::print_line;

/// The largest file that is read, in bytes: four times the largest patch that an order can allow.
const LARGEST_FILE: u64 = 64 * 1024 * 1024;
/// The most bytes of git's words that a message repeats.
const SAID_BYTES: usize = 512;
/// The most folders that a reason names.
const NAMED: usize = 3;
/// The most repositories inside a worktree that are left out. git holds each file against each of them.
const MOST_REPOSITORIES: usize = 1000;

/// A worker's change.
pub(super) struct Change {
    /// Its commit.
    pub(super) commit: String,
    /// The commit as a patch.
    pub(super) patch: Vec<u8>,
}

/// What was taken of a worker's files.
pub(super) struct Taken {
    /// The change. Absent when no file has changed.
    pub(super) change: Option<Change>,
    /// Findings against the worker.
    pub(super) reasons: Vec<String>,
}

/// Takes the change. Nothing is written to the worker's volume.
///
/// - **Guarantees:** a repository inside the worktree costs its own folder and nothing else. No file is read but those of the
///   worktree.
///
/// # Errors
///
/// [`StageError`] with class `Worker` when what the worker left cannot be taken: it alone had its hands on it.
pub(super) fn take(
    layout: &Layout,
    base: &str,
    order: &OrderDocument,
    identity: &Identity,
) -> Result<Taken, StageError> {
    let worktree = &layout.worktree(&identity.world, &identity.work_order);
    refuse_links(&layout.work_directory(), worktree)?;
    let folder = tempfile::Builder::new()
        .prefix("change-")
        .tempdir_in(layout.temporary())
        .map_err(|error| StageError::file(&layout.temporary(), &error))?;
    let git = folder.path().join("change.git");
    make_repository(&git, &layout.mirror(), &git, ["--bare", "."])?;
    let call = |arguments: &[&str]| Git::new(worktree, arguments).with_git_directory(&git, worktree);
    call(&["read-tree", base]).run()?;
    let listed = call(&["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).run();
    let listed = paths(&listed.map_err(|error| refused(error.said()))?);
    let own = repositories(&listed);
    if own.len() > MOST_REPOSITORIES {
        return Err(refused(&format!("more than {MOST_REPOSITORIES} git repositories are inside the worktree")));
    }
    let reasons: Vec<String> = left_out(&own).into_iter().collect();
    for reason in &reasons {
        print_line(reason);
    }
    refuse_large_files(&call, worktree, &listed)?;
    let selected = input(&git, &selection(&own))?;
    let change =
        commit_files(&call, selected, base, &message(order, identity)).map_err(|error| refused(error.said()))?;
    if let Some(Change { patch, .. }) = change.as_ref().filter(|change| change.patch.len() > MAXIMUM_BYTES) {
        let most = MAXIMUM_BYTES >> 20;
        return Err(refused(&format!(
            "as a patch it has {} bytes, and no more than {most} MiB are stored",
            patch.len()
        )));
    }
    Ok(Taken { change, reasons })
}

/// Refuses a worktree that has become a link, or lies behind one. This stage has a token, and what a link leads to is not the
/// worker's to give away.
fn refuse_links(work: &Path, worktree: &Path) -> Result<(), StageError> {
    let own = worktree.ancestors().take_while(|folder| *folder != work);
    for folder in own {
        if !fs::symlink_metadata(folder).is_ok_and(|metadata| metadata.is_dir()) {
            return Err(refused(&format!("{} is a folder no more", folder.display())));
        }
    }
    Ok(())
}

/// Returns the folders that are repositories of their own: git takes none of their files, and refuses to take any file at all
/// where one of them has no commit.
///
/// - **Shape:** `listed` is what git lists. It lists such a folder by its name with a slash behind it, and no other folder.
fn repositories(listed: &[PathBuf]) -> Vec<PathBuf> {
    let is_folder = |path: &&PathBuf| path.as_os_str().as_bytes().ends_with(b"/");
    // Without the slash at their ends.
    listed.iter().filter(is_folder).map(|path| path.components().collect()).collect()
}

/// Returns what git is to take, as `git add` reads it: everything but these folders.
fn selection(left_out: &[PathBuf]) -> Vec<u8> {
    let mut selection = b".\0".to_vec();
    for folder in left_out {
        selection.extend_from_slice(b":(exclude,literal)");
        selection.extend_from_slice(folder.as_os_str().as_bytes());
        selection.push(0);
    }
    selection
}

/// Says which folders were left out of the change.
fn left_out(folders: &[PathBuf]) -> Option<String> {
    if folders.is_empty() {
        return None;
    }
    let named: Vec<String> = folders.iter().take(NAMED).map(|folder| folder.display().to_string()).collect();
    let more = folders.len().saturating_sub(NAMED);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    let reason = format!(
        "git repositories inside the worktree were left out of the change: {}{rest}; without a .git of their own their files are taken",
        named.join(", ")
    );
    Some(shortened(&reason, SAID_BYTES))
}

fn commit_files(
    call: &impl Fn(&[&str]) -> Git,
    selected: File,
    base: &str,
    message: &str,
) -> Result<Option<Change>, GitError> {
    call(&["add", "--all", "--pathspec-from-file=-", "--pathspec-file-nul"]).with_input(selected).run()?;
    let tree = call(&["write-tree"]).line()?;
    if tree == call(&["rev-parse", &format!("{base}^{{tree}}")]).line()? {
        return Ok(None);
    }
    let commit = commit(call, &tree, base, message)?;
    let patch = patch(call, base, &commit)?;
    Ok(Some(Change { commit, patch }))
}

/// Refuses files that no patch could hold before time and disk are spent on reading them.
fn refuse_large_files(call: &impl Fn(&[&str]) -> Git, worktree: &Path, listed: &[PathBuf]) -> Result<(), StageError> {
    for path in listed {
        let size = fs::symlink_metadata(worktree.join(path)).map_or(0, |metadata| metadata.len());
        if size <= LARGEST_FILE {
            continue;
        }
        let mut entry = OsString::from(":");
        entry.push(path);
        let before = call(&["cat-file", "-s"]).argument(&entry).line().ok().and_then(|size| size.parse().ok());
        if before != Some(size) {
            let path = path.display();
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
pub(crate) fn refused(why: &str) -> StageError {
    let message = format!("what the worker left cannot be taken: {}", shortened(why, SAID_BYTES));
    StageError::new(FailureClass::Worker, Reason::ChangeRefused, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_are_left_out_are_named_and_bounded() {
        assert_eq!(left_out(&[]), None);
        let folders: Vec<PathBuf> = ["a", "b", "c", "d", "e"].map(PathBuf::from).into();
        assert!(left_out(&folders[..1]).unwrap().contains("change: a; without"));
        assert!(left_out(&folders).unwrap().contains("a, b, c and 2 more"));
    }

    #[test]
    fn a_worktree_is_behind_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let (work, elsewhere) = (folder.path().join("work"), folder.path().join("elsewhere/tree"));
        fs::create_dir_all(work.join("kept/tree")).unwrap();
        fs::create_dir_all(&elsewhere).unwrap();
        assert!(refuse_links(&work, &work.join("kept/tree")).is_ok());
        std::os::unix::fs::symlink(&elsewhere, work.join("kept/link")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), work.join("parent")).unwrap();
        fs::write(work.join("kept/file"), "x").unwrap();
        for worktree in ["kept/link", "parent/tree", "kept/file", "gone/tree"] {
            assert!(refuse_links(&work, &work.join(worktree)).is_err(), "{worktree}");
        }
    }

    #[test]
    fn only_folders_that_git_lists_as_such_are_left_out() {
        let folders = repositories(&["own/", "kept/file", "a/[b]/"].map(PathBuf::from));
        assert_eq!(folders, ["own", "a/[b]"].map(PathBuf::from));
        assert_eq!(selection(&folders), b".\0:(exclude,literal)own\0:(exclude,literal)a/[b]\0");
        assert_eq!(selection(&[]), b".\0");
    }
}
