//! Notices that a gate has changed files of the judge.
//!
//! Landlock refuses a gate to open these files, and leaves nobody word of it. It does not govern rights and times, and
//! without it in the kernel the gate may do it all: that is what is noticed here, by how the files are before and after.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::files;

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

    /// Returns the first file that has changed.
    pub(super) fn first_change(&self, paths: &[PathBuf]) -> Option<PathBuf> {
        let Self(now) = Self::snapshot(paths);
        let differs = |path: &&PathBuf| self.0.get(*path) != now.get(*path);
        self.0.keys().chain(now.keys()).find(differs).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

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
            assert_eq!(before.first_change(&paths), None, "{name}");
            act();
            assert!(before.first_change(&paths).is_some(), "{name}");
        }
    }
}
