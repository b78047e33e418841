//! The files that a worker may not change.

use std::path::Path;

use globset::GlobSet;

use super::patterns::{Letters, of_field};
use super::tool_files::ToolFileSet;
use crate::stage::StageError;

/// The files that a worker may not change.
#[derive(Clone, Debug)]
pub(super) struct Protection {
    patterns: GlobSet,
    tools: Option<ToolFileSet>,
}

impl Protection {
    /// Reads patterns such as `tests/**`. A folder without a pattern stands for everything in it.
    pub(super) fn new(patterns: &[String], tools: Option<ToolFileSet>) -> Result<Self, StageError> {
        let patterns = of_field("evaluation.protectedPaths", patterns, Letters::Alike)?;
        Ok(Self { patterns, tools })
    }

    /// Returns whether the order protects a file.
    pub(super) fn covers(&self, path: &Path) -> bool {
        self.patterns.is_match(path)
    }

    /// Returns whether a file of the commit is to be left alone while gates run.
    pub(super) fn guards(&self, path: &Path) -> bool {
        self.covers(path) || self.tools.as_ref().is_some_and(|tools| tools.holds_whole(path))
    }

    /// Returns whether a file that a gate adds is removed before the next one.
    pub(super) fn keeps_out(&self, path: &Path) -> bool {
        self.covers(path) || self.tools.as_ref().is_some_and(|tools| tools.steers_once_added(path))
    }

    /// Returns the tool files, where the order protects them.
    pub(super) fn tools(&self) -> Option<&ToolFileSet> {
        self.tools.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_what_people_expect() {
        let protection = Protection::new(&["tests/**".to_owned(), "ci".to_owned(), "*.toml".to_owned()], None).unwrap();
        for (path, covered) in [
            ("tests/a.py", true),
            ("tests/deep/b.py", true),
            ("Tests/a.py", true),
            ("ci/run", true),
            ("ci", true),
            ("Cargo.toml", true),
            ("sub/Cargo.toml", false),
            ("src/tests.rs", false),
        ] {
            assert_eq!(protection.covers(Path::new(path)), covered, "{path}");
        }
        assert!(Protection::new(&["a[".to_owned()], None).is_err());
    }
}
