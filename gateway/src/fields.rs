//! Reads and sets fields of a request's body without touching a byte of any other.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// The most fields of an object. Requests have some twenty. Each is compared with all others.
const MOST_FIELDS: usize = 256;
/// The longest value that is parsed, in bytes. A longer one, such as a conversation, is only searched.
const LONGEST_VALUE: usize = 256 * 1024;

/// Why a body cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FieldsError {
    /// The body is no object, or could be read in two ways.
    #[error(
        "the body is not one JSON object with each field once and at most {MOST_FIELDS} of them, named in plain letters"
    )]
    Object(#[from] serde_json::Error),
    /// A field that decides cannot be read.
    #[error("the field {0} cannot be read, or is longer than {LONGEST_VALUE} bytes")]
    Value(String),
    /// A field that has to be a list is none.
    #[error("the field {0} is not a list")]
    List(String),
    /// An object in the body could be read in two ways.
    #[error(
        "the field {0} has an object that does not have each field once, or more than {MOST_FIELDS} of them, or names not in plain letters"
    )]
    Inner(String),
}

/// The outermost fields of a body, in the order in which they were written.
#[derive(Debug)]
pub struct Fields<'a> {
    body: &'a str,
    found: Vec<(String, &'a str)>,
}

impl<'a> Fields<'a> {
    /// Reads a body.
    ///
    /// - **Guarantees:** no field is there twice, in small letters or large ones: nobody knows which of two models a server would
    ///   read. For the same reason a name has no letters that fold to plain ones.
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

    /// Returns the value of a field, or nothing where it is not there.
    ///
    /// # Errors
    ///
    /// [`FieldsError::Value`] (class: spec): upstream may understand a value that is not understood here.
    pub fn get(&self, name: &str) -> Result<Option<Value>, FieldsError> {
        let Some(text) = self.raw(name) else { return Ok(None) };
        let value = if text.len() > LONGEST_VALUE { None } else { serde_json::from_str(text).ok() };
        value.map(Some).ok_or_else(|| FieldsError::Value(name.to_owned()))
    }

    /// Returns whether a field is there and not null.
    pub fn says(&self, name: &str) -> bool {
        self.raw(name).is_some_and(|text| text != "null")
    }

    /// Returns the value of a field as it is written.
    pub fn raw(&self, name: &str) -> Option<&'a str> {
        self.found.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, text)| *text)
    }

    /// Returns the fields of an object in a field, or nothing where there is none.
    ///
    /// # Errors
    ///
    /// [`FieldsError::Inner`] (class: spec): the guarantees of the body hold for it too.
    pub fn object(&self, name: &str) -> Result<Option<Fields<'a>>, FieldsError> {
        self.raw(name).map_or(Ok(None), |text| inner(name, text))
    }

    /// Hands each object of a list to `each`, and keeps none: a list may be as long as a body. Texts and numbers are skipped, in
    /// the list or in its place.
    ///
    /// # Errors
    ///
    /// The error of `each`; [`FieldsError::List`] and [`FieldsError::Inner`] (class: spec).
    pub fn each_of<E: From<FieldsError>>(
        &self,
        name: &str,
        mut each: impl FnMut(&Fields<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.values_of(name, |text| inner(name, text)?.map_or(Ok(()), |object| each(&object)))
    }

    /// Hands each value of a list, as it is written, to `each`, and keeps none.
    ///
    /// # Errors
    ///
    /// The error of `each`; [`FieldsError::List`] (class: spec).
    pub fn values_of<E: From<FieldsError>>(
        &self,
        name: &str,
        each: impl FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(text) = self.raw(name).filter(|text| text.starts_with(['[', '{'])) else { return Ok(()) };
        let mut looking = Looking { each, refused: None };
        let read = serde_json::Deserializer::from_str(text).deserialize_seq(&mut looking);
        match looking.refused {
            Some(error) => Err(error),
            None => Ok(read.map_err(|_| FieldsError::List(name.to_owned()))?),
        }
    }

    /// Returns the names of all fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.found.iter().map(|(name, _)| name.as_str())
    }

    /// Returns the body with some fields set, and every other byte as it was.
    pub fn with(&self, forced: &[(&str, Value)]) -> String {
        let mut parts: Vec<(Range<usize>, String)> = Vec::new();
        let mut added = String::new();
        for (name, value) in forced {
            match self.raw(name) {
                Some(text) => parts.push((self.place(text), value.to_string())),
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

    /// Returns the body without a field, and every other byte as it was. Nothing where the field is not there.
    pub fn without(&self, name: &str) -> Option<String> {
        let index = self.found.iter().position(|(other, _)| other.eq_ignore_ascii_case(name))?;
        let own = self.place(self.found[index].1);
        let gone = match (index.checked_sub(1), self.found.get(index + 1)) {
            // The comma before it goes too.
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

fn inner<'a>(name: &str, text: &'a str) -> Result<Option<Fields<'a>>, FieldsError> {
    if !text.starts_with(['{', '[']) {
        return Ok(None);
    }
    Fields::read(text.as_bytes()).map(Some).map_err(|_| FieldsError::Inner(name.to_owned()))
}

struct Looking<F, E> {
    each: F,
    refused: Option<E>,
}

impl<'de, E, F: FnMut(&str) -> Result<(), E>> Visitor<'de> for &mut Looking<F, E> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<(), A::Error> {
        while let Some(one) = all.next_element::<&'de RawValue>()? {
            if let Err(error) = (self.each)(one.get()) {
                self.refused = Some(error);
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
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
            let is_twice = || found.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name));
            if found.len() == MOST_FIELDS || !name.is_ascii() || is_twice() {
                return Err(A::Error::custom("the object is not plain"));
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
        assert_eq!(fields.get("model").unwrap(), Some(json!("a")));
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
            "{\"tool\u{17f}\":1}".as_bytes(),
            format!("{{{}}}", (0..257).map(|at| format!("\"a{at}\":0")).collect::<Vec<_>>().join(",")).as_bytes(),
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

    #[test]
    fn a_field_that_cannot_be_read_is_not_taken_to_be_absent() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for value in ["1e999", r#""\ud800""#, &deep, &format!("\"{}\"", "a".repeat(LONGEST_VALUE))] {
            let body = format!(r#"{{"a":{value},"b":null}}"#);
            let fields = Fields::read(body.as_bytes()).unwrap();
            assert!(fields.get("a").is_err() && fields.says("a"), "{value:.20}");
            assert_eq!(fields.get("b").unwrap(), Some(json!(null)));
            assert!(!fields.says("b") && fields.get("c").unwrap().is_none());
        }
    }

    #[test]
    fn each_object_of_a_list_is_seen_until_one_is_refused() {
        let body = r#"{"a":["text",1,{"n":1},{"n":2},{"n":3}],"b":"text","c":{"n":1},"d":[[1]],"e":[{"n":1,"N":2}]}"#;
        let fields = Fields::read(body.as_bytes()).unwrap();
        let mut seen = Vec::new();
        let stopped = fields.each_of("a", |object| {
            seen.push(object.get("n")?);
            if seen.len() == 2 { Err(FieldsError::Value("enough".to_owned())) } else { Ok(()) }
        });
        assert!(matches!(stopped, Err(FieldsError::Value(name)) if name == "enough"));
        assert_eq!(seen, [Some(json!(1)), Some(json!(2))]);
        let any = |name| fields.each_of(name, |_| Err(FieldsError::Value("seen".to_owned())));
        assert!(any("b").is_ok() && any("absent").is_ok(), "nothing to look at");
        assert!(matches!(any("c"), Err(FieldsError::List(_))));
        assert!(matches!(any("d"), Err(FieldsError::Inner(_))));
        assert!(matches!(any("e"), Err(FieldsError::Inner(_))));
        assert_eq!(fields.object("c").unwrap().map(|inner| inner.get("n").unwrap()), Some(Some(json!(1))));
        assert!(fields.object("b").unwrap().is_none() && fields.object("a").is_err());
    }
}
