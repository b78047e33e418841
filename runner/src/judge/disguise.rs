//! Finds added lines that a terminal or an editor shows otherwise than they are: control characters that erase what was
//! drawn before, and characters that turn the direction of what stands around them.
//!
//! What is usual in honest files is left alone: line ends of Windows, form feeds, byte order marks, joiners within emoji and
//! scripts, marks for a direction alone, and bytes that are no UTF-8.

/// The most files that a reason names.
const NAMED: usize = 3;

/// Says which files of a patch have such lines; nothing where none has.
///
/// - **Shape:** `patch` is one that git has written itself.
pub(super) fn disguises_in_patch(patch: &[u8]) -> Option<String> {
    let mut found: Vec<(&[u8], u64)> = Vec::new();
    show_added(patch, |path, number, line| {
        // One line of each file is enough: a person has to look at it anyway.
        if is_disguised(line) && found.last().is_none_or(|(last, _)| *last != path) {
            found.push((path, number));
        }
    });
    if found.is_empty() {
        return None;
    }
    let named: Vec<String> =
        found.iter().take(NAMED).map(|(path, number)| format!("{} line {number}", name(path))).collect();
    let more = found.len().saturating_sub(NAMED);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!("its change adds control or direction characters in {}{rest}", named.join(", ")))
}

/// Returns whether a line would be shown otherwise than it is.
fn is_disguised(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.utf8_chunks().any(|chunk| chunk.valid().chars().any(disguises))
}

/// Returns whether a character alters how those around it are shown.
fn disguises(character: char) -> bool {
    match character {
        '\t' | '\u{c}' => false,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        _ => character.is_control(),
    }
}

/// Shows each added line of a patch: what the patch calls its file, its number in the file, and its bytes.
fn show_added<'a>(patch: &'a [u8], mut show: impl FnMut(&'a [u8], u64, &'a [u8])) {
    let mut file: &[u8] = b"";
    let mut hunk = Hunk::default();
    for line in patch.split(|byte| *byte == b'\n') {
        if hunk.is_over() {
            if let Some(name) = line.strip_prefix(b"+++ ") {
                file = name;
            } else if !file.is_empty() {
                hunk = Hunk::read(line).unwrap_or_default();
            }
            continue;
        }
        match line.split_first() {
            Some((b'+', text)) => {
                show(file, hunk.number, text);
                hunk.pass_new();
            }
            Some((b'-', _)) => hunk.pass_old(),
            // It tells that the line before it has no end.
            Some((b'\\', _)) => {}
            _ => {
                hunk.pass_old();
                hunk.pass_new();
            }
        }
    }
}

/// The lines of a hunk that are still to come. They are counted, because an added line may look like the head of a file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hunk {
    old: u64,
    new: u64,
    /// Number of the next line in the new file.
    number: u64,
}

impl Hunk {
    /// Reads the head of a hunk: `@@ -1,4 +1,6 @@`.
    fn read(line: &[u8]) -> Option<Self> {
        let ranges = line.strip_prefix(b"@@ -")?;
        let end = ranges.windows(3).position(|window| window == b" @@")?;
        let (old, new) = str::from_utf8(&ranges[..end]).ok()?.split_once(" +")?;
        let (_, old) = range(old)?;
        let (number, new) = range(new)?;
        Some(Self { old, new, number })
    }

    fn is_over(&self) -> bool {
        self.old == 0 && self.new == 0
    }

    fn pass_old(&mut self) {
        self.old = self.old.saturating_sub(1);
    }

    fn pass_new(&mut self) {
        self.new = self.new.saturating_sub(1);
        // The head of a hunk may say any number.
        self.number = self.number.saturating_add(1);
    }
}

/// Reads the first line and the number of lines of one side of a hunk.
fn range(text: &str) -> Option<(u64, u64)> {
    let (start, count) = text.split_once(',').unwrap_or((text, "1"));
    Some((start.parse().ok()?, count.parse().ok()?))
}

/// Returns the name of a file as people write it. One with unusual letters stays in quotes, as git writes it.
fn name(path: &[u8]) -> String {
    let path = String::from_utf8_lossy(path.strip_suffix(b"\t").unwrap_or(path));
    path.strip_prefix("b/").map_or_else(|| path.replacen("\"b/", "\"", 1), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(file: &str, lines: &[&[u8]]) -> Vec<u8> {
        let head = format!("diff --git a/x b/x\n--- /dev/null\n+++ {file}\n@@ -0,0 +1,{} @@\n", lines.len());
        let mut patch = head.into_bytes();
        for line in lines {
            patch.extend([&b"+"[..], *line, b"\n"].concat());
        }
        patch
    }

    #[test]
    fn lines_that_are_shown_otherwise_than_they_are_are_found() {
        for line in [
            &b"evil #\x1b[2K\x1b[1A"[..],
            b"evil\rgood",
            b"good\x08\x08evil",
            b"bell\x07",
            b"zero\0",
            b"erased\x7f",
            b"\xff then \x1b[A",
            "csi \u{9b}2K".as_bytes(),
            "a\u{202e}b".as_bytes(),
            "a\u{2066}b".as_bytes(),
            b"two ends\r\r",
        ] {
            let found = disguises_in_patch(&added("b/src/x.py", &[b"fine", line]));
            let expected = "its change adds control or direction characters in src/x.py line 2";
            assert_eq!(found.as_deref(), Some(expected), "{line:?}");
        }
    }

    #[test]
    fn what_is_usual_in_honest_files_is_left_alone() {
        for line in [
            "\u{feff}using System;".as_bytes(),
            b"windows\r",
            b"\x0c",
            b"\ttab",
            br"printf '\x1b[2K\u001b[1A'",
            "👩\u{200d}💻 ❤\u{fe0f}".as_bytes(),
            "می\u{200c}خواهم क्\u{200d}ष".as_bytes(),
            "msgstr \"\u{200f}שלום\u{200e}\" \u{61c}".as_bytes(),
            b"latin \xe9 and \x9b",
        ] {
            assert_eq!(disguises_in_patch(&added("b/x", &[line])), None, "{line:?}");
        }
    }

    #[test]
    fn only_added_lines_count_and_none_hides_as_a_head() {
        let patch = b"Subject: \x1b[1m\n\n--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@ fn\x1b\n kept\x1b\n-gone\x1b\n+++ b/other\x1b\n+last\n\\ No newline\n";
        let found = disguises_in_patch(patch).unwrap();
        assert!(found.ends_with("in x line 2"), "{found}");
        let clean = b"+++ b/x\n@@ -1 +1 @@\n-a\x1b\n+b\n@@ -9,2 +9 @@\n c\x1b\n-d\x1b\n";
        assert_eq!(disguises_in_patch(clean), None);
    }

    #[test]
    fn a_reason_names_few_files() {
        let files = ["b/a", "b/with space\t", "\"b/\\303\\251\"", "b/d", "b/e"];
        let patch: Vec<u8> = files.iter().flat_map(|file| added(file, &[b"\x1b", b"\x1b"])).collect();
        let found = disguises_in_patch(&patch).unwrap();
        assert!(found.ends_with("in a line 1, with space line 1, \"\\303\\251\" line 1 and 2 more"), "{found}");
    }

    /// `make fuzz` runs these for longer.
    mod fuzzed {
        use manyworlds_test_support::fuzz::fuzz;

        use super::*;

        #[test]
        fn only_what_an_added_line_has_is_a_reason() {
            let seeds = [added("b/src/x.py", &[b"fine", b"evil\rgood"]), added("b/a\t", &["a\u{202e}b".as_bytes()])];
            fuzz(
                &[&seeds[0], &seeds[1], b"+++ b/x\n@@ -1,2 +1,3 @@ fn\n kept\n-gone\n+last\n\\ No newline\n"],
                |patch| {
                    if disguises_in_patch(patch).is_some() {
                        let mut added = patch.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"+"));
                        assert!(added.any(is_disguised));
                    }
                },
            );
        }
    }
}
