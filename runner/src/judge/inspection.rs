//! Inspects a change: what it may not put into a tree, and its size.
//!
//! Paths are of any bytes: one that is no UTF-8 is inspected like every other.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use manyworlds_api::result::DiffStatistics;

/// One line of `git diff --raw`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RawChange {
    /// The file before the change.
    pub(super) before: Entry,
    /// The file after the change.
    pub(super) after: Entry,
    /// Path of the file.
    pub(super) path: PathBuf,
}

/// A file as a tree has it. One that is not there has a mode and an object of zeros.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its mode.
    pub(super) mode: String,
    /// Name of the object that holds its content.
    pub(super) object: String,
}

impl Entry {
    fn new(mode: &str, object: &str) -> Self {
        Self { mode: mode.to_owned(), object: object.to_owned() }
    }

    /// Returns whether there is a file.
    pub(super) fn is_there(&self) -> bool {
        self.mode != "000000"
    }

    /// Returns whether it is a link.
    pub(super) fn is_link(&self) -> bool {
        self.mode == "120000"
    }

    /// Returns whether it is a file with content of its own: no link and no submodule.
    pub(super) fn is_ordinary(&self) -> bool {
        self.mode.starts_with("100")
    }
}

/// Reads `git diff --raw -z`.
pub(super) fn raw_changes(raw: &[u8]) -> Vec<RawChange> {
    let mut changes = Vec::new();
    let mut fields = raw.split(|byte| *byte == 0);
    while let (Some(header), Some(path)) = (fields.next(), fields.next()) {
        let header = String::from_utf8_lossy(header);
        let words: Vec<&str> = header.trim_start_matches(':').split(' ').collect();
        if let [mode_before, mode, object_before, object, _] = words.as_slice() {
            changes.push(RawChange {
                before: Entry::new(mode_before, object_before),
                after: Entry::new(mode, object),
                path: PathBuf::from(OsStr::from_bytes(path)),
            });
        }
    }
    changes
}

/// Returns the files before the changes, as `git update-index -z --index-info` reads them. It removes one that was not there.
pub(super) fn entries_before<'a>(changes: impl IntoIterator<Item = &'a RawChange>) -> Vec<u8> {
    let mut entries = Vec::new();
    for RawChange { before: Entry { mode, object }, after: _, path } in changes {
        entries.extend(entry(mode, object, path));
    }
    entries
}

/// Returns a file as `git update-index -z --index-info` reads it.
pub(super) fn entry(mode: &str, object: &str, path: &Path) -> Vec<u8> {
    [format!("{mode} {object}\t").as_bytes(), path.as_os_str().as_bytes(), b"\0"].concat()
}

/// Returns whether a link leads out of the tree, or to git's own folder in it.
///
/// One that goes up again after it has gone down counts as such: the folder that it goes up from may itself be a link, and
/// then it comes out elsewhere than its words say.
pub(super) fn leaves_tree(path: &Path, target: &[u8]) -> bool {
    let depth = path.as_os_str().as_bytes().split(|byte| *byte == b'/').count() - 1;
    let parts = target.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    let parts: Vec<&[u8]> = parts.collect();
    let ups = parts.iter().take_while(|part| **part == b"..").count();
    let rest = &parts[ups..];
    target.starts_with(b"/")
        || ups > depth
        || rest.iter().any(|part| *part == b".." || part.eq_ignore_ascii_case(b".git"))
}

/// Returns the paths of the binary files in `git diff --numstat -z`.
pub(super) fn binary_files(numbers: &[u8]) -> Vec<PathBuf> {
    let rows = numbers.split(|byte| *byte == 0);
    rows.filter_map(|row| row.strip_prefix(b"-\t-\t")).map(|path| PathBuf::from(OsStr::from_bytes(path))).collect()
}

/// Reads `git diff --numstat -z`.
pub(super) fn statistics(numbers: &str) -> DiffStatistics {
    let mut diff = DiffStatistics::default();
    for row in numbers.split('\0').filter(|row| !row.is_empty()) {
        let mut columns = row.split('\t');
        let mut count = || columns.next().and_then(|count| count.parse().ok()).map_or(0, |count: i32| count.max(0));
        diff.insertions = diff.insertions.saturating_add(count());
        diff.deletions = diff.deletions.saturating_add(count());
        diff.files += 1;
    }
    diff
}

/// Paths that belong to the judge. A change or an output that names one has reached for it.
const JUDGES_OWN: &[&str] = &[
    "/dev/termination-log",
    "/var/run/secrets/manyworlds",
    "/run/secrets/manyworlds/token",
    "/manyworlds/evaluation/evidence",
    "/proc/1/",
];
/// Messages that a program gets when the kernel refuses.
const REFUSALS: &[&str] = &["permission denied", "operation not permitted", "read-only file system"];

/// Returns which of the judge's own things the added lines of a patch name.
pub(super) fn named_in_patch(patch: &str) -> Vec<&'static str> {
    let added = || patch.lines().filter(|line| line.starts_with('+') && !line.starts_with("+++"));
    JUDGES_OWN.iter().filter(|name| added().any(|line| line.contains(**name))).copied().collect()
}

/// Returns what a gate was refused, where it says so in its output.
pub(super) fn refused_in_output(output: &str) -> Option<&str> {
    output.lines().find(|line| {
        let lower = line.to_lowercase();
        let names_judge = JUDGES_OWN.iter().any(|name| lower.contains(name))
            // A gate may end its own processes, so one that may not is another's.
            || lower.contains("kill")
            || lower.contains("/proc/") && ["/environ", "/mem", "/fd/"].iter().any(|file| lower.contains(file));
        names_judge && REFUSALS.iter().any(|refusal| lower.contains(refusal))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_out_of_the_tree_are_found() {
        for (path, target, leaves) in [
            ("link", "file", false),
            ("a/b/link", "../../file", false),
            ("a/b/link", "../../../file", true),
            ("link", "/etc/passwd", true),
            ("a/b/link", "./.././c", false),
            // By another link, a/b -> .., it is outside.
            ("link", "a/b/../../c", true),
            ("a/link", "b/../../../c", true),
            ("link", ".Git/config", true),
        ] {
            assert_eq!(leaves_tree(Path::new(path), target.as_bytes()), leaves, "{path} -> {target}");
        }
    }

    #[test]
    fn names_that_are_no_text_are_read_and_written_as_they_are() {
        let (there, gone) = ("1".repeat(40), "0".repeat(40));
        let raw = [format!(":000000 100644 {gone} {there} A\0").as_bytes(), b"tests/z\xff.py\0"].concat();
        let changes = raw_changes(&raw);
        let expected = RawChange {
            before: Entry::new("000000", &gone),
            after: Entry::new("100644", &there),
            path: PathBuf::from(OsStr::from_bytes(b"tests/z\xff.py")),
        };
        assert_eq!(changes, [expected]);
        let entry = [format!("000000 {gone}\t").as_bytes(), b"tests/z\xff.py\0"].concat();
        assert_eq!(entries_before(&changes), entry);
        assert_eq!(binary_files(b"-\t-\tz\xff\x001\t0\ta\0"), [OsStr::from_bytes(b"z\xff")]);
        assert!(leaves_tree(Path::new("a"), b"/\xff"));
    }

    #[test]
    fn lines_are_counted_and_binaries_are_files_without_lines() {
        let diff = statistics("3\t1\tsrc/a\0-\t-\tb.png\0");
        assert_eq!(diff, DiffStatistics { files: 2, insertions: 3, deletions: 1 });
    }

    #[test]
    fn what_reaches_for_the_judge_is_named() {
        assert_eq!(named_in_patch("+++ b/x\n+open('/proc/1/environ')\n- /dev/termination-log"), ["/proc/1/"]);
        for (output, refused) in [
            ("sh: 1: cannot create /dev/termination-log: Permission denied", true),
            ("cat: /proc/1/environ: Permission denied", true),
            ("kill: (1): Operation not permitted", true),
            ("sh: 1: kill: Operation not permitted", true),
            ("kill: (1): No such process", false),
            ("ls: /home/else: Permission denied", false),
            ("wrote /dev/termination-log", false),
        ] {
            assert_eq!(refused_in_output(output).is_some(), refused, "{output}");
        }
    }

    /// `make fuzz` runs these for longer.
    mod fuzzed {
        use manyworlds_test_support::fuzz::fuzz;

        use super::*;

        #[test]
        fn every_change_that_is_read_is_written_back_as_one_entry() {
            let object = "1".repeat(40);
            let raw = format!(":000000 100644 {object} {object} A\0src/a\0:100644 120000 {object} {object} T\0b\0");
            fuzz(&[raw.as_bytes(), b"-\t-\tz\xff\x001\t0\ta\0", b"3\t1\tsrc/a\0"], |input| {
                let changes = raw_changes(input);
                assert!(changes.iter().all(|change| !change.path.as_os_str().as_bytes().contains(&0)));
                let entries = entries_before(&changes);
                assert_eq!(entries.split(|byte| *byte == 0).count() - 1, changes.len());
                let rows = input.split(|byte| *byte == 0).count();
                assert!(changes.len() * 2 <= rows && binary_files(input).len() <= rows);
                let diff = statistics(&String::from_utf8_lossy(input));
                assert!(diff.files >= 0 && diff.insertions >= 0 && diff.deletions >= 0, "{diff:?}");
            });
        }

        /// What goes down is within the tree again wherever it stood.
        #[test]
        fn a_link_that_stays_in_the_tree_never_counts_more_ways_up_than_down() {
            fuzz(&[b"a/b/link\n../../file", b"link\n/etc", b"a\nb/../.git/c"], |input| {
                let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return };
                let (path, target) = (Path::new(OsStr::from_bytes(&input[..end])), &input[end + 1..]);
                if leaves_tree(path, target) {
                    return;
                }
                let folder = input[..end].split(|byte| *byte == b'/').count() - 1;
                let ups = target.split(|byte| *byte == b'/').filter(|part| **part == *b"..").count();
                assert!(ups <= folder && !target.starts_with(b"/"));
            });
        }
    }
}
