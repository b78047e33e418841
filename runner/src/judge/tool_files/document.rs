//! A file of parts: what a format has to be able to do for its parts to be held.

use serde_json::Value;

/// A file that was read.
pub(super) trait Document: Sized {
    /// Reads a file. Nothing where the programs that read it might see another file than this one does.
    fn read(text: &str) -> Option<Self>;

    /// Returns everything in it, without how it is written.
    fn value(&self) -> Value;

    /// Makes the part at a path what it is in another file, or removes it where that file has none.
    ///
    /// - **Assumes:** who calls looks at the result: a path that goes through something else than a table stays as it is.
    fn take(&mut self, path: &[String], from: &Self);

    /// Returns its text, which outside of the parts that were taken is what was read.
    fn text(&self) -> String;
}
