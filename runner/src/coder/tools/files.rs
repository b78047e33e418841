//! Looking at files and changing them.

use std::fmt::Write;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::Path;

use regex::Regex;

use super::paths::inside;
use crate::coder::workplace::Workplace;

/// The most files of a list.
const LISTED: usize = 500;
/// The most lines that a search finds.
const FOUND: usize = 100;
/// The most lines that are read at once.
const READ: usize = 400;
/// The largest file that is read, in bytes.
const LARGEST: u64 = 2 * 1024 * 1024;
/// The longest line that is shown, in characters.
const LONGEST_LINE: usize = 400;

pub(super) fn list(workplace: &Workplace, folder: Option<&str>) -> Result<String, String> {
    let files = files(workplace, folder)?;
    let mut text = files.iter().take(LISTED).cloned().collect::<Vec<_>>().join("\n");
    if files.len() > LISTED {
        let _ = write!(text, "\n... and {} more; name a folder", files.len() - LISTED);
    }
    Ok(if text.is_empty() { "there are no files".to_owned() } else { text })
}

pub(super) fn search(workplace: &Workplace, pattern: &str, folder: Option<&str>) -> Result<String, String> {
    let pattern = Regex::new(pattern).map_err(|error| format!("the pattern is no regular expression: {error}"))?;
    let mut found = Vec::new();
    for path in files(workplace, folder)? {
        let Ok(text) = content(workplace.worktree(), &path) else { continue };
        for (number, line) in text.lines().enumerate().filter(|(_, line)| pattern.is_match(line)) {
            if found.len() >= FOUND {
                found.push(format!("... more than {FOUND} lines; narrow the search"));
                return Ok(found.join("\n"));
            }
            found.push(format!("{path}:{}: {}", number + 1, shown(line.trim())));
        }
    }
    Ok(if found.is_empty() { "nothing was found".to_owned() } else { found.join("\n") })
}

pub(super) fn read(worktree: &Path, path: &str, start: Option<usize>, end: Option<usize>) -> Result<String, String> {
    let text = content(worktree, path)?;
    let all = text.lines().count();
    let first = start.unwrap_or(1).max(1);
    let last = end.unwrap_or(all).min(all).min(first.saturating_add(READ - 1));
    let lines = text.lines().enumerate().skip(first - 1).take((last + 1).saturating_sub(first));
    let mut shown_lines: Vec<_> = lines.map(|(index, line)| format!("{:>5}  {}", index + 1, shown(line))).collect();
    if last < all {
        shown_lines.push(format!("... the file has {all} lines"));
    }
    Ok(if shown_lines.is_empty() { format!("the file has {all} lines") } else { shown_lines.join("\n") })
}

pub(super) fn edit(worktree: &Path, path: &str, old: &str, new: &str) -> Result<String, String> {
    let text = content(worktree, path)?;
    if old.is_empty() {
        return Err("the old text is empty; use write_file for a whole file".to_owned());
    }
    match text.matches(old).count() {
        1 => {
            let place = inside(worktree, path)?;
            fs::write(&place, text.replacen(old, new, 1)).map_err(|error| format!("{path}: {error}"))?;
            Ok(format!("{path} was changed"))
        }
        0 => Err(format!("{path} does not have that text; read it again, and mind spaces and line ends")),
        times => Err(format!("{path} has that text {times} times; give more of the lines around it")),
    }
}

pub(super) fn write(worktree: &Path, path: &str, content: &str) -> Result<String, String> {
    let place = inside(worktree, path)?;
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder).map_err(|error| format!("{path}: {error}"))?;
    }
    fs::write(&place, content).map_err(|error| format!("{path}: {error}"))?;
    Ok(format!("{path} was written, {} bytes", content.len()))
}

fn content(worktree: &Path, path: &str) -> Result<String, String> {
    let place = inside(worktree, path)?;
    let metadata = fs::metadata(&place).map_err(|error| format!("{path}: {error}"))?;
    if !metadata.is_file() {
        return Err(format!("{path} is no file; use list_files for a folder"));
    }
    if metadata.len() > LARGEST {
        return Err(format!("{path} has {} bytes, which is too large to be read", metadata.len()));
    }
    let mut file = File::open(&place).map_err(|error| format!("{path}: {error}"))?;
    // A process that a command has left behind may have put a link there meanwhile.
    let opened = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(|error| error.to_string())?;
    let root = worktree.canonicalize().map_err(|error| error.to_string())?;
    if !opened.starts_with(&root) {
        return Err(format!("{path:?} leads out of the repository by a link"));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|_| format!("{path} is no text"))?;
    Ok(text)
}

/// Returns the files of a worktree, or of a folder in it, that git knows or would add.
///
/// # Errors
///
/// The words of git.
pub(in crate::coder) fn files(workplace: &Workplace, folder: Option<&str>) -> Result<Vec<String>, String> {
    let below = folder.unwrap_or(".");
    if below != "." {
        inside(workplace.worktree(), below)?;
    }
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", below];
    let listed = workplace.git(arguments).run().map_err(|error| error.said().to_owned())?;
    let mut files: Vec<_> =
        String::from_utf8_lossy(&listed).split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
    files.sort();
    files.dedup();
    Ok(files)
}

fn shown(line: &str) -> String {
    if line.chars().count() <= LONGEST_LINE {
        return line.to_owned();
    }
    line.chars().take(LONGEST_LINE).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn tree() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("src")).unwrap();
        fs::write(folder.path().join("src/a.py"), "def f():\n    return 1\n\ndef g():\n    return 1\n").unwrap();
        assert!(Command::new("git").args(["init", "-q"]).current_dir(folder.path()).status().unwrap().success());
        folder
    }

    #[test]
    fn files_are_listed_searched_and_read_with_their_lines() {
        let folder = tree();
        let workplace = Workplace::unconfined(folder.path());
        assert_eq!(list(&workplace, None).unwrap(), "src/a.py");
        assert_eq!(search(&workplace, r"def \w", None).unwrap(), "src/a.py:1: def f():\nsrc/a.py:4: def g():");
        assert_eq!(
            read(folder.path(), "src/a.py", Some(4), Some(4)).unwrap(),
            "    4  def g():\n... the file has 5 lines"
        );
        assert!(search(&workplace, "(", None).unwrap_err().contains("regular expression"));
        assert!(read(folder.path(), "src", None, None).unwrap_err().contains("no file"));
    }

    #[test]
    fn an_edit_needs_a_text_that_is_there_once() {
        let folder = tree();
        assert!(edit(folder.path(), "src/a.py", "return 1", "return 2").unwrap_err().contains("2 times"));
        assert!(edit(folder.path(), "src/a.py", "return 3", "return 2").unwrap_err().contains("does not have"));
        edit(folder.path(), "src/a.py", "def g():\n    return 1", "def g():\n    return 2").unwrap();
        assert!(fs::read_to_string(folder.path().join("src/a.py")).unwrap().ends_with("return 2\n"));
        write(folder.path(), "new/b.py", "x\n").unwrap();
        assert_eq!(list(&Workplace::unconfined(folder.path()), Some("new")).unwrap(), "new/b.py");
    }
}
