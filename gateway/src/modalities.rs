//! Finds the pictures, sounds and files of a request, whose tokens nobody can tell from its bytes. Also finds whether the
//! conversation brings tools, besides those in the request's own field for them.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// The types of message parts that are no text, in the three protocols.
const TYPES: [&str; 14] = [
    "image",
    "image_url",
    "input_image",
    "document",
    "file",
    "input_file",
    "input_audio",
    "audio",
    "video",
    "container_upload",
    "computer_screenshot",
    "image_file",
    "video_url",
    "audio_url",
];
/// The fields of such parts without a type.
const FIELDS: [&str; 4] = ["inlineData", "inline_data", "fileData", "file_data"];
/// The types of conversation parts that bring tools with them.
const BRINGING_TOOLS: [&str; 3] = ["additional_tools", "tool_definition", "tool_search_output"];

/// The modalities of a request, apart from text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Modalities {
    /// The number of parts that are no text, whether the request holds them or only names them.
    pub(crate) parts: u64,
    /// A part of the conversation may bring tools.
    pub(crate) brings_tools: bool,
}

impl Modalities {
    /// Searches a JSON text.
    ///
    /// - **Guarantees:** a text that is nested too deeply to be searched counts as one with everything.
    pub(crate) fn of(body: &str) -> Self {
        let mut found = Self::default();
        let walk = Walk { found: &mut found, field: Field::Other };
        match walk.deserialize(&mut serde_json::Deserializer::from_str(body)) {
            Ok(()) => found,
            Err(_) => Self { parts: found.parts.max(1), brings_tools: true },
        }
    }
}

/// The kind of field that a value is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Type,
    Part,
    Other,
}

struct Walk<'a> {
    found: &'a mut Modalities,
    field: Field,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if self.field == Field::Type {
            self.found.parts += u64::from(TYPES.contains(&text));
            self.found.brings_tools |= BRINGING_TOOLS.contains(&text);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<(), A::Error> {
        while all.next_element_seed(Walk { found: self.found, field: Field::Other })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        if self.field == Field::Part {
            self.found.parts += 1;
        }
        while let Some(field) = fields.next_key_seed(Name)? {
            fields.next_value_seed(Walk { found: self.found, field })?;
        }
        Ok(())
    }
}

/// Reads the name of a field, and keeps nothing of it.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Field;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Field, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Field;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a field")
    }

    fn visit_str<E>(self, name: &str) -> Result<Field, E> {
        Ok(match name {
            _ if name.eq_ignore_ascii_case("type") => Field::Type,
            _ if FIELDS.contains(&name) => Field::Part,
            _ => Field::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_however_they_are_written() {
        for (body, parts) in [
            (r#"{"messages":[{"content":"an image of a file"}]}"#, 0),
            (r#"{"messages":[{"content":[{"type":"image_url","image_url":{"url":"https://a"}},{"type":"text"}]}]}"#, 1),
            (r#"{"content":[{"type" : "document", "source": {"type": "url", "url": "https://a"}}]}"#, 1),
            (r#"{"content":[{"ty\u0070e":"im\u0061ge","source":{"type":"base64","data":"AAAA"}}]}"#, 1),
            (r#"{"input":[{"type":"input_file","file_url":"https://a"},{"type":"input_image","file_id":"f"}]}"#, 2),
            (r#"{"contents":[{"parts":[{"fileData":{"fileUri":"a"}},{"inline_data":{"data":"A"}},{"text":"a"}]}]}"#, 2),
            (r#"{"tools":[{"parameters":{"type":"object","properties":{"type":{"type":"string"}}}}],"n":1.5e3}"#, 0),
        ] {
            assert_eq!(Modalities::of(body), Modalities { parts, ..Modalities::default() }, "{body}");
        }
        let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        let one = Modalities { parts: 1, brings_tools: true };
        assert_eq!(Modalities::of(&deep), one, "a text that is not searched may hold one");
        let brought = r#"{"input":[{"type":"message","content":"tool_definition"},{"Type":"additional\u005ftools"}]}"#;
        assert!(Modalities::of(brought).brings_tools);
    }
}
