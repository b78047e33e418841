//! Handles files that somebody who is not trusted has made: pipes that never end, links, folders without rights.
//!
//! Everything here is called when no such program runs any more, so what is looked at does not change underneath.

use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Read, Result};
use std::iter::Sum;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Rights of a folder that its owner can work with.
const OWN: u32 = 0o700;

/// Removes whatever is at a path; it is no error if nothing is.
///
/// - **Guarantees:** a link is removed and not followed; folders whose rights were taken away are removed too.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !kind.is_dir() {
        return fs::remove_file(path);
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            open_up(path)?;
            fs::remove_dir_all(path)
        }
        removed => removed,
    }
}

/// Makes a folder that holds nothing, whatever was in its place.
pub(crate) fn make_empty(folder: &Path) -> Result<()> {
    remove(folder)?;
    fs::create_dir_all(folder)
}

fn open_up(folder: &Path) -> Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(OWN))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

/// Reads at most so many bytes of an ordinary file; nothing if it is none.
pub(crate) fn read_ordinary(path: &Path, most: u64) -> Option<Vec<u8>> {
    // Opening a pipe would wait for a writer for ever.
    if !fs::symlink_metadata(path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Makes a folder one that git can read: gives back the rights that were taken from folders, and removes pipes, sockets
/// and devices, which git cannot keep and at which it waits for ever when one has the name of a file that it reads.
pub(crate) fn make_readable(folder: &Path) {
    // What cannot be changed makes git fail, and that is said.
    let _ = fs::set_permissions(folder, Permissions::from_mode(OWN));
    walk(folder, &mut |path, metadata| {
        let kind = metadata.file_type();
        if kind.is_dir() {
            give_back_rights(path, metadata);
        } else if !kind.is_file() && !kind.is_symlink() {
            let _ = fs::remove_file(path);
        }
    });
}

/// Gives its owner back the rights that were taken from a folder. Another user's stays as it is.
pub(crate) fn give_back_rights(folder: &Path, metadata: &fs::Metadata) {
    if metadata.mode() & OWN != OWN {
        let _ = fs::set_permissions(folder, Permissions::from_mode(metadata.mode() | OWN));
    }
}

/// The disk that files use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DiskUsage {
    /// Bytes of disk that they take together.
    pub(crate) bytes: u64,
    /// Length of the largest, in bytes.
    pub(crate) largest_file: u64,
    /// Number of them: files, folders, links and all others.
    pub(crate) files: u64,
}

impl Sum for DiskUsage {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |left, right| Self {
            bytes: left.bytes + right.bytes,
            largest_file: left.largest_file.max(right.largest_file),
            files: left.files + right.files,
        })
    }
}

/// Measures the files of a folder.
pub(crate) fn disk_usage(folder: &Path) -> DiskUsage {
    let mut usage = DiskUsage::default();
    walk(folder, &mut |_, metadata| {
        usage.bytes += metadata.blocks() * 512;
        usage.files += 1;
        if metadata.is_file() {
            usage.largest_file = usage.largest_file.max(metadata.len());
        }
    });
    usage
}

/// Shows everything below a folder, links not followed, unreadable folders left out.
pub(crate) fn walk(folder: &Path, show: &mut impl FnMut(&Path, &fs::Metadata)) {
    let mut left: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            let path = entry.path();
            show(&path, &metadata);
            if metadata.is_dir() {
                left.push(path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_rights_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a");
        fs::create_dir_all(folder.join("b/c")).unwrap();
        fs::set_permissions(folder.join("b"), Permissions::from_mode(0o0)).unwrap();
        remove(&folder).unwrap();
        assert!(!folder.exists());
        remove(&folder).unwrap();
    }

    #[test]
    fn a_link_is_removed_and_what_it_leads_to_is_not() {
        let root = tempfile::tempdir().unwrap();
        let (kept, link) = (root.path().join("kept"), root.path().join("link"));
        fs::create_dir(&kept).unwrap();
        std::os::unix::fs::symlink(&kept, &link).unwrap();
        make_empty(&link).unwrap();
        assert!(kept.exists() && link.is_dir());
    }

    #[test]
    fn pipes_are_neither_read_nor_kept_and_folders_can_be_read_again() {
        let root = tempfile::tempdir().unwrap();
        let pipe = root.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read_ordinary(&pipe, 10), None);
        let hidden = root.path().join("hidden");
        fs::create_dir(&hidden).unwrap();
        fs::write(hidden.join("file"), "x").unwrap();
        fs::set_permissions(&hidden, Permissions::from_mode(0o0)).unwrap();
        make_readable(root.path());
        assert!(!pipe.exists());
        assert!(fs::read(hidden.join("file")).is_ok());
    }
}
