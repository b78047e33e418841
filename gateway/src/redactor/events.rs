//! Masks a stream of events, text by text: a secret that is divided between events does not pass.

use std::collections::BTreeMap;

use bytes::Bytes;
use manyworlds_api::provider::Protocol;
use manyworlds_masking::{Filter, Findings, StreamMasker};
use serde_json::Value;

use super::channels::{EventTexts, Growth, Path, event_like};
use super::json::{self, JsonText, Step};
use super::texts::{document, replacement, text};
use crate::event_splitter::{self, EventSplitter, LARGEST_EVENT, Piece};
use crate::kept_bytes::AnswerRoom;

/// The most texts that grow at a time.
const MOST_CHANNELS: usize = 1024;

/// A text that grows over several events.
struct Channel {
    carry: StreamMasker,
    /// The last event that had a part of it, and where.
    event: Value,
    name: Option<String>,
    path: Path,
    /// The bytes of that event, while a part of the text is held back.
    size: usize,
}

/// An answer is too large to be searched for secrets, or there is no room for it.
#[derive(Debug, thiserror::Error)]
#[error("the answer is too large to be looked through for secrets")]
pub(crate) struct TooLarge;

/// Masks a stream.
pub(super) struct EventRedactor {
    protocol: Protocol,
    filter: Filter,
    splitter: EventSplitter,
    /// An event was too large: nothing more may pass.
    too_large: bool,
    channels: BTreeMap<String, Channel>,
    findings: Findings,
}

impl EventRedactor {
    pub(super) fn new(protocol: Protocol, filter: Filter) -> Self {
        let (channels, findings) = (BTreeMap::new(), Findings::default());
        let splitter = EventSplitter::default();
        Self { protocol, filter, splitter, too_large: false, channels, findings }
    }

    /// Returns the same, which keeps no more of an event than there is room for.
    pub(super) fn within(self, room: &AnswerRoom) -> Self {
        Self { splitter: EventSplitter::within(room), ..self }
    }

    /// Takes the next part and returns the events that may pass. An event that has begun waits for its end.
    pub(super) fn feed(&mut self, part: &[u8]) -> Result<Bytes, TooLarge> {
        let mut passed = String::new();
        let mut splitter = std::mem::take(&mut self.splitter);
        splitter.feed(part, |piece| self.piece(piece, &mut passed));
        self.splitter = splitter;
        if self.too_large { Err(TooLarge) } else { Ok(passed.into()) }
    }

    /// Returns the rest at the end of the stream.
    pub(super) fn finish(&mut self) -> Bytes {
        let mut passed = String::new();
        let mut splitter = std::mem::take(&mut self.splitter);
        splitter.finish(|piece| self.piece(piece, &mut passed));
        let mut held = String::new();
        self.release(|_| true, &mut held);
        if !held.is_empty() && !passed.is_empty() && !passed.ends_with("\n\n") {
            passed.push_str("\n\n");
        }
        passed.push_str(&held);
        passed.into()
    }

    pub(super) fn take_findings(&mut self) -> Findings {
        std::mem::take(&mut self.findings)
    }

    fn piece(&mut self, piece: Piece<'_>, passed: &mut String) {
        match piece {
            Piece::Event(event) => self.event(&String::from_utf8_lossy(event), passed),
            Piece::Oversized(_) => self.too_large = true,
        }
    }

    fn event(&mut self, written: &str, passed: &mut String) {
        let data: Vec<&str> = lines(written).filter_map(|line| line.strip_prefix("data:")).map(str::trim).collect();
        let data = data.join(" ");
        if data == "[DONE]" {
            self.release(|_| true, passed);
        }
        let Ok(event) = serde_json::from_str::<Value>(&data) else {
            passed.push_str(&text(&self.filter, written, &mut self.findings));
            return;
        };
        let texts = EventTexts::of(self.protocol, &event);
        let has_more = |channel: &str| texts.growths.iter().any(|growth| growth.channel == channel);
        self.release(|channel| texts.ends(channel) && !has_more(channel), passed);
        let name =
            lines(written).find_map(|line| line.strip_prefix("event:")).map(|name| self.filter.masked(name.trim()));
        let grown = self.grow(&texts, (&event, written.len()), name.as_deref());
        let replaced = self.replaced(&data, &texts.growths, &grown);
        self.write_event(written, replaced.as_deref(), passed);
        // The events that are kept for what is held back have room together as the largest event has.
        let kept: usize = self.channels.values().map(|channel| channel.size).sum();
        if self.channels.len() > MOST_CHANNELS || kept > LARGEST_EVENT {
            self.release(|_| true, passed);
        }
    }

    /// Adds each part to its text, and returns how much of the text may pass.
    fn grow(&mut self, texts: &EventTexts, (event, size): (&Value, usize), name: Option<&str>) -> Vec<String> {
        let mut grown = Vec::new();
        for (number, Growth { path, channel }) in texts.growths.iter().enumerate() {
            let held = self.channels.entry(channel.clone()).or_insert_with(|| Channel {
                carry: self.filter.stream(),
                event: Value::Null,
                name: None,
                path: Vec::new(),
                size: 0,
            });
            let mut passed = held.carry.feed(text_at(event, path));
            let has_ended =
                texts.ends(channel) && texts.growths[number + 1..].iter().all(|later| later.channel != *channel);
            if has_ended {
                passed.push_str(&held.carry.finish());
            }
            self.findings.add(held.carry.take_findings());
            if held.carry.holds() {
                // The part that is held back comes in an event like this one.
                (held.event, held.name) = (event.clone(), name.map(str::to_owned));
                held.path.clone_from(path);
                held.size = size;
            } else {
                (held.event, held.size) = (Value::Null, 0);
            }
            if has_ended {
                self.channels.remove(channel);
            }
            grown.push(passed);
        }
        grown
    }

    /// Returns the data of an event with its texts masked, or nothing where it does not change.
    fn replaced(&mut self, data: &str, growths: &[Growth], grown: &[String]) -> Option<String> {
        if growths.is_empty() {
            return document(&self.filter, data, &mut self.findings);
        }
        let (filter, findings) = (&self.filter, &mut self.findings);
        json::rewritten(data, |kind, text| {
            if let JsonText::Value(path) = kind
                && let Some(number) = growths.iter().position(|growth| growth.path == path)
            {
                return (text != grown[number]).then(|| grown[number].clone());
            }
            replacement(filter, &text, findings)
        })
    }

    /// Writes an event, with other data where there are some. Its comments and its name are texts, and are masked as such.
    fn write_event(&mut self, written: &str, data: Option<&str>, passed: &mut String) {
        let mut said = false;
        for line in lines(written) {
            if !line.starts_with("data:") {
                passed.push_str(&text(&self.filter, line, &mut self.findings));
                continue;
            }
            match data {
                None => passed.push_str(line),
                Some(data) if !said => {
                    said = true;
                    let end = line.trim_end_matches(['\r', '\n']).len();
                    passed.extend(["data: ", data, &line[end..]]);
                }
                Some(_) => {}
            }
        }
    }

    /// Passes on what is held back of texts that have ended, each in an event of its own.
    fn release(&mut self, which: impl Fn(&str) -> bool, passed: &mut String) {
        for (_, mut channel) in self.channels.extract_if(.., |name, _| which(name)) {
            let held = channel.carry.finish();
            self.findings.add(channel.carry.take_findings());
            if held.is_empty() {
                continue;
            }
            let event = event_like(&channel.event, &channel.path, &held).to_string();
            let event = document(&self.filter, &event, &mut self.findings).unwrap_or(event);
            if let Some(name) = &channel.name {
                passed.extend(["event: ", name, "\n"]);
            }
            passed.extend(["data: ", &event, "\n\n"]);
        }
    }
}

/// Returns the lines of an event, each with its end.
fn lines(written: &str) -> impl Iterator<Item = &str> {
    // A line begins and ends with whole characters.
    event_splitter::lines(written.as_bytes()).map(|line| std::str::from_utf8(line).unwrap_or_default())
}

fn text_at<'a>(event: &'a Value, path: &[Step<'_>]) -> &'a str {
    let found = path.iter().try_fold(event, |value, step| match step {
        Step::Field(name) => value.get(&**name),
        Step::Element(number) => value.get(number),
    });
    found.and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
