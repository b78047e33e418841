//! The ground that gates run on besides their checkout: each finds it as the first one did.
//!
//! A gate is the candidate's own code, and so is every gate after it. What one of them could leave in a folder for short-lived
//! files, in shared memory or in a queue would be a way to have a later one pass that fails by itself.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use super::restoration::RestoreError;
use super::shared_objects::{self, SharedObject};
use crate::files;
use crate::layout::Layout;

/// The ground that gates run on besides their checkout.
#[derive(Debug)]
pub(super) struct Ground {
    /// Folders in which nothing stays.
    folders: Vec<PathBuf>,
    /// Objects that were there before the first gate. In a pod there are none; elsewhere they are somebody else's.
    before: HashSet<SharedObject>,
}

impl Ground {
    /// The ground before the first gate.
    pub(super) fn new(layout: &Layout) -> Self {
        let folders = vec![layout.scratch(), layout.temporary(), layout.shared_memory(), layout.message_queues()];
        Self { folders, before: shared_objects::ours() }
    }

    /// Removes what gates have left.
    ///
    /// - **Shape:** to be called when none of their processes runs any more.
    ///
    /// # Errors
    ///
    /// When something that this pod's user has made cannot be removed.
    pub(super) fn clear(&self) -> Result<(), RestoreError> {
        for folder in &self.folders {
            match fs::symlink_metadata(folder) {
                Ok(metadata) if metadata.is_dir() => files::give_back_rights(folder, &metadata),
                // What a link leads to is not the gate's.
                Ok(_) => return Err(RestoreError(format!("{} is no folder any more", folder.display()))),
                Err(_) => continue,
            }
            empty(folder)?;
        }
        for object in shared_objects::ours().difference(&self.before) {
            object.remove().map_err(|error| RestoreError(format!("{object:?} cannot be removed: {error}")))?;
        }
        Ok(())
    }
}

/// Removes everything in a folder but what is another user's, which no gate has made.
fn empty(folder: &Path) -> Result<(), RestoreError> {
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries.flatten().map(|entry| entry.path()).collect::<Vec<_>>(),
            // What is not there, or another's and closed, holds nothing of a gate.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => continue,
            Err(error) => return Err(RestoreError(format!("{}: {error}", folder.display()))),
        };
        for path in entries {
            let Err(error) = files::remove(&path) else { continue };
            match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.uid() == geteuid().as_raw() => {
                    return Err(RestoreError(format!("{}: {error}", path.display())));
                }
                // Another user's folder may be one in which everybody can make files.
                Ok(metadata) if metadata.is_dir() => left.push(path),
                Ok(_) | Err(_) => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// W3: whatever a gate has left, and with whatever rights.
    #[test]
    fn nothing_stays_in_the_folders_that_gates_fill() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        let folders = [layout.scratch(), layout.temporary(), layout.shared_memory()];
        let ground = Ground::new(&layout);
        for folder in &folders {
            let closed = folder.join("closed");
            fs::create_dir_all(&closed).unwrap();
            for path in [folder.join("file"), folder.join(".hidden"), closed.join("file")] {
                fs::write(path, "x").unwrap();
            }
            std::os::unix::fs::symlink("/", folder.join("link")).unwrap();
            for folder in [&closed, folder] {
                fs::set_permissions(folder, Permissions::from_mode(0o0)).unwrap();
            }
        }
        ground.clear().unwrap();
        for folder in &folders {
            assert_eq!(fs::read_dir(folder).unwrap().count(), 0, "{}", folder.display());
        }
    }

    #[test]
    fn a_link_in_the_place_of_a_folder_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        fs::create_dir(root.path().join("else")).unwrap();
        fs::write(root.path().join("else/file"), "x").unwrap();
        std::os::unix::fs::symlink(root.path().join("else"), layout.temporary()).unwrap();
        assert!(Ground::new(&layout).clear().is_err());
        assert!(root.path().join("else/file").exists());
    }
}
