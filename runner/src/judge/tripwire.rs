//! Notices that a gate has changed files of the judge, or those that it is judged by.
//!
//! Landlock refuses a gate to open these files, and leaves nobody word of it. It does not govern rights and times, and
//! without it in the kernel the gate may do it all: that is what is noticed here, by how the files are before and after.
//! A gate may write to its checkout, so the protected files there are watched alike: one that is put back was touched too.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::protection::Protection;
use crate::files;

/// Folders and files that honest tools leave beside tests.
const CACHES: &[&str] = &[
    "__pycache__",
    "__snapshots__",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".hypothesis",
    ".benchmarks",
    ".cache",
    ".coverage",
    ".gradle",
    ".nyc_output",
    ".vitest",
    "node_modules",
];
/// Endings of such files.
const CACHE_ENDINGS: &[&str] = &["pyc", "snap", "new"];

/// The state of the judge's files.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tripwire(BTreeMap<PathBuf, State>);

/// Every change of a file, its rights or its owner moves the last of these, and no program can set it.
#[derive(Debug, PartialEq, Eq)]
struct State {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Tripwire {
    /// Takes the state of files, and of everything in folders.
    pub(super) fn snapshot(paths: &[PathBuf]) -> Self {
        let mut found = BTreeMap::new();
        for path in paths {
            let mut note = |path: &Path, metadata: &fs::Metadata| {
                let changed = (metadata.ctime(), metadata.ctime_nsec());
                found.insert(path.to_owned(), State { inode: metadata.ino(), size: metadata.size(), changed });
            };
            if let Ok(metadata) = fs::symlink_metadata(path) {
                note(path, &metadata);
            }
            files::walk(path, &mut note);
        }
        Self(found)
    }

    /// Returns the files that have changed.
    pub(super) fn changes(&self, paths: &[PathBuf]) -> Vec<PathBuf> {
        let Self(now) = Self::snapshot(paths);
        let all: BTreeSet<&PathBuf> = self.0.keys().chain(now.keys()).collect();
        all.into_iter().filter(|path| self.0.get(*path) != now.get(*path)).cloned().collect()
    }
}

/// The protected files of a checkout, as they are before a gate runs.
#[derive(Debug)]
pub(super) struct Guard<'a> {
    checkout: &'a Path,
    protection: &'a Protection,
    files: Vec<PathBuf>,
    before: Tripwire,
}

/// What a gate has done to protected files and places, by their names in the checkout.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Touched {
    /// Files that are not what they were, or were not for a while.
    pub(super) tampered: Vec<String>,
    /// Files that were not there before, other than caches.
    pub(super) added: Vec<String>,
}

impl<'a> Guard<'a> {
    /// Notes how the files are that are protected.
    pub(super) fn new(checkout: &'a Path, files: &[PathBuf], protection: &'a Protection) -> Self {
        let files = files.iter().map(|file| checkout.join(file));
        // A folder among them is that of a submodule, and what is in it is not the candidate's.
        let is_file = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_dir());
        let files: Vec<PathBuf> = files.filter(is_file).collect();
        let before = Tripwire::snapshot(&files);
        Self { checkout, protection, files, before }
    }

    /// Looks at what a gate has done, once it has ended. Its reports may lie anywhere.
    pub(super) fn look(&self, reports: &[PathBuf]) -> Touched {
        let name = |path: &Path| path.strip_prefix(self.checkout).unwrap_or(path).display().to_string();
        let tampered = self.before.changes(&self.files).iter().map(|path| name(path)).collect();
        let known: BTreeSet<&Path> = self.files.iter().chain(reports).map(PathBuf::as_path).collect();
        let mut added = Vec::new();
        files::walk(self.checkout, &mut |path: &Path, metadata: &fs::Metadata| {
            let Ok(relative) = path.strip_prefix(self.checkout) else { return };
            let is_known = metadata.is_dir() || relative.starts_with(".git") || known.contains(path);
            if !is_known && !is_cache(relative) && self.protection.keeps_out(relative) {
                added.push(name(path));
            }
        });
        added.sort_unstable();
        Touched { tampered, added }
    }
}

/// Returns whether honest tools leave such a file beside tests.
fn is_cache(path: &Path) -> bool {
    let is = |words: &[&str], name: &OsStr| words.iter().any(|word| name == OsStr::new(word));
    path.iter().any(|name| is(CACHES, name)) || path.extension().is_some_and(|ending| is(CACHE_ENDINGS, ending))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// What a gate does, its name, and the files that it tampered with and added.
    type Act<'a> = (&'a str, &'a dyn Fn(), &'a [&'a str], &'a [&'a str]);

    #[test]
    fn whatever_is_done_to_a_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, log) = (folder.path().join("kept/file"), folder.path().join("log"));
        fs::create_dir(folder.path().join("kept")).unwrap();
        let paths = [folder.path().join("kept"), log.clone()];
        let acts: [(&str, &dyn Fn()); 5] = [
            ("made", &|| fs::write(&log, "").unwrap()),
            ("added", &|| fs::write(&file, "x").unwrap()),
            ("written", &|| fs::write(&log, "forged").unwrap()),
            ("closed", &|| fs::set_permissions(&file, fs::Permissions::from_mode(0o0)).unwrap()),
            ("removed", &|| fs::remove_file(&file).unwrap()),
        ];
        for (name, act) in acts {
            let before = Tripwire::snapshot(&paths);
            assert_eq!(before.changes(&paths), [] as [PathBuf; 0], "{name}");
            act();
            assert!(!before.changes(&paths).is_empty(), "{name}");
        }
    }

    /// W14: a protected file that was changed and put back was touched, and a cache beside it is nobody's harm.
    #[test]
    fn protected_files_are_guarded_and_caches_beside_them_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let checkout = folder.path();
        let write = |path: &str, text: &str| {
            fs::create_dir_all(checkout.join(path).parent().unwrap()).unwrap();
            fs::write(checkout.join(path), text).unwrap();
        };
        write("tests/a.py", "x");
        write("src/f.py", "x");
        let protection = Protection::new(&["tests/**".to_owned()], None).unwrap();
        let acts: [Act; 5] = [
            ("a cache", &|| write("tests/__pycache__/a.pyc", "x"), &[], &[]),
            ("no protected file", &|| write("src/f.py", "y"), &[], &[]),
            ("a report", &|| write("tests/report.xml", "y"), &[], &[]),
            ("an added file", &|| write("tests/b.py", "x"), &[], &["tests/b.py"]),
            (
                "a file that is put back",
                &|| {
                    fs::rename(checkout.join("tests/a.py"), checkout.join("kept")).unwrap();
                    write("tests/a.py", "x");
                    fs::remove_file(checkout.join("tests/b.py")).unwrap();
                },
                &["tests/a.py"],
                &[],
            ),
        ];
        for (name, act, tampered, added) in acts {
            let guard = Guard::new(checkout, &[PathBuf::from("tests/a.py")], &protection);
            act();
            let touched = guard.look(&[checkout.join("tests/report.xml")]);
            let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            assert_eq!(touched, Touched { tampered: all(tampered), added: all(added) }, "{name}");
        }
    }
}
