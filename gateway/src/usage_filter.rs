//! Takes out of a stream the one event that the gateway asked for and the client did not.
//!
//! OpenAI's chat completions report their usage only where `stream_options.include_usage` asks for it, in a last event
//! without choices. Clients that did not ask are not ready for one.

use bytes::{Bytes, BytesMut};
use serde::Deserialize;

use crate::event_splitter::{EventSplitter, Piece, lines};
use crate::kept_bytes::AnswerRoom;
use crate::usage::names_object;

/// The field with the usage.
const USAGE: &str = "\"usage\"";

/// Passes a stream on without its usage event.
#[derive(Debug, Default)]
pub(crate) struct UsageFilter {
    splitter: EventSplitter,
}

#[derive(Deserialize)]
struct Event {
    choices: Vec<serde::de::IgnoredAny>,
    usage: Option<serde::de::IgnoredAny>,
}

impl UsageFilter {
    /// Returns a filter that keeps no more of an event than there is room for.
    pub(crate) fn within(room: &AnswerRoom) -> Self {
        Self { splitter: EventSplitter::within(room) }
    }

    /// Takes the next part and returns the events that may pass. An event that has begun waits for its end.
    pub(crate) fn feed(&mut self, part: &Bytes) -> Bytes {
        if self.splitter.is_between_events() && ends_an_event(part) && !names_object(part, USAGE) {
            return part.clone();
        }
        let mut passed = BytesMut::new();
        self.splitter.feed(part, |piece| pass(piece, &mut passed));
        passed.freeze()
    }

    /// Returns the rest at the end of the stream.
    pub(crate) fn finish(mut self) -> Bytes {
        let mut passed = BytesMut::new();
        self.splitter.finish(|piece| pass(piece, &mut passed));
        passed.freeze()
    }
}

/// Returns whether an event ends with a part. A CR at its end may be one half of an end of line.
fn ends_an_event(part: &[u8]) -> bool {
    part.ends_with(b"\n\n") || part.ends_with(b"\n\r\n")
}

fn pass(piece: Piece<'_>, passed: &mut BytesMut) {
    match piece {
        Piece::Event(event) if is_usage_event(event) => {}
        // No usage event is so large that there is no room for it, but for one that comes while there is none at all.
        Piece::Event(bytes) | Piece::Oversized(bytes) => passed.extend_from_slice(bytes),
    }
}

fn is_usage_event(event: &[u8]) -> bool {
    names_object(event, USAGE) && lines(event).any(is_usage_line)
}

fn is_usage_line(line: &[u8]) -> bool {
    let Some(data) = line.strip_prefix(b"data:") else { return false };
    serde_json::from_slice::<Event>(data).is_ok_and(|event| event.choices.is_empty() && event.usage.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = concat!(
        "data: {\"choices\":[{\"delta\":{\"content\":\"say \\\"usage\\\":{}\"}}],\"usage\":null}\n\n",
        "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n",
        ": a comment\r\n\r\n",
        "data: [DONE]\n\n",
    );

    fn filtered<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
        let mut filter = UsageFilter::default();
        let mut passed: Vec<u8> = Vec::new();
        for part in parts {
            passed.extend_from_slice(&filter.feed(&Bytes::copy_from_slice(part)));
        }
        passed.extend_from_slice(&filter.finish());
        String::from_utf8(passed).unwrap()
    }

    #[test]
    fn only_the_usage_event_is_taken_out_wherever_the_stream_is_divided() {
        let expected = STREAM.replace("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n", "");
        assert_eq!(filtered([STREAM.as_bytes()]), expected);
        assert_eq!(filtered(STREAM.as_bytes().chunks(1)), expected);
        for at in 0..STREAM.len() {
            let (one, other) = STREAM.as_bytes().split_at(at);
            assert_eq!(filtered([one, other]), expected, "divided at {at}");
        }
    }

    #[test]
    fn an_event_without_an_end_passes_at_the_end_of_the_stream() {
        assert_eq!(filtered([&b"data: {\"error\""[..]]), "data: {\"error\"");
    }

    #[test]
    fn a_part_of_whole_events_without_usage_passes_without_a_copy() {
        let part = Bytes::from_static(b"data: {\"choices\":[]}\n\n: b\r\n\r\n");
        let mut filter = UsageFilter::default();
        for _ in 0..2 {
            assert_eq!(filter.feed(&part).as_ptr(), part.as_ptr());
        }
        assert_eq!(filter.feed(&Bytes::from_static(b"data: ")), "");
        assert_eq!(filter.feed(&part)[..], [b"data: ", &part[..]].concat());
    }

    /// `make fuzz` runs these for longer.
    mod fuzzed {
        use manyworlds_test_support::fuzz::{divided, fuzz};

        use super::*;

        #[test]
        fn what_passes_depends_on_the_bytes_of_a_stream_alone() {
            let passed = |parts: Vec<&[u8]>| {
                let mut filter = UsageFilter::default();
                let mut written: Vec<u8> = Vec::new();
                for part in parts {
                    written.extend_from_slice(&filter.feed(&Bytes::copy_from_slice(part)));
                }
                written.extend_from_slice(&filter.finish());
                written
            };
            fuzz(&[STREAM.as_bytes()], |input| {
                let whole = passed(vec![input]);
                assert_eq!(passed(divided(input)), whole);
                assert!(whole.len() <= input.len());
            });
        }
    }
}
