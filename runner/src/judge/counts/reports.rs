//! The reports of a gate: files of JUnit XML in the checkout, named by a path or a pattern.

use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use super::cases::Cases;
use super::counted::Reading;
use super::junit;
use crate::files;

/// The most bytes of all reports of a gate: those of a hundred thousand tests.
const REPORT_BYTES: u64 = 16 * 1024 * 1024;
/// The most reports of a gate: many tools write one for each class.
const MOST_REPORTS: usize = 1000;
/// What stands for anything in a pattern.
const SPECIAL: [char; 4] = ['*', '?', '[', '{'];

/// The reports of a gate.
#[derive(Debug)]
pub(in crate::judge) struct Reports {
    path: String,
    checkout: PathBuf,
    /// What the names are held against, where the path is a pattern.
    pattern: Option<GlobMatcher>,
    /// What is wrong with the path.
    fault: Option<String>,
}

impl Reports {
    /// Reads the path that a gate has for its report.
    pub(in crate::judge) fn new(path: &str, checkout: &Path) -> Self {
        let path = path.trim_start_matches('/');
        let mut reports = Self { path: path.to_owned(), checkout: checkout.to_owned(), pattern: None, fault: None };
        if path.contains(SPECIAL) {
            match GlobBuilder::new(path).literal_separator(true).build() {
                Ok(glob) => reports.pattern = Some(glob.compile_matcher()),
                Err(error) => reports.fault = Some(format!("its report {path} is no pattern: {error}")),
            }
        }
        reports
    }

    /// Returns the files that are there and lie in the checkout, wherever the folders on the way may lead, sorted.
    pub(in crate::judge) fn files(&self) -> Vec<PathBuf> {
        let Some(pattern) = &self.pattern else {
            let file = self.checkout.join(&self.path);
            return if self.fault.is_none() && is_inside(&file, &self.checkout) { vec![file] } else { Vec::new() };
        };
        let is_plain = |part: &Component<'_>| !part.as_os_str().to_string_lossy().contains(SPECIAL);
        let folder: PathBuf = Path::new(&self.path).components().take_while(is_plain).collect();
        let folder = self.checkout.join(folder);
        let mut found = Vec::new();
        if is_inside(&folder.join("file"), &self.checkout) {
            files::walk(&folder, &mut |path, metadata| {
                let is_ours = path.strip_prefix(&self.checkout).is_ok_and(|relative| pattern.is_match(relative));
                if is_ours && !metadata.is_dir() {
                    found.push(path.to_owned());
                }
            });
        }
        found.sort();
        found
    }

    /// Counts the tests of all reports, which are in these files.
    ///
    /// A report that is missing or broken counts as no test at all, so it never gives points.
    pub(in crate::judge) fn read(&self, found: &[PathBuf]) -> Reading {
        if let Some(fault) = &self.fault {
            return Reading::Nothing(fault.clone());
        }
        match self.cases(found) {
            Ok(cases) => Reading::Counted(cases.into()),
            Err(why) => Reading::Nothing(why),
        }
    }

    fn cases(&self, found: &[PathBuf]) -> Result<Cases, String> {
        if found.len() > MOST_REPORTS {
            return Err(format!("it has {} reports {}, and {MOST_REPORTS} are read", found.len(), self.path));
        }
        let mut left = REPORT_BYTES;
        let mut cases = Cases::default();
        for file in found {
            let name = file.strip_prefix(&self.checkout).unwrap_or(file).display();
            // One byte more tells a report that is too large from one that just fits.
            let bytes = files::read_ordinary(file, left + 1).ok_or_else(|| format!("it left no report {name}"))?;
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            left = left
                .checked_sub(length)
                .ok_or_else(|| format!("its report has more than {} MiB", REPORT_BYTES >> 20))?;
            let whole = String::from_utf8(bytes).ok().and_then(|text| junit::read(&text, &mut cases));
            whole.ok_or_else(|| format!("its report {name} is no whole JUnit XML"))?;
        }
        if found.is_empty() { Err(format!("it left no report {}", self.path)) } else { Ok(cases) }
    }
}

/// Returns whether a file lies in the checkout, wherever the folders on the way may lead.
pub(in crate::judge) fn is_inside(path: &Path, checkout: &Path) -> bool {
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    folder.zip(checkout.canonicalize().ok()).is_some_and(|(folder, checkout)| folder.starts_with(checkout))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn counts(reports: &Reports) -> Result<(u32, u32), String> {
        match reports.read(&reports.files()) {
            Reading::Counted(counted) => Ok((counted.counts.passed, counted.counts.total)),
            Reading::Nothing(why) | Reading::Contradictory(why) => Err(why),
        }
    }

    fn suite(name: &str, content: &str) -> String {
        format!("<testsuite name='{name}'><testcase name='x'>{content}</testcase></testsuite>")
    }

    #[test]
    fn all_reports_of_a_pattern_count_together() {
        let checkout = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let file = checkout.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        write("t/TEST-a.xml", &suite("a", ""));
        write("t/TEST-b.xml", &suite("b", "<failure/>"));
        write("t/deep/TEST-c.xml", &suite("c", ""));
        write("t/other.txt", "no report");
        assert_eq!(counts(&Reports::new("t/TEST-*.xml", checkout.path())), Ok((1, 2)));
        assert_eq!(counts(&Reports::new("/**/TEST-*.xml", checkout.path())), Ok((2, 3)));
        assert_eq!(counts(&Reports::new("t/TEST-a.xml", checkout.path())), Ok((1, 1)));
        write("t/TEST-d.xml", "<testsuite>");
        let broken = counts(&Reports::new("t/TEST-*.xml", checkout.path())).unwrap_err();
        assert_eq!(broken, "its report t/TEST-d.xml is no whole JUnit XML");
    }

    #[test]
    fn a_report_that_is_missing_counts_as_no_test() {
        let checkout = tempfile::tempdir().unwrap();
        for (path, words) in
            [("r.xml", "no report r.xml"), ("t/*.xml", "no report t/*.xml"), ("t/[.xml", "is no pattern")]
        {
            let why = counts(&Reports::new(path, checkout.path())).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
    }

    /// W14: nothing outside the checkout is read.
    #[test]
    fn a_folder_that_leads_out_of_the_checkout_has_no_reports() {
        let (checkout, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("r.xml"), suite("a", "")).unwrap();
        std::os::unix::fs::symlink(outside.path(), checkout.path().join("t")).unwrap();
        for path in ["t/r.xml", "t/*.xml", "*/r.xml", "../*/r.xml"] {
            assert!(counts(&Reports::new(path, checkout.path())).is_err(), "{path}");
        }
    }

    #[test]
    fn more_reports_than_are_read_count_as_none() {
        let checkout = tempfile::tempdir().unwrap();
        for number in 0..=MOST_REPORTS {
            fs::write(checkout.path().join(format!("{number}.xml")), suite("a", "")).unwrap();
        }
        assert!(counts(&Reports::new("*.xml", checkout.path())).unwrap_err().contains("1001 reports"));
    }
}
