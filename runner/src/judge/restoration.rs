//! Restores the checkout after a gate.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::protection::Protection;
use crate::files;
use crate::git::{Git, paths};
use crate::stage::StageError;

/// The checkout could not be restored, because of what the gate did to it.
#[derive(Debug)]
pub(super) struct RestoreError(pub(super) String);

impl From<StageError> for RestoreError {
    fn from(error: StageError) -> Self {
        Self(error.message)
    }
}

/// Restores the files of the commit. What a gate has built stays, except in protected places.
///
/// - **Shape:** `git` calls git with the judge's repository; returns the files that had been changed. Files that were added in protected
///   places are removed and not named: test programs leave caches there.
/// - **Guarantees:** nothing that the checkout holds is run: no hook, no filter, and no repository inside it is entered.
pub(super) fn restore(
    git: &impl Fn(&[&str]) -> Git,
    checkout: &Path,
    protection: &Protection,
) -> Result<Vec<PathBuf>, RestoreError> {
    files::make_readable(checkout);
    let listed = |arguments: &[&str]| -> Result<Vec<PathBuf>, RestoreError> {
        Ok(paths(&git(arguments).run().map_err(StageError::from)?))
    };
    // git asks a submodule for its state by running git in it, and what a gate made of it is its own.
    let changed = listed(&["diff-files", "--ignore-submodules=all", "--name-only", "-z"])?;
    // The index may hold times that no longer fit; `reset` looks at what is really there.
    git(&["reset", "--quiet", "--hard", "HEAD"]).run().map_err(StageError::from)?;
    let tracked: HashSet<PathBuf> = listed(&["ls-files", "-z"])?.into_iter().collect();
    for stranger in added_in_protected_places(checkout, &tracked, protection) {
        let file = checkout.join(&stranger);
        files::remove(&file).map_err(|error| RestoreError(format!("{}: {error}", file.display())))?;
    }
    Ok(changed)
}

/// Returns the files in protected places that are not the candidate's.
///
/// git's own list leaves out what lies in a repository inside the tree, so the folders are read here.
fn added_in_protected_places(checkout: &Path, tracked: &HashSet<PathBuf>, protection: &Protection) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files::walk(checkout, &mut |path: &Path, metadata: &fs::Metadata| {
        let Ok(relative) = path.strip_prefix(checkout) else { return };
        let is_ours = relative.starts_with(".git") || tracked.contains(relative);
        if !metadata.is_dir() && !is_ours && protection.keeps_out(relative) {
            found.push(relative.to_owned());
        }
    });
    found
}
