//! Reads and replaces the texts of a JSON document without touching another byte.

use std::borrow::Cow;

use serde_json::Value;

/// One level of the place of a text in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// In an object, behind a name.
    Field(Cow<'a, str>),
    /// In an array.
    Element(usize),
}

/// The kind of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonText<'p, 'a> {
    /// The name of a field.
    Name,
    /// A value.
    Value(&'p [Step<'a>]),
}

/// The text that comes next in an object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Name,
    Value,
}

/// Returns a valid document with each text as `replaced` wants it, or nothing where no text changes.
pub(super) fn rewritten<'a>(
    document: &'a str,
    mut replaced: impl FnMut(JsonText<'_, 'a>, Cow<'a, str>) -> Option<String>,
) -> Option<String> {
    let bytes = document.as_bytes();
    let (mut path, mut expected): (Vec<Step<'a>>, Vec<Expected>) = (Vec::new(), Vec::new());
    let (mut written, mut done, mut at) = (String::new(), 0, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' => {
                path.push(Step::Field(Cow::Borrowed("")));
                expected.push(Expected::Name);
            }
            b'[' => {
                path.push(Step::Element(0));
                expected.push(Expected::Value);
            }
            b'}' | b']' => {
                path.pop();
                expected.pop();
            }
            b',' => match path.last_mut() {
                Some(Step::Element(number)) => *number += 1,
                Some(Step::Field(_)) => set_last(&mut expected, Expected::Name),
                None => {}
            },
            b':' => set_last(&mut expected, Expected::Value),
            b'"' => {
                let end = end_of_text(bytes, at);
                let inner = document.get(at + 1..end).unwrap_or_default();
                let kind = if expected.last() == Some(&Expected::Name) {
                    set_last(&mut path, Step::Field(unescaped(inner)));
                    JsonText::Name
                } else {
                    JsonText::Value(&path)
                };
                if let Some(text) = replaced(kind, unescaped(inner)) {
                    written.push_str(&document[done..at]);
                    written.push_str(&Value::from(text).to_string());
                    done = end + 1;
                }
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    (done > 0).then(|| {
        written.push_str(document.get(done..).unwrap_or_default());
        written
    })
}

fn set_last<T>(all: &mut [T], value: T) {
    if let Some(last) = all.last_mut() {
        *last = value;
    }
}

/// Returns the position of the quotation mark that ends a text.
fn end_of_text(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => break,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

/// Returns a text without its escapes.
///
/// Half a character, which JSON allows, becomes a mark. So the text behind it is searched too.
fn unescaped(inner: &str) -> Cow<'_, str> {
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let escape = rest[at + 1..].chars().next();
        rest = rest.get(at + 2..).unwrap_or_default();
        match escape {
            Some('b') => text.push('\u{8}'),
            Some('f') => text.push('\u{c}'),
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('t') => text.push('\t'),
            Some('u') => {
                let (character, length) = unicode(rest);
                text.push(character);
                rest = rest.get(length..).unwrap_or_default();
            }
            Some(other) => text.push(other),
            None => {}
        }
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// Reads the digits behind `\u`, of both halves of a character where it has two. Returns their length too.
fn unicode(rest: &str) -> (char, usize) {
    let half = |text: Option<&str>| u32::from_str_radix(text?, 16).ok();
    let Some(first) = half(rest.get(..4)) else { return (char::REPLACEMENT_CHARACTER, 0) };
    if (0xd800..0xdc00).contains(&first)
        && rest.get(4..6) == Some("\\u")
        && let Some(second @ 0xdc00..0xe000) = half(rest.get(6..10))
    {
        let whole = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return (char::from_u32(whole).unwrap_or(char::REPLACEMENT_CHARACTER), 10);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_read_at_its_place_and_nothing_else_is_touched() {
        let document =
            r#" {"a" : ["x", {"b\n":"y\u00e9\ud83d\ude00\"", "c":[]} ,1.50,"x"],"d":{}, "e":"x\ud800x" , "f":null} "#;
        let mut seen = Vec::new();
        let written = rewritten(document, |kind, text| {
            let kind = match kind {
                JsonText::Name => "name".to_owned(),
                JsonText::Value(path) => format!("{path:?}"),
            };
            seen.push((kind, text.clone().into_owned()));
            (text == "x").then(|| "\"*\"".to_owned())
        });
        let expected = document.replace("\"x\"", r#""\"*\"""#);
        assert_eq!(written.as_deref(), Some(expected.as_str()));
        let values: Vec<_> = seen.iter().filter(|(kind, _)| kind != "name").collect();
        assert_eq!(values[1], &(r#"[Field("a"), Element(1), Field("b\n")]"#.to_owned(), "yé😀\"".to_owned()));
        assert_eq!(values[2].0, r#"[Field("a"), Element(3)]"#);
        assert_eq!(values[3].1, "x\u{fffd}x");
        assert_eq!(seen.iter().filter(|(kind, _)| kind == "name").count(), 6);
        assert_eq!(rewritten(document, |_, _| None), None);
    }
}
