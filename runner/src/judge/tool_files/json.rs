//! JSON files, whose members are held. The text around a member stays as it is.

use std::ops::Range;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Deserializer, Value};

use super::document::Document;

/// An object in a file.
#[derive(Debug)]
pub(super) struct Json {
    text: String,
    value: Value,
}

/// Where a member stands in its text.
#[derive(Debug)]
struct Member {
    name: String,
    /// Where its name begins.
    start: usize,
    value: Range<usize>,
}

impl Document for Json {
    fn read(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        value.is_object().then(|| Self { text: text.to_owned(), value })
    }

    fn value(&self) -> Value {
        self.value.clone()
    }

    fn take(&mut self, path: &[String], from: &Self) {
        // What is held of such a file are members of the file itself.
        let [name] = path else { return };
        let theirs = members(&from.text).into_iter().rev().find(|member| member.name == *name);
        let theirs = theirs.and_then(|member| from.text.get(member.value)).map(str::to_owned);
        // Of members with one name the last counts, so the others go.
        while members(&self.text).iter().filter(|member| member.name == *name).count() > 1 {
            self.remove(name);
        }
        let own = members(&self.text).into_iter().find(|member| member.name == *name);
        match (own, theirs) {
            (Some(member), Some(text)) => self.text.replace_range(member.value, &text),
            (Some(_), None) => self.remove(name),
            (None, Some(text)) => self.insert(name, &text),
            (None, None) => {}
        }
    }

    fn text(&self) -> String {
        self.text.clone()
    }
}

impl Json {
    /// Removes the first member of a name.
    fn remove(&mut self, name: &str) {
        let members = members(&self.text);
        let Some(index) = members.iter().position(|member| member.name == name) else { return };
        let Member { start, value, .. } = &members[index];
        let range = match (index.checked_sub(1).and_then(|before| members.get(before)), members.get(index + 1)) {
            (_, Some(next)) => *start..next.start,
            (Some(before), None) => before.value.end..value.end,
            (None, None) => *start..value.end,
        };
        self.text.replace_range(range, "");
    }

    /// Inserts a member before all others, indented as the first one is.
    fn insert(&mut self, name: &str, text: &str) {
        let Some(open) = self.text.find('{') else { return };
        let name = Value::from(name);
        let member = match members(&self.text).first() {
            Some(first) => format!("{}{name}: {text},", &self.text[open + 1..first.start]),
            None => format!("{name}: {text}"),
        };
        self.text.insert_str(open + 1, &member);
    }
}

/// Returns the members of the object that a text is.
fn members(text: &str) -> Vec<Member> {
    let mut found = Vec::new();
    let mut at = text.find('{').map_or(text.len(), |open| open + 1);
    while let Some(member) = member(text, at) {
        at = member.value.end;
        found.push(member);
    }
    found
}

/// Returns the next member behind a place.
fn member(text: &str, at: usize) -> Option<Member> {
    let start = text.len() - text[at..].trim_start_matches(|c: char| c.is_whitespace() || c == ',').len();
    let (name, length): (String, usize) = first(&text[start..])?;
    let colon = start + length + text[start + length..].find(':')? + 1;
    let begin = text.len() - text[colon..].trim_start().len();
    let (IgnoredAny, length) = first(&text[begin..])?;
    Some(Member { name, start, value: begin..begin + length })
}

/// Reads the value that a text begins with, and returns it with its length.
fn first<T: DeserializeOwned>(text: &str) -> Option<(T, usize)> {
    let mut values = Deserializer::from_str(text).into_iter::<T>();
    let value = values.next()?.ok()?;
    Some((value, values.byte_offset()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(own: &str, theirs: &str, name: &str) -> String {
        let mut own = Json::read(own).unwrap();
        own.take(&[name.to_owned()], &Json::read(theirs).unwrap());
        own.text()
    }

    #[test]
    fn a_member_is_taken_and_the_rest_stays_as_it_is_written() {
        let theirs = r#"{"a": {"x": "}"}, "b": 1}"#;
        for (own, name, expected) in [
            ("{\n  \"z\" : 1.50,\n  \"a\": [ 1 ]\n}\n", "a", "{\n  \"z\" : 1.50,\n  \"a\": {\"x\": \"}\"}\n}\n"),
            ("{\n  \"z\": 1\n}", "a", "{\n  \"a\": {\"x\": \"}\"},\n  \"z\": 1\n}"),
            ("{}", "b", r#"{"b": 1}"#),
            (r#"{"c": 1, "d": 2, "e": 3}"#, "c", r#"{"d": 2, "e": 3}"#),
            (r#"{"c": 1, "d": 2, "e": 3}"#, "e", r#"{"c": 1, "d": 2}"#),
            (r#"{"c": 1}"#, "c", "{}"),
            (r#"{"b": 2, "\u0062": 3}"#, "b", r#"{"\u0062": 1}"#),
            (r#"{"d": 2}"#, "c", r#"{"d": 2}"#),
        ] {
            assert_eq!(taken(own, theirs, name), expected, "{own} {name}");
        }
    }

    #[test]
    fn what_is_no_object_is_not_read() {
        for text in ["", "[]", "{", "{} {}", "\u{feff}{}"] {
            assert!(Json::read(text).is_none(), "{text:?}");
        }
    }
}
