//! Text of others as it is shown to a person: each character that a terminal obeys or hides stands as words.
//!
//! Worlds, authors of orders and servers write what this program prints. Control characters can erase what was drawn before,
//! direction marks let a line read as another, and characters without a width hide in it.

use std::fmt::Write;

/// Returns a text with every such character written out: `\u{1b}`, `\u{202e}`, `\r` for a carriage return, and `\xff` for
/// a byte that is no UTF-8. Line ends and tabs stay.
///
/// - **Guarantees:** what is visible already is returned as it is, so that a repetition changes nothing.
pub fn visible(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            push(&mut shown, character);
        }
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

fn push(shown: &mut String, character: char) {
    match character {
        '\n' | '\t' => shown.push(character),
        '\r' => shown.push_str("\\r"),
        _ if character.is_control() || turns(character) || hides(character) => {
            shown.extend(character.escape_unicode());
        }
        _ => shown.push(character),
    }
}

/// Returns whether a character turns the direction of what stands around it.
const fn turns(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns whether nothing is seen of a character. Selectors of emoji (U+FE00 to U+FE0F) only choose how a character looks.
const fn hides(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{34f}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200d}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{2060}'..='\u{2065}'
            | '\u{206a}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_or_hides_is_written_out() {
        for (bytes, shown) in [
            (&b"evil #\x1b[2K\x1b[1A"[..], r"evil #\u{1b}[2K\u{1b}[1A"),
            (b"a\x07\x08\x00\x7f", r"a\u{7}\u{8}\u{0}\u{7f}"),
            ("\u{9b}2K".as_bytes(), r"\u{9b}2K"),
            ("a\u{202e}b\u{2066}\u{200f}\u{61c}".as_bytes(), r"a\u{202e}b\u{2066}\u{200f}\u{61c}"),
            (
                "a\u{200b}\u{200d}\u{2060}\u{feff}\u{e0041}\u{2028}".as_bytes(),
                r"a\u{200b}\u{200d}\u{2060}\u{feff}\u{e0041}\u{2028}",
            ),
            (b"caf\xe9 \xe2\x80", r"caf\xe9 \xe2\x80"),
        ] {
            assert_eq!(visible(bytes), shown);
        }
    }

    #[test]
    fn carriage_returns_are_seen_and_lines_stay_lines() {
        assert_eq!(visible(b"+a\r\n+\tb\rc\n"), "+a\\r\n+\tb\\rc\n");
    }

    #[test]
    fn what_people_write_stays_as_it_is() {
        let text = "naïve 並行世界 שלום \u{2764}\u{fe0f} \\x1b \u{301}\n";
        assert_eq!(visible(text.as_bytes()), text);
        let once = visible("a\u{1b}\r\u{202e}".as_bytes());
        assert_eq!(visible(once.as_bytes()), once);
    }
}
