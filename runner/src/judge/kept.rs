//! The files that a gate may leave for the gates after it.

use std::path::Path;

use globset::GlobSet;

use super::patterns::{Letters, of_field};
use crate::stage::StageError;

/// The patterns of files that a gate may leave.
#[derive(Clone, Debug)]
pub(super) struct Kept(GlobSet);

impl Kept {
    /// Reads patterns such as `target/`. A folder without a pattern stands for everything in it.
    pub(super) fn new(patterns: &[String]) -> Result<Self, StageError> {
        of_field("evaluation.keep", patterns, Letters::Apart).map(Self)
    }

    /// Returns whether nothing may be left at all.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether a file may be left.
    pub(super) fn covers(&self, path: &Path) -> bool {
        self.0.is_match(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_keep_what_people_expect() {
        let kept = Kept::new(&["target/".to_owned(), "**/node_modules".to_owned(), "*.log".to_owned()]).unwrap();
        for (path, covered) in [
            ("target", true),
            ("target/debug/app", true),
            ("Target/debug/app", false),
            ("sub/target/app", false),
            ("sub/node_modules/a/index.js", true),
            ("build.log", true),
            ("sub/build.log", false),
        ] {
            assert_eq!(kept.covers(Path::new(path)), covered, "{path}");
        }
        assert!(Kept::new(&["a[".to_owned()]).is_err());
        assert!(Kept::new(&[]).unwrap().is_empty());
    }
}
