//! Holds the tool files of a change to the base.

use std::path::Path;

use super::set::{Hold, ToolFileSet};
use super::steering::{Held, Mixed, steering_parts_restored};
use crate::git::{Git, input};
use crate::judge::inspection::{Entry, RawChange, entries_before, entry};
use crate::stage::StageError;
use crate::text::few;

/// The most files of a change that are read for their parts. Each is read by calls of git, and no honest change has as many
/// manifests; those beyond are held whole.
const MOST_READ: usize = 200;

/// What was found in a change, by the names of its files.
#[derive(Debug, Default)]
struct Findings {
    whole: Vec<String>,
    parts: Vec<String>,
    unreadable: Vec<String>,
    noticed: Vec<String>,
    programs: Vec<String>,
    /// What the index has to hold, as `git update-index --index-info` reads it.
    entries: Vec<u8>,
}

/// Makes the tool files in the index those of the base, and returns the reasons that this gives.
///
/// - **Shape:** `git` calls git with the judge's repository, which is `folder`; `changes` are those of the index against the base.
pub(in crate::judge) fn hold(
    git: &impl Fn(&[&str]) -> Git,
    folder: &Path,
    tools: &ToolFileSet,
    changes: &[&RawChange],
) -> Result<Vec<String>, StageError> {
    let mut findings = Findings::default();
    let mut read = 0;
    for change in changes {
        let name = change.path.display().to_string();
        match tools.hold(change) {
            None => {}
            Some(Hold::ProgramOf(gate)) => findings.programs.push(format!("{name} (gate {gate})")),
            Some(Hold::Parts(kind)) if read < MOST_READ => {
                read += 1;
                hold_parts(git, folder, kind, change, &mut findings)?;
            }
            Some(Hold::Whole | Hold::Parts(_)) => {
                findings.entries.extend(entries_before([*change]));
                findings.whole.push(name);
            }
        }
    }
    if !findings.entries.is_empty() {
        let entries = input(folder, &findings.entries)?;
        git(&["update-index", "-z", "--index-info"]).with_input(entries).run()?;
    }
    Ok(findings.reasons())
}

/// Holds the parts of a file that steer tests.
fn hold_parts(
    git: &impl Fn(&[&str]) -> Git,
    folder: &Path,
    kind: Mixed,
    change: &RawChange,
    findings: &mut Findings,
) -> Result<(), StageError> {
    let RawChange { before, after, path } = change;
    let name = path.display();
    let held = match (content(git, before)?, content(git, after)?) {
        (Some(base), Some(candidate)) => steering_parts_restored(kind, &base, &candidate),
        _ => Held::Unreadable,
    };
    match held {
        Held::Unchanged => {}
        Held::Restored { text, parts } => {
            let entries = if after.is_there() {
                let text = input(folder, text.as_bytes())?;
                let object = git(&["hash-object", "-w", "--stdin"]).with_input(text).line()?;
                entry(&after.mode, &object, path)
            } else {
                entries_before([change])
            };
            findings.entries.extend(entries);
            findings.parts.push(format!("{name} ({})", parts.join(", ")));
        }
        Held::Noticed { parts } => findings.noticed.push(format!("{name} ({})", parts.join(", "))),
        Held::Unreadable => {
            findings.entries.extend(entries_before([change]));
            findings.unreadable.push(name.to_string());
        }
    }
    Ok(())
}

/// Reads a file; nothing where it is no ordinary one. One that is not there is empty.
fn content(git: &impl Fn(&[&str]) -> Git, entry: &Entry) -> Result<Option<Vec<u8>>, StageError> {
    if !entry.is_there() {
        return Ok(Some(Vec::new()));
    }
    if !entry.is_ordinary() {
        return Ok(None);
    }
    Ok(Some(git(&["cat-file", "blob", entry.object.as_str()]).run()?))
}

impl Findings {
    fn reasons(&self) -> Vec<String> {
        let sentences = [
            (&self.whole, "it changed files that steer the tools of the gates, which were restored: ", ""),
            (&self.parts, "its change steers the tests in ", ", which was held to the base"),
            (&self.unreadable, "what steers the tests cannot be read in ", ", which was held to the base whole"),
            (&self.noticed, "its change may steer the tests in ", ", which was left: read it before you merge it"),
            (&self.programs, "a gate runs what its change adds: ", ""),
        ];
        let said = sentences.iter().filter(|(files, ..)| !files.is_empty());
        said.map(|(files, before, behind)| format!("{before}{}{behind}", few(files))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_finding_is_a_reason_of_its_own() {
        let findings = Findings {
            whole: vec!["Makefile".to_owned()],
            parts: vec!["package.json (scripts)".to_owned()],
            ..Findings::default()
        };
        assert_eq!(
            findings.reasons(),
            [
                "it changed files that steer the tools of the gates, which were restored: Makefile",
                "its change steers the tests in package.json (scripts), which was held to the base",
            ]
        );
        assert!(Findings::default().reasons().is_empty());
    }
}
