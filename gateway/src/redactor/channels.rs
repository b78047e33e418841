//! The texts that grow over the events of a stream, and when they end, in each protocol.

use manyworlds_api::provider::Protocol;
use serde_json::{Map, Value, json};

use super::json::Step;

/// The fields that a stream adds to, in the protocols' own events.
const GROWING: [&str; 10] = [
    "arguments",
    "content",
    "input",
    "partial_json",
    "reasoning",
    "reasoning_content",
    "refusal",
    "summary",
    "text",
    "thinking",
];

/// The place of a text in an event.
pub(super) type Path = Vec<Step<'static>>;

/// A part of a text that grows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Growth {
    /// Its place in the event.
    pub(super) path: Path,
    /// The name of the text that it belongs to.
    pub(super) channel: String,
}

/// The growing texts of an event.
#[derive(Debug, Default)]
pub(super) struct EventTexts {
    /// In the order of the event.
    pub(super) growths: Vec<Growth>,
    /// The beginnings of the names of texts that have ended: before the event, or with it where it has more of them.
    pub(super) ended: Vec<String>,
}

impl EventTexts {
    /// Reads an event.
    pub(super) fn of(protocol: Protocol, event: &Value) -> Self {
        let mut texts = Self::default();
        match protocol {
            Protocol::OpenAi if event["choices"].is_array() => texts.chat(event),
            Protocol::OpenAi => texts.responses(event),
            Protocol::Anthropic => texts.messages(event),
            Protocol::Gemini => texts.gemini(event),
        }
        texts
    }

    pub(super) fn ends(&self, channel: &str) -> bool {
        self.ended.iter().any(|beginning| channel.starts_with(beginning))
    }

    fn chat(&mut self, event: &Value) {
        for (number, choice) in event["choices"].as_array().into_iter().flatten().enumerate() {
            let name = format!("choice/{}/", index(choice, number));
            let path = vec![Step::Field("choices".into()), Step::Element(number)];
            for field in ["delta", "text"] {
                let mut to = path.clone();
                to.push(Step::Field(field.into()));
                self.grow(&choice[field], &mut to, &format!("{name}{field}"), field);
            }
            if choice["finish_reason"].is_string() {
                self.ended.push(name);
            }
        }
    }

    fn responses(&mut self, event: &Value) {
        let kind = event["type"].as_str().unwrap_or_default();
        let output = event.get("output_index").map(|output| format!("output/{output}/"));
        let (_, what) = kind.rsplit_once('.').unwrap_or_default();
        if what == "delta" && event["delta"].is_string() {
            let place = format!("{}/{}/{}", event["item_id"], event["content_index"], event["summary_index"]);
            let channel = format!("{}{kind}/{place}", output.unwrap_or_default());
            self.growths.push(Growth { path: vec![Step::Field("delta".into())], channel });
        } else if what == "done" {
            self.ended.extend(output);
        } else if matches!(kind, "response.completed" | "response.incomplete" | "response.failed" | "error") {
            self.ended.push(String::new());
        }
    }

    fn messages(&mut self, event: &Value) {
        let block = format!("block/{}/", event["index"]);
        match event["type"].as_str() {
            Some("content_block_delta") => {
                self.grow(&event["delta"], &mut vec![Step::Field("delta".into())], &block, "delta");
            }
            Some("content_block_stop") => self.ended.push(block),
            Some("message_delta" | "message_stop" | "error") => self.ended.push(String::new()),
            _ => {}
        }
    }

    fn gemini(&mut self, event: &Value) {
        for (number, candidate) in event["candidates"].as_array().into_iter().flatten().enumerate() {
            let name = format!("candidate/{}/", index(candidate, number));
            for (part, content) in candidate["content"]["parts"].as_array().into_iter().flatten().enumerate() {
                if content["text"].is_string() {
                    let fields = ["content", "parts"].map(|field| Step::Field(field.into()));
                    let mut path = vec![Step::Field("candidates".into()), Step::Element(number)];
                    path.extend(fields);
                    path.extend([Step::Element(part), Step::Field("text".into())]);
                    self.growths.push(Growth { path, channel: format!("{name}{}", content["thought"]) });
                }
            }
            if candidate["finishReason"].is_string() {
                self.ended.push(name);
            }
        }
    }

    /// Finds every growing text within a value.
    fn grow(&mut self, value: &Value, path: &mut Path, name: &str, field: &str) {
        match value {
            Value::String(text) if GROWING.contains(&field) && !text.is_empty() => {
                self.growths.push(Growth { path: path.clone(), channel: name.to_owned() });
            }
            Value::Array(all) => {
                for (number, value) in all.iter().enumerate() {
                    path.push(Step::Element(number));
                    self.grow(value, path, &format!("{name}/{}", index(value, number)), field);
                    path.pop();
                }
            }
            Value::Object(fields) => {
                for (field, value) in fields {
                    path.push(Step::Field(field.clone().into()));
                    self.grow(value, path, &format!("{name}/{field}"), field);
                    path.pop();
                }
            }
            _ => {}
        }
    }
}

/// Returns an element's own index, which is not always its place.
fn index(element: &Value, number: usize) -> u64 {
    element["index"].as_u64().unwrap_or_else(|| u64::try_from(number).unwrap_or(u64::MAX))
}

/// Returns an event like another that adds to one text and says nothing else.
///
/// - **Shape:** around the text, only the fields stay that say where it belongs: clients add up all others.
pub(super) fn event_like(event: &Value, path: &[Step<'_>], text: &str) -> Value {
    let mut made = around(event, path, text);
    if let (Value::Object(made), Value::Object(event)) = (&mut made, event) {
        let plain = event.iter().filter(|(_, value)| !value.is_object() && !value.is_array());
        for (name, value) in plain {
            made.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    made
}

fn around(value: &Value, path: &[Step<'_>], text: &str) -> Value {
    match path.split_first() {
        None => Value::from(text),
        Some((Step::Element(number), rest)) => {
            json!([around(value.get(number).unwrap_or(&Value::Null), rest, text)])
        }
        Some((Step::Field(name), rest)) => {
            let mut made = Map::new();
            for kept in ["index", "type", "thought"] {
                if let Some(value) = value.get(kept) {
                    made.insert(kept.to_owned(), value.clone());
                }
            }
            if value.get("finish_reason").is_some() {
                made.insert("finish_reason".to_owned(), Value::Null);
            }
            made.insert(name.to_string(), around(&value[&**name], rest, text));
            Value::Object(made)
        }
    }
}
