//! What a canary is made from, and what it is.

use std::collections::{BTreeMap, BTreeSet};

use super::names::Names;

/// The most test files whose imports a canary takes over. They are many more than most folders have, and reading them
/// takes no noticeable time.
const IMPORTING_FILES: usize = 64;

/// The ground on which a canary is laid.
pub(super) struct Ground<'a> {
    /// The files of the candidate, relative to the checkout.
    pub(super) files: &'a BTreeSet<String>,
    /// Reads the text of one of them.
    pub(super) read: &'a dyn Fn(&str) -> Option<String>,
    /// The names of the canary and its cases.
    pub(super) names: &'a Names,
    /// A file that the test program may write its report to.
    pub(super) report: &'a str,
}

impl Ground<'_> {
    /// Returns whether a folder of the checkout holds files. The checkout itself is the empty name.
    pub(super) fn has_folder(&self, folder: &str) -> bool {
        folder.is_empty() || self.files.range(format!("{folder}/")..).next().is_some_and(|file| is_in(file, folder))
    }

    /// Returns the text of a file of the candidate, empty where it has none.
    pub(super) fn text(&self, file: &str) -> String {
        if self.files.contains(file) { (self.read)(file).unwrap_or_default() } else { String::new() }
    }

    /// Returns the texts of the test files in a folder, which a canary in it could be one of.
    pub(super) fn texts_in(&self, folder: &str, is_test: fn(&str) -> bool) -> Vec<String> {
        let files = self.files.iter().filter(|file| folder_of(file) == folder && is_test(file));
        files.take(IMPORTING_FILES).map(|file| self.text(file)).collect()
    }
}

/// A canary: files that are laid for one run, and the command of that run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The file with the two cases, relative to the checkout.
    pub(super) path: String,
    /// Its text.
    pub(super) text: String,
    /// The command that runs the two cases.
    pub(super) command: Vec<String>,
    /// Where and how the test program says what became of them.
    pub(super) format: Format,
}

/// The form in which a test program says what became of each case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// JUnit XML in the file for the report.
    Junit,
    /// JSON as jest writes it, in the file for the report.
    Json,
    /// The output of `python -m unittest -v`.
    Unittest,
    /// The output of a Rust test program.
    Libtest,
    /// The output of `go test -v`.
    Go,
    /// TAP in the output.
    Tap,
}

impl Format {
    /// Returns whether the test program writes a file.
    pub(super) const fn is_report(self) -> bool {
        matches!(self, Self::Junit | Self::Json)
    }
}

/// Returns the folder that a file lies in; empty for the checkout itself.
pub(super) fn folder_of(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Returns the name of a file in its folder.
pub(super) fn name_of(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

/// Returns whether a file lies in a folder, however deep.
pub(super) fn is_in(file: &str, folder: &str) -> bool {
    folder.is_empty() || file.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// Returns the path of a file in a folder.
pub(super) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Returns a path as the list of files has it: without `./` before it and `/` behind it.
pub(super) fn plain(path: &str) -> &str {
    let path = path.trim_start_matches("./").trim_end_matches('/');
    if path == "." { "" } else { path }
}

/// Returns the file among so many whose folder holds most of them; of equals the shallowest, then the first.
///
/// The more tests a folder has, the more of the candidate they load.
pub(super) fn among_most<'a>(files: &[&'a String]) -> Option<&'a String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for file in files {
        *counts.entry(folder_of(file)).or_default() += 1;
    }
    let depth = |file: &str| file.matches('/').count();
    files.iter().copied().min_by(|one, other| {
        let (many, more) = (counts[folder_of(one)], counts[folder_of(other)]);
        more.cmp(&many).then(depth(one).cmp(&depth(other))).then(one.cmp(other))
    })
}
