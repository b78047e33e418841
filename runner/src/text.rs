//! Text from programs that are not trusted: control characters removed, lengths bounded.

use std::io::Write;

/// The longest line of output that is kept, in bytes.
pub(crate) const LONGEST_LINE: usize = 4096;

/// The most items that a list names for people, who look for more in the change itself.
const NAMED: usize = 5;

/// Prints a line for people who read the container's log.
pub(crate) fn print_line(line: &str) {
    // Nobody is left to tell about a standard output that is closed.
    let _ = writeln!(std::io::stdout().lock(), "{}", clean(line));
}

/// The lines that a stage has printed, to be stored.
#[derive(Debug, Default)]
pub(crate) struct StageLog(String);

impl StageLog {
    /// Prints a line and keeps it.
    pub(crate) fn print_line(&mut self, line: &str) {
        print_line(line);
        self.0.push_str(&clean(line));
        self.0.push('\n');
    }

    /// Returns everything that was said.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns the text without control characters and escape sequences, each replaced by nothing; tabs become spaces.
pub(crate) fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => skip_escape(&mut characters),
            '\t' => cleaned.push_str("    "),
            '\n' => cleaned.push('\n'),
            _ if character.is_control() || is_direction(character) => {}
            _ => cleaned.push(character),
        }
    }
    cleaned
}

/// Returns the text as one line without control characters: names of files may hold any.
pub(crate) fn one_line(text: &str) -> String {
    clean(text).replace('\n', " ")
}

/// Returns the first items of a list, and how many more there are.
pub(crate) fn few(items: &[String]) -> String {
    let first: Vec<&str> = items.iter().take(NAMED).map(String::as_str).collect();
    let more = items.len().saturating_sub(NAMED);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", first.join(", "))
}

/// Skips the rest of a terminal's escape sequence.
fn skip_escape(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match characters.peek() {
        Some('[') => {
            characters.next();
            while let Some(next) = characters.peek().copied() {
                if next.is_control() {
                    break;
                }
                characters.next();
                if ('@'..='~').contains(&next) {
                    break;
                }
            }
        }
        Some(']') => {
            for next in characters.by_ref() {
                if next == '\u{7}' || next == '\u{1b}' {
                    break;
                }
            }
        }
        Some(next) if !next.is_control() => {
            characters.next();
        }
        _ => {}
    }
}

/// Returns whether a character turns the direction of the text around it, so that it reads as something else.
const fn is_direction(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
}

/// Returns the last bytes of a text, cut at a character's border.
pub(crate) fn tail(text: &str, most: usize) -> &str {
    let mut start = text.len().saturating_sub(most);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_control_characters_go() {
        assert_eq!(clean("\u{1b}[31mred\u{1b}[0m\u{7}\r\n\tplain\0"), "red\n    plain");
        assert_eq!(clean("\u{1b}]0;title\u{7}text"), "text");
        assert_eq!(clean("a\u{202e}b"), "ab");
        assert_eq!(clean("\u{1b}"), "");
        assert_eq!(one_line("a\n\u{1b}[1mb"), "a b");
    }

    #[test]
    fn a_list_names_few() {
        let items = |count: usize| (1..=count).map(|number| number.to_string()).collect::<Vec<_>>();
        assert_eq!(few(&items(5)), "1, 2, 3, 4, 5");
        assert_eq!(few(&items(7)), "1, 2, 3, 4, 5 and 2 more");
    }

    #[test]
    fn a_tail_begins_between_characters() {
        assert_eq!(tail("äöü", 3), "ü");
        assert_eq!(tail("abc", 9), "abc");
    }
}
