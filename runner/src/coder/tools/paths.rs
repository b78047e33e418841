//! Paths that the model names: within the worktree, whatever links there are.

use std::path::{Component, Path, PathBuf};

/// Returns the place of a path in the worktree.
///
/// # Errors
///
/// When it leads out of the worktree, into `.git`, or over a link that does.
pub(super) fn inside(worktree: &Path, path: &str) -> Result<PathBuf, String> {
    let refused = |why: &str| Err(format!("{path:?} {why}"));
    let relative = Path::new(path.strip_prefix("./").unwrap_or(path));
    if path.is_empty() || path.contains('\0') {
        return refused("is no path");
    }
    if relative.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return refused("leads out of the repository; write it from the repository's root, without ..");
    }
    if relative.components().any(|part| part.as_os_str() == ".git") {
        return refused("belongs to git");
    }
    let root = worktree.canonicalize().map_err(|error| error.to_string())?;
    let place = root.join(relative);
    // What exists of it must not lead elsewhere by a link.
    let existing = place.ancestors().find(|ancestor| ancestor.symlink_metadata().is_ok()).unwrap_or(&root);
    match existing.canonicalize() {
        Ok(real) if real.starts_with(&root) => Ok(place),
        Ok(_) => refused("leads out of the repository by a link"),
        Err(error) => refused(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("tree");
        std::fs::create_dir_all(root.join("src")).unwrap();
        std::fs::write(folder.path().join("secret"), "s").unwrap();
        std::os::unix::fs::symlink("../secret", root.join("link")).unwrap();
        std::os::unix::fs::symlink("..", root.join("up")).unwrap();
        for path in
            ["", "../secret", "/etc/passwd", "src/../../secret", "link", "up/secret", "up/new", ".git/config", "a\0b"]
        {
            assert!(inside(&root, path).is_err(), "{path:?}");
        }
        for path in ["src/new.rs", "./src", "deep/er/file"] {
            assert!(inside(&root, path).is_ok(), "{path:?}");
        }
    }
}
