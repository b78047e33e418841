//! The fields of a request's body: read and forced without touching a byte of any other.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// Why a body cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the body is not one JSON object with each field once")]
pub struct FieldsError(#[from] serde_json::Error);

/// The outermost fields of a body, in the order in which they were written.
#[derive(Debug)]
pub struct Fields<'a> {
    body: &'a str,
    found: Vec<(String, &'a str)>,
}

impl<'a> Fields<'a> {
    /// Reads a body.
    ///
    /// - **Guarantees:** no field is there twice, in small letters or large ones: some servers tell them apart and some do not.
    ///   Which of two models a server reads is its own affair, so it must not be asked.
    ///
    /// # Errors
    ///
    /// [`FieldsError`] (class: spec).
    pub fn read(body: &'a [u8]) -> Result<Self, FieldsError> {
        let body = std::str::from_utf8(body).map_err(serde_json::Error::custom)?;
        let Found(found) = serde_json::from_str(body)?;
        Ok(Self { body, found })
    }

    /// Returns the body as it was.
    pub fn body(&self) -> &'a str {
        self.body
    }

    /// Returns the value of a field.
    pub fn get(&self, name: &str) -> Option<Value> {
        let (_, text) = self.found.iter().find(|(other, _)| other.eq_ignore_ascii_case(name))?;
        serde_json::from_str(text).ok()
    }

    /// Returns the body with some fields set, and every other byte as it was.
    pub fn with(&self, forced: &[(&str, Value)]) -> String {
        let mut parts: Vec<(Range<usize>, String)> = Vec::new();
        let mut added = String::new();
        for (name, value) in forced {
            match self.found.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)) {
                Some((_, text)) => parts.push((self.place(text), value.to_string())),
                None => added.extend([Value::from(*name).to_string(), format!(":{value},")]),
            }
        }
        if self.found.is_empty() {
            added.truncate(added.len().saturating_sub(1));
        }
        let begin = self.after_brace();
        parts.push((begin..begin, added));
        parts.sort_by_key(|(place, _)| place.start);
        let (mut written, mut done) = (String::with_capacity(self.body.len() + 64), 0);
        for (place, text) in parts {
            written.push_str(&self.body[done..place.start]);
            written.push_str(&text);
            done = place.end;
        }
        written.push_str(&self.body[done..]);
        written
    }

    /// Returns the body without a field, and every other byte as it was; nothing where the field is not there.
    pub fn without(&self, name: &str) -> Option<String> {
        let index = self.found.iter().position(|(other, _)| other.eq_ignore_ascii_case(name))?;
        let own = self.place(self.found[index].1);
        let gone = match (index.checked_sub(1), self.found.get(index + 1)) {
            // With the comma before it, which stands between two values.
            (Some(before), _) => self.place(self.found[before].1).end..own.end,
            (None, None) => self.after_brace()..own.end,
            // Only blanks and one comma stand between a value and the next name.
            (None, Some(_)) => {
                self.after_brace()..self.body[own.end..].find(',').map_or(own.end, |at| own.end + at + 1)
            }
        };
        Some([&self.body[..gone.start], &self.body[gone.end..]].concat())
    }

    fn after_brace(&self) -> usize {
        self.body.find('{').map_or(0, |at| at + 1)
    }

    fn place(&self, text: &str) -> Range<usize> {
        let start = text.as_ptr().addr() - self.body.as_ptr().addr();
        start..start + text.len()
    }
}

struct Found<'a>(Vec<(String, &'a str)>);

impl<'de> Deserialize<'de> for Found<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Found<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found: Vec<(String, &'de str)> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if found.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name)) {
                return Err(A::Error::custom("a field is there twice"));
            }
            found.push((name, map.next_value::<&'de RawValue>()?.get()));
        }
        Ok(Found(found))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_forced_fields_change() {
        let body = "\n{ \"model\" : \"a\",\"new_field\":{ \"temperature\": 9 , \"x\":1.0e+2},\"temperature\":1.50, \"seed\":12345678901234567890123 } ";
        let fields = Fields::read(body.as_bytes()).unwrap();
        let written = fields.with(&[("temperature", json!(0.2)), ("model", json!("b")), ("top_p", json!(1))]);
        assert_eq!(
            written,
            "\n{\"top_p\":1, \"model\" : \"b\",\"new_field\":{ \"temperature\": 9 , \"x\":1.0e+2},\"temperature\":0.2, \"seed\":12345678901234567890123 } "
        );
        assert_eq!(fields.with(&[]), body);
        assert_eq!(Fields::read(b"{ }").unwrap().with(&[("a", json!(1)), ("b", json!(2))]), "{\"a\":1,\"b\":2 }");
        assert_eq!(fields.get("model"), Some(json!("a")));
        let large = Fields::read(b"{\"Temperature\":2}").unwrap();
        assert_eq!(large.with(&[("temperature", json!(0.2))]), "{\"Temperature\":0.2}");
    }

    #[test]
    fn a_field_is_taken_out_with_one_comma() {
        for (body, left) in [
            (r#" { "t" : 1 } "#, " { } "),
            (r#"{"t":1 , "a":"x,y"}"#, r#"{ "a":"x,y"}"#),
            (r#"{"a":",", "t" : 1.50e1, "b":{"t":2}}"#, r#"{"a":",", "b":{"t":2}}"#),
            (r#"{"a":[1,2] , "t":{"u":","}}"#, r#"{"a":[1,2]}"#),
            (r#"{"\u0074":1,"b":12345678901234567890123}"#, r#"{"b":12345678901234567890123}"#),
        ] {
            let fields = Fields::read(body.as_bytes()).unwrap();
            assert_eq!(fields.without("t").as_deref(), Some(left), "{body}");
            assert_eq!(fields.without("u"), None, "{body}");
            assert!(Fields::read(left.as_bytes()).is_ok(), "{left}");
        }
    }

    #[test]
    fn bodies_that_can_be_read_in_two_ways_are_refused() {
        for body in [
            &b"{\"model\":\"a\",\"model\":\"b\"}"[..],
            b"{\"model\":\"a\",\"mod\\u0065l\":\"b\"}",
            b"{\"model\":\"a\",\"Model\":\"b\"}",
            b"[]",
            b"",
            b"{",
            b"{} {}",
            b"{\"a\":\xff}",
            b"nul",
        ] {
            assert!(Fields::read(body).is_err(), "{}", String::from_utf8_lossy(body));
        }
    }
}
