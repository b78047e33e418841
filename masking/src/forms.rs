//! The forms of a secret value: plain, by line, and encoded for JSON, base64 and URLs.

use std::collections::BTreeSet;
use std::fmt::Write;

/// Shortest value whose base64 is searched for; less would match ordinary text.
const SHORTEST_IN_BASE64: usize = 8;
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Adds every form of a value.
///
/// - **Shape:** values and lines of fewer than `shortest` bytes are left out.
pub(crate) fn add(value: &str, shortest: usize, forms: &mut BTreeSet<String>) {
    let parts = value.lines().chain([value]).map(str::trim);
    for part in parts.filter(|part| part.len() >= shortest.max(1)) {
        let escaped = json(part);
        forms.extend([json(&escaped), escaped, percent_encoded(part), part.to_owned()]);
        if part.len() >= SHORTEST_IN_BASE64 {
            for before in 0..3 {
                let text = base64(part.as_bytes(), before);
                forms.extend([text.replace('+', "-").replace('/', "_"), text]);
            }
        }
    }
}

fn json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn percent_encoded(text: &str) -> String {
    let mut written = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            written.push(char::from(byte));
        } else {
            // Writing into a text cannot fail.
            let _ = write!(written, "%{byte:02X}");
        }
    }
    written
}

/// Returns the base64 letters that depend on the value alone.
///
/// - **Shape:** `before` is the number of bytes, 0 to 2, that precede the value in its group of three.
fn base64(value: &[u8], before: usize) -> String {
    let bit = |at: usize| at.checked_sub(before * 8).map_or(0, |at| usize::from(value[at / 8] >> (7 - at % 8) & 1));
    let (first, end) = ((before * 8).div_ceil(6), (before + value.len()) * 8 / 6);
    let letter = |place: usize| (0..6).fold(0, |number, offset| number * 2 + bit(place * 6 + offset));
    (first..end).map(|place| char::from(LETTERS[letter(place)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_what_is_certain_of_it_at_each_offset() {
        // Of "user:secret-value": dXNlcjpzZWNyZXQtdmFsdWU=
        assert_eq!(base64(b"secret-value", 0), "c2VjcmV0LXZhbHVl");
        assert!("dXNlcjpzZWNyZXQtdmFsdWU=".contains(&base64(b"secret-value", 2)), "{}", base64(b"secret-value", 2));
        // Of "a:secret-value": YTpzZWNyZXQtdmFsdWU=; of "secret-value" behind one byte: YXNlY3JldC12YWx1ZQ==
        assert!("YXNlY3JldC12YWx1ZQ==".contains(&base64(b"secret-value", 1)), "{}", base64(b"secret-value", 1));
    }

    #[test]
    fn a_value_is_known_in_each_form() {
        let mut forms = BTreeSet::new();
        add("pass\"word?1\n", 4, &mut forms);
        for form in ["pass\"word?1", "pass\\\"word?1", "pass\\\\\\\"word?1", "pass%22word%3F1", "cGFzcyJ3b3JkPz"] {
            assert!(forms.contains(form) || forms.iter().any(|known| known.starts_with(form)), "{form} of {forms:?}");
        }
        forms.clear();
        add("abc", 4, &mut forms);
        assert!(forms.is_empty());
    }
}
