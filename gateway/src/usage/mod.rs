//! The tokens that an answer has used, read beside its way to the client.
//!
//! **Architecture invariant:** a [`UsageParser`] gets a view of each part of an answer. The parts on their way to the client do
//! not pass through it.

use manyworlds_api::provider::Protocol;
use manyworlds_metering::price::Tokens;
use memchr::memmem;
use serde_json::Value;

use crate::event_splitter::{self, EventSplitter, Piece};
use crate::kept_bytes::AnswerRoom;

/// The tokens that a call has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Upstream reported them at the end of its answer.
    Reported(Tokens),
    /// The answer was cut, or reported nothing: these tokens at least. Such a call is settled at its upper bound.
    Unknown(Tokens),
}

/// Reads the usage of one streamed answer.
#[derive(Debug)]
pub struct UsageParser {
    protocol: Protocol,
    splitter: EventSplitter,
    tokens: Tokens,
    /// An Anthropic stream has reported its input.
    has_input: bool,
    reported: bool,
    ended: bool,
}

impl UsageParser {
    /// Returns a parser that has seen nothing.
    pub fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            splitter: EventSplitter::default(),
            tokens: Tokens::default(),
            has_input: false,
            reported: false,
            ended: false,
        }
    }

    /// Returns the same parser, which keeps no more of an event than there is room for.
    #[must_use]
    pub(crate) fn within(self, room: &AnswerRoom) -> Self {
        Self { splitter: EventSplitter::within(room), ..self }
    }

    /// Reads the next part of the stream, wherever it was divided.
    pub fn feed(&mut self, part: &[u8]) {
        let mut splitter = std::mem::take(&mut self.splitter);
        splitter.feed(part, |piece| self.piece(piece));
        self.splitter = splitter;
    }

    /// Returns the usage, after the last part of the stream.
    pub fn finish(mut self) -> Usage {
        let mut splitter = std::mem::take(&mut self.splitter);
        splitter.finish(|piece| self.piece(piece));
        if self.reported && self.ended { Usage::Reported(self.tokens) } else { Usage::Unknown(self.tokens) }
    }

    fn piece(&mut self, piece: Piece<'_>) {
        // The usage of an event that is too large stays unknown.
        let Piece::Event(event) = piece else { return };
        for line in event_splitter::lines(event) {
            self.line(line);
        }
    }

    fn line(&mut self, line: &[u8]) {
        let Some(data) = line.strip_prefix(b"data:") else { return };
        let data = data.trim_ascii();
        if data == b"[DONE]" {
            self.ended = true;
            return;
        }
        // Most events hold nothing but text: they are not worth reading.
        let marked = match self.protocol {
            Protocol::OpenAi => names_object(data, "\"usage\""),
            Protocol::Anthropic => names_object(data, "\"usage\"") || contains(data, "\"message_stop\""),
            Protocol::Gemini => names_object(data, "\"usageMetadata\"") || contains(data, "\"finishReason\""),
        };
        if !marked {
            return;
        }
        if let Ok(event) = serde_json::from_slice::<Value>(data) {
            self.event(&event);
        }
    }

    fn event(&mut self, event: &Value) {
        match self.protocol {
            Protocol::OpenAi => {
                let response = &event["response"];
                let usage = if response.is_object() { &response["usage"] } else { &event["usage"] };
                self.ended |= matches!(
                    event["type"].as_str(),
                    Some("response.completed" | "response.incomplete" | "response.failed")
                );
                self.report(usage);
            }
            Protocol::Anthropic => self.anthropic_event(event),
            Protocol::Gemini => {
                let usage = &event["usageMetadata"];
                let candidates = event["candidates"].as_array().map(Vec::as_slice).unwrap_or_default();
                self.ended |= candidates.iter().any(|candidate| candidate["finishReason"].is_string())
                    || event["promptFeedback"]["blockReason"].is_string();
                self.report(usage);
            }
        }
    }

    fn report(&mut self, usage: &Value) {
        if let Some(tokens) = read(self.protocol, usage) {
            (self.tokens, self.reported) = (tokens, true);
        }
    }

    fn anthropic_event(&mut self, event: &Value) {
        match event["type"].as_str() {
            Some("message_start") => {
                let usage = &event["message"]["usage"];
                (self.tokens, self.has_input) = (anthropic(usage), reports_input(self.protocol, usage));
            }
            Some("message_delta") if event["usage"].is_object() => {
                // Each number is the total so far; those that a delta leaves out hold as they were.
                let usage = &event["usage"];
                let later = anthropic(usage);
                self.tokens.output = later.output;
                if !usage["input_tokens"].is_null() {
                    self.tokens.input = later.input;
                }
                if !usage["cache_read_input_tokens"].is_null() {
                    self.tokens.cached = later.cached;
                }
                let divided = usage["cache_creation"].is_object();
                let total = self.tokens.cache_write_5m.saturating_add(self.tokens.cache_write_1h);
                if divided || number(&usage["cache_creation_input_tokens"]) > total {
                    self.tokens.cache_write_5m = later.cache_write_5m;
                    self.tokens.cache_write_1h = later.cache_write_1h;
                }
                self.reported = self.has_input || reports_input(self.protocol, usage);
            }
            Some("message_stop") => self.ended = true,
            _ => {}
        }
    }
}

/// Returns the usage of an answer that is not streamed, or nothing where it does not report any.
pub fn of_body(protocol: Protocol, body: &Value) -> Option<Tokens> {
    let usage = match protocol {
        Protocol::OpenAi | Protocol::Anthropic => &body["usage"],
        Protocol::Gemini => &last_report(body)["usageMetadata"],
    };
    read(protocol, usage)
}

/// Returns the tokens of a usage that reports its input.
fn read(protocol: Protocol, usage: &Value) -> Option<Tokens> {
    let tokens: fn(&Value) -> Tokens = match protocol {
        Protocol::OpenAi => openai,
        Protocol::Anthropic => anthropic,
        Protocol::Gemini => gemini,
    };
    reports_input(protocol, usage).then(|| tokens(usage))
}

/// Returns whether a usage reports its input. One that does not must not count as no input.
fn reports_input(protocol: Protocol, usage: &Value) -> bool {
    let names: &[&str] = match protocol {
        Protocol::OpenAi => &["prompt_tokens", "input_tokens"],
        Protocol::Anthropic => &["input_tokens"],
        Protocol::Gemini => &["promptTokenCount"],
    };
    names.iter().any(|name| usage[*name].is_u64())
}

/// Returns the part with the usage. A Gemini stream without events is a list, of which the last part has the sum.
fn last_report(body: &Value) -> &Value {
    let parts = body.as_array().map(Vec::as_slice).unwrap_or_default();
    parts.iter().rfind(|part| part["usageMetadata"].is_object()).unwrap_or(body)
}

/// Chat completions, completions and embeddings say `prompt_tokens`, responses say `input_tokens`.
fn openai(usage: &Value) -> Tokens {
    let either = |one: &str, other: &str| {
        usage.get(one).filter(|value| !value.is_null()).or_else(|| usage.get(other)).cloned().unwrap_or_default()
    };
    let input_details = either("prompt_tokens_details", "input_tokens_details");
    let output_details = either("completion_tokens_details", "output_tokens_details");
    let all = number(&either("prompt_tokens", "input_tokens"));
    let cached = number(&input_details["cached_tokens"]).min(all);
    let written = number(&input_details["cache_write_tokens"]).min(all - cached);
    let half_a_day = number(&input_details["cache_write_tokens_details"]["ttl_12h_tokens"]).min(written);
    let output = number(&either("completion_tokens", "output_tokens"));
    let reasoning = number(&output_details["reasoning_tokens"]).min(output);
    Tokens {
        input: all - cached - written,
        cached,
        cache_write_5m: written - half_a_day,
        cache_write_1h: half_a_day,
        output,
        reasoning,
    }
}

/// `input_tokens` counts neither what was read from the cache nor what was written to it.
fn anthropic(usage: &Value) -> Tokens {
    let written = number(&usage["cache_creation_input_tokens"]);
    let hour = number(&usage["cache_creation"]["ephemeral_1h_input_tokens"]);
    let minutes = number(&usage["cache_creation"]["ephemeral_5m_input_tokens"]);
    Tokens {
        input: number(&usage["input_tokens"]),
        cached: number(&usage["cache_read_input_tokens"]),
        cache_write_5m: minutes.max(written.saturating_sub(hour)),
        cache_write_1h: hour,
        output: number(&usage["output_tokens"]),
        reasoning: 0,
    }
}

/// `promptTokenCount` counts what was cached; `candidatesTokenCount` does not count thoughts.
fn gemini(usage: &Value) -> Tokens {
    let prompt = number(&usage["promptTokenCount"]);
    let cached = number(&usage["cachedContentTokenCount"]).min(prompt);
    let reasoning = number(&usage["thoughtsTokenCount"]);
    Tokens {
        input: (prompt - cached).saturating_add(number(&usage["toolUsePromptTokenCount"])),
        cached,
        output: number(&usage["candidatesTokenCount"]).saturating_add(reasoning),
        reasoning,
        ..Tokens::default()
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// Returns whether a JSON text names a field, given with its quotes, whose value is an object. OpenAI says `"usage":null` in
/// every event but one.
pub(crate) fn names_object(text: &[u8], field: &str) -> bool {
    memmem::find_iter(text, field).any(|place| {
        let behind = text[place + field.len()..].trim_ascii_start();
        behind.strip_prefix(b":").is_some_and(|value| value.trim_ascii_start().starts_with(b"{"))
    })
}

fn contains(text: &[u8], part: &str) -> bool {
    memmem::find(text, part.as_bytes()).is_some()
}

#[cfg(test)]
mod tests;
