//! Takes out of a stream the one event that the gateway asked for and the client did not.
//!
//! OpenAI's chat completions say what they used only where `stream_options.include_usage` asks for it, in a last event
//! without choices. Clients that did not ask are not ready for one.

use bytes::{Bytes, BytesMut};
use serde::Deserialize;

use crate::usage::names_object;

/// The field that tells what was used.
const USAGE: &str = "\"usage\"";

/// Lets a stream pass without that event.
#[derive(Debug, Default)]
pub(crate) struct Strip {
    /// The line that has begun.
    begun: BytesMut,
    /// The event was taken out, and the empty line behind it has to go too.
    after_event: bool,
}

#[derive(Deserialize)]
struct Event {
    choices: Vec<serde::de::IgnoredAny>,
    usage: Option<serde::de::IgnoredAny>,
}

impl Strip {
    /// Takes the next part and returns what may pass. A line that has begun waits for its end.
    pub(crate) fn feed(&mut self, part: &Bytes) -> Bytes {
        if self.begun.is_empty() && !self.after_event && part.ends_with(b"\n") && !names_object(part, USAGE) {
            return part.clone();
        }
        self.begun.extend_from_slice(part);
        let mut passed = BytesMut::new();
        while let Some(end) = memchr::memchr(b'\n', &self.begun) {
            let line = self.begun.split_to(end + 1);
            let empty = line.trim_ascii().is_empty();
            if is_usage_event(&line) {
                self.after_event = true;
            } else if !(self.after_event && empty) {
                self.after_event = false;
                passed.extend_from_slice(&line);
            } else {
                self.after_event = false;
            }
        }
        passed.freeze()
    }

    /// Returns what is left at the end of the stream.
    pub(crate) fn finish(self) -> Bytes {
        self.begun.freeze()
    }
}

fn is_usage_event(line: &[u8]) -> bool {
    let Some(data) = line.strip_prefix(b"data:") else { return false };
    names_object(data, USAGE)
        && serde_json::from_slice::<Event>(data).is_ok_and(|event| event.choices.is_empty() && event.usage.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = concat!(
        "data: {\"choices\":[{\"delta\":{\"content\":\"say \\\"usage\\\":{}\"}}],\"usage\":null}\n\n",
        "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n",
        "data: [DONE]\n\n",
    );

    fn pass<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
        let mut strip = Strip::default();
        let mut passed: Vec<u8> = Vec::new();
        for part in parts {
            passed.extend_from_slice(&strip.feed(&Bytes::copy_from_slice(part)));
        }
        passed.extend_from_slice(&strip.finish());
        String::from_utf8(passed).unwrap()
    }

    #[test]
    fn only_the_usage_event_is_taken_out_wherever_the_stream_is_divided() {
        let expected = STREAM.replace("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n", "");
        assert_eq!(pass([STREAM.as_bytes()]), expected);
        assert_eq!(pass(STREAM.as_bytes().chunks(1)), expected);
        for at in 0..STREAM.len() {
            let (one, other) = STREAM.as_bytes().split_at(at);
            assert_eq!(pass([one, other]), expected, "divided at {at}");
        }
    }

    #[test]
    fn what_does_not_end_with_a_line_passes_at_the_end() {
        assert_eq!(pass([&b"data: {\"error\""[..]]), "data: {\"error\"");
    }
}
