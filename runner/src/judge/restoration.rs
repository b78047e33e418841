//! Restores the checkout before a gate.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::kept::Kept;
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

/// Restores the checkout: the files of the commit, and besides them nothing but what may be kept.
///
/// - **Shape:** `git` calls git with the judge's repository; returns the files of the commit that had been changed. What else was
///   there is not named: builds and test programs leave much. The checkout has no repository of its own afterwards.
/// - **Guarantees:** nothing that the checkout holds is run: no hook, no filter, and no repository inside it is entered.
pub(super) fn restore(
    git: &impl Fn(&[&str]) -> Git,
    checkout: &Path,
    protection: &Protection,
    kept: &Kept,
) -> Result<Vec<PathBuf>, RestoreError> {
    files::make_readable(checkout);
    remove(&checkout.join(".git"))?;
    let listed = |arguments: &[&str]| -> Result<Vec<PathBuf>, RestoreError> {
        Ok(paths(&git(arguments).run().map_err(StageError::from)?))
    };
    // git asks a submodule for its state by running git in it, and what a gate made of it is its own.
    let changed = listed(&["diff-files", "--ignore-submodules=all", "--name-only", "-z"])?;
    // The index may hold times that no longer fit; `reset` looks at what is really there.
    git(&["reset", "--quiet", "--hard", "HEAD"]).run().map_err(StageError::from)?;
    let rule = Rule { tracked: Tracked::new(listed(&["ls-files", "-z"])?), protection, kept };
    remove_strangers(checkout, &rule)?;
    Ok(changed)
}

/// The files of the commit, and the folders above them.
struct Tracked {
    files: HashSet<PathBuf>,
    folders: HashSet<PathBuf>,
}

impl Tracked {
    fn new(files: Vec<PathBuf>) -> Self {
        let mut folders = HashSet::new();
        for file in &files {
            for folder in file.ancestors().skip(1) {
                if !folders.insert(folder.to_owned()) {
                    break;
                }
            }
        }
        Self { files: files.into_iter().collect(), folders }
    }
}

/// What is done with something in the checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It stays as it is.
    Stays,
    /// It is a folder of the commit, so that what it holds is looked at.
    Entered,
    /// It is a folder that goes, unless it holds something that stays.
    Emptied,
    /// It goes, with all that it holds.
    Goes,
}

/// The rule by which something in the checkout stays or goes.
struct Rule<'a> {
    tracked: Tracked,
    protection: &'a Protection,
    kept: &'a Kept,
}

impl Rule<'_> {
    fn folder(&self, path: &Path) -> Fate {
        // A submodule is a file to the commit, and a folder here.
        if self.tracked.folders.contains(path) || self.tracked.files.contains(path) {
            Fate::Entered
        } else if self.kept.is_empty() {
            Fate::Goes
        } else {
            Fate::Emptied
        }
    }

    fn file(&self, path: &Path) -> Fate {
        if self.tracked.files.contains(path) || self.keeps(path) { Fate::Stays } else { Fate::Goes }
    }

    fn keeps(&self, path: &Path) -> bool {
        self.kept.covers(path) && !self.protection.keeps_out(path)
    }
}

/// Removes what is neither the commit's nor kept.
///
/// git's own list leaves out what lies in a repository inside the tree, so the folders are read here.
fn remove_strangers(checkout: &Path, rule: &Rule) -> Result<(), RestoreError> {
    let (mut left, mut emptied) = (vec![PathBuf::new()], Vec::new());
    while let Some(folder) = left.pop() {
        for (path, is_folder) in entries(checkout, &folder)? {
            let fate = if is_folder { rule.folder(&path) } else { rule.file(&path) };
            match fate {
                Fate::Stays => {}
                Fate::Entered => left.push(path),
                Fate::Emptied => {
                    emptied.push(path.clone());
                    left.push(path);
                }
                Fate::Goes => remove(&checkout.join(path))?,
            }
        }
    }
    // A folder comes after the one that it is in.
    for folder in emptied.iter().rev().filter(|folder| !rule.keeps(folder)) {
        // One that holds something that is kept stays.
        let _ = fs::remove_dir(checkout.join(folder));
    }
    Ok(())
}

/// Returns what is in a folder of the checkout, and whether each is a folder itself.
fn entries(checkout: &Path, folder: &Path) -> Result<Vec<(PathBuf, bool)>, RestoreError> {
    let place = checkout.join(folder);
    let read = || -> std::io::Result<Vec<(PathBuf, bool)>> {
        let entry = |entry: std::io::Result<fs::DirEntry>| -> std::io::Result<(PathBuf, bool)> {
            let entry = entry?;
            Ok((folder.join(entry.file_name()), entry.file_type()?.is_dir()))
        };
        fs::read_dir(&place)?.map(entry).collect()
    };
    read().map_err(|error| RestoreError(format!("{}: {error}", place.display())))
}

/// Removes a file or folder, whatever its rights are.
pub(super) fn remove(path: &Path) -> Result<(), RestoreError> {
    files::remove(path).map_err(|error| RestoreError(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(kept: &[&str]) -> Vec<String> {
        let checkout = tempfile::tempdir().unwrap();
        for file in ["src/main", "src/trap", "trap", "new/a/trap", "target/a/built", "target/tests/trap", "library/x"] {
            let file = checkout.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "x").unwrap();
        }
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let (protection, kept) =
            (Protection::new(&texts(&["**/tests"]), None).unwrap(), Kept::new(&texts(kept)).unwrap());
        let tracked = Tracked::new(["src/main", "library"].map(PathBuf::from).into());
        remove_strangers(checkout.path(), &Rule { tracked, protection: &protection, kept: &kept }).unwrap();
        let mut found = Vec::new();
        files::walk(checkout.path(), &mut |path: &Path, _: &fs::Metadata| {
            found.push(path.strip_prefix(checkout.path()).unwrap().display().to_string());
        });
        found.sort();
        found
    }

    /// W3: what a gate has made is gone, unless the order keeps it; and a protected place keeps nothing.
    #[test]
    fn what_no_commit_holds_goes_unless_it_is_kept() {
        assert_eq!(left(&[]), ["library", "src", "src/main"]);
        assert_eq!(left(&["target/"]), ["library", "src", "src/main", "target", "target/a", "target/a/built"]);
        assert_eq!(left(&["new/a/trap"]), ["library", "new", "new/a", "new/a/trap", "src", "src/main"]);
    }
}
