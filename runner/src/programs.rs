//! Finds the programs that a stage runs itself, where nothing else that runs in its pod can have put another one.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, access, geteuid};

/// The folders of programs where the image names none.
const USUAL_FOLDERS: &str = "/usr/local/bin:/usr/bin:/bin";
/// Rights of a file that somebody may run.
const EXECUTABLE: u32 = 0o111;
/// Rights by which others than the owner may change a file.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// Right of a folder in which nobody can replace what is another's.
const STICKY: u32 = 0o1000;

/// Returns the folders in which the image looks for programs.
pub(crate) fn path() -> OsString {
    std::env::var_os("PATH").unwrap_or_else(|| USUAL_FOLDERS.into())
}

/// Returns those folders of the image's `PATH` that no program of this user can change.
///
/// - **Guarantees:** the answer is the same however often it is asked for: nothing that it depends on can be changed by
///   what runs in the pod.
pub(crate) fn fixed_folders() -> Vec<PathBuf> {
    std::env::split_paths(&path()).filter(|folder| is_fixed_folder(folder)).collect()
}

/// Returns the absolute path of a program in one of the given folders.
pub(crate) fn find(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(name)).find(|file| is_fixed_program(file))
}

fn is_fixed_program(file: &Path) -> bool {
    let is_executable =
        fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.mode() & EXECUTABLE != 0);
    // It may be a link to a place that others can change.
    is_executable && file.canonicalize().is_ok_and(|real| is_fixed_chain(&real))
}

fn is_fixed_folder(folder: &Path) -> bool {
    let is_fixed = |folder: &Path| folder.is_dir() && is_fixed_chain(folder);
    folder.is_absolute() && is_fixed(folder) && folder.canonicalize().is_ok_and(|real| is_fixed(&real))
}

/// Returns whether neither a file nor a folder above it can be changed by this user.
fn is_fixed_chain(path: &Path) -> bool {
    let keeps_what_is_anothers = |folder: &Path| {
        fs::metadata(folder).is_ok_and(|metadata| metadata.mode() & STICKY != 0 && metadata.uid() != own_user())
    };
    is_fixed(path) && path.ancestors().skip(1).all(|folder| is_fixed(folder) || keeps_what_is_anothers(folder))
}

fn is_fixed(path: &Path) -> bool {
    let Ok(metadata) = fs::metadata(path) else { return false };
    // A user who is root, as on a machine where somebody develops, can change everything, so rights alone count then.
    let is_roots_alone = metadata.uid() == 0 && metadata.mode() & WRITABLE_BY_OTHERS == 0;
    let is_anothers = metadata.uid() != own_user() && access(path, AccessFlags::W_OK).is_err();
    is_roots_alone || is_anothers || is_on_fixed_disk(path)
}

/// Returns whether a file is on a disk that cannot be written to, as the root of a World's pod is.
fn is_on_fixed_disk(path: &Path) -> bool {
    statvfs(path).is_ok_and(|disk| disk.flags().contains(FsFlags::ST_RDONLY))
}

fn own_user() -> u32 {
    geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_program_where_everybody_may_write_is_not_found() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("sh");
        fs::write(&program, "").unwrap();
        for path in [program.as_path(), folder.path()] {
            fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
        }
        assert!(!is_fixed_folder(folder.path()));
        let folders = [folder.path().to_owned(), PathBuf::from("/bin")];
        assert_eq!(find("sh", &folders), Some(PathBuf::from("/bin/sh")));
    }

    #[test]
    fn a_link_to_what_everybody_may_change_is_no_program() {
        let folder = tempfile::tempdir().unwrap();
        let (program, link) = (folder.path().join("program"), folder.path().join("link"));
        fs::write(&program, "").unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o777)).unwrap();
        std::os::unix::fs::symlink(&program, &link).unwrap();
        assert!(!is_fixed_program(&link));
    }

    #[test]
    fn a_folder_that_is_named_from_where_one_stands_does_not_count() {
        assert!(!is_fixed_folder(Path::new("bin")) && !is_fixed_folder(Path::new("")));
    }
}
