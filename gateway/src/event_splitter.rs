//! Divides a stream of server-sent events into its events, for all that reads one.

use crate::kept_bytes::{AnswerRoom, KeptBytes};

/// The largest event, in bytes. Most have some hundred; the last one of OpenAI's responses repeats the tools of the request and
/// the whole answer.
pub(crate) const LARGEST_EVENT: usize = 16 * 1024 * 1024;

/// A piece of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// One event, with the empty line that ends it. Only the last event of a stream may be without that line.
    Event(&'a [u8]),
    /// A part of an event that is larger than [`LARGEST_EVENT`], or than there is room for.
    Oversized(&'a [u8]),
}

/// Divides a stream that comes in parts.
///
/// - **Shape:** lines end with LF, CR LF or CR, and an event ends with an empty line.
/// - **Guarantees:** the pieces are the stream, byte for byte. However the stream is divided into parts, its events are the same.
///   At most [`LARGEST_EVENT`] bytes are kept, and nothing is copied of an event that comes in one part.
#[derive(Debug, Default)]
pub(crate) struct EventSplitter {
    /// The beginning of an event that has not ended.
    begun: KeptBytes,
    position: Position,
    /// The event that has begun is already too large.
    oversized: bool,
}

/// The place in a stream behind the last byte that was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Position {
    #[default]
    LineStart,
    InLine,
    /// Behind the CR of a line that is not empty: an LF belongs to the same end of line.
    AfterCr,
    /// The same behind an empty line.
    AfterCrOfEmptyLine,
}

impl EventSplitter {
    /// Returns a splitter that keeps no more of an event than there is room for.
    pub(crate) fn within(room: &AnswerRoom) -> Self {
        Self { begun: KeptBytes::within(room), ..Self::default() }
    }

    /// Returns whether the last event has ended and no other has begun.
    pub(crate) fn is_between_events(&self) -> bool {
        self.begun.is_empty() && !self.oversized && self.position == Position::LineStart
    }

    /// Takes the next part of the stream and hands on each piece that it completes.
    pub(crate) fn feed(&mut self, part: &[u8], mut each: impl FnMut(Piece<'_>)) {
        let (mut start, mut at) = (0, 0);
        while at < part.len() {
            let has_ended;
            (at, self.position, has_ended) = self.position.next(part, at);
            if has_ended {
                self.end(&part[start..at], &mut each);
                start = at;
            }
        }
        self.keep(&part[start..], &mut each);
    }

    /// Hands on the last event, which has no empty line behind it.
    pub(crate) fn finish(&mut self, mut each: impl FnMut(Piece<'_>)) {
        self.end(&[], &mut each);
        self.position = Position::LineStart;
    }

    /// Hands on an event, of which this is the last part.
    fn end(&mut self, part: &[u8], each: &mut impl FnMut(Piece<'_>)) {
        if self.begun.is_empty() && !self.oversized && (1..=LARGEST_EVENT).contains(&part.len()) {
            each(Piece::Event(part));
            return;
        }
        self.keep(part, each);
        if !self.begun.is_empty() {
            each(Piece::Event(&self.begun));
        }
        self.begun.clear();
        self.oversized = false;
    }

    /// Keeps a part of an event until the event ends.
    fn keep(&mut self, part: &[u8], each: &mut impl FnMut(Piece<'_>)) {
        if !self.oversized {
            if self.begun.len() + part.len() <= LARGEST_EVENT && self.begun.extend(part).is_ok() {
                return;
            }
            self.oversized = true;
            if !self.begun.is_empty() {
                each(Piece::Oversized(&self.begun));
            }
            self.begun.clear();
        }
        if !part.is_empty() {
            each(Piece::Oversized(part));
        }
    }
}

impl Position {
    /// Reads on from a place in a part. Returns how far it has read, the position there, and whether an event ends there.
    fn next(self, part: &[u8], at: usize) -> (usize, Self, bool) {
        let after_lf = if part[at] == b'\n' { at + 1 } else { at };
        match self {
            Self::LineStart => match part[at] {
                b'\n' => (at + 1, Self::LineStart, true),
                b'\r' => (at + 1, Self::AfterCrOfEmptyLine, false),
                _ => (at, Self::InLine, false),
            },
            Self::InLine => match memchr::memchr2(b'\n', b'\r', &part[at..]) {
                None => (part.len(), Self::InLine, false),
                Some(end) if part[at + end] == b'\n' => (at + end + 1, Self::LineStart, false),
                Some(end) => (at + end + 1, Self::AfterCr, false),
            },
            Self::AfterCr => (after_lf, Self::LineStart, false),
            Self::AfterCrOfEmptyLine => (after_lf, Self::LineStart, true),
        }
    }
}

/// Returns the lines of an event, each with its end.
pub(crate) fn lines(event: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = event;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = match memchr::memchr2(b'\n', b'\r', rest) {
            None => rest.len(),
            Some(at) if rest[at..].starts_with(b"\r\n") => at + 2,
            Some(at) => at + 1,
        };
        let (line, behind) = rest.split_at(end);
        rest = behind;
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns the events of a stream and what was too large, both in the order of the stream.
    fn split<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Vec<u8>) {
        let (mut events, mut oversized) = (Vec::new(), Vec::new());
        let mut splitter = EventSplitter::default();
        let mut take = |piece: Piece<'_>| match piece {
            Piece::Event(event) => events.push(event.to_vec()),
            Piece::Oversized(part) => oversized.extend_from_slice(part),
        };
        for part in parts {
            splitter.feed(part, &mut take);
            assert!(splitter.begun.len() <= LARGEST_EVENT);
        }
        splitter.finish(&mut take);
        assert!(splitter.is_between_events());
        (events, oversized)
    }

    fn events(stream: &str) -> Vec<String> {
        let (events, oversized) = split([stream.as_bytes()]);
        assert!(oversized.is_empty());
        events.into_iter().map(|event| String::from_utf8(event).unwrap()).collect()
    }

    #[test]
    fn an_event_ends_with_an_empty_line_however_lines_end() {
        for end in ["\n", "\r\n", "\r"] {
            let two = ["event: a\ndata: 1\n\n", ": 2\n\n"].map(|event| event.replace('\n', end));
            assert_eq!(events(&two.concat()), two, "{end:?}");
        }
        assert_eq!(events("a\r\n\nb\n\r\nc\r\r\n"), ["a\r\n\n", "b\n\r\n", "c\r\r\n"]);
        assert_eq!(events("\n\r\n\ra"), ["\n", "\r\n", "\r", "a"], "an empty line is an event of nothing");
        assert_eq!(events("data: 1\n\ndata: 2\n"), ["data: 1\n\n", "data: 2\n"], "the last one may be cut");
        assert_eq!(events(""), Vec::<String>::new());
    }

    #[test]
    fn an_event_of_the_largest_size_is_whole_and_a_larger_one_is_not() {
        let largest = [vec![b'a'; LARGEST_EVENT - 2], b"\n\n".to_vec()].concat();
        let larger = [b"a", &largest[..]].concat();
        for length in [LARGEST_EVENT * 2, LARGEST_EVENT - 1, LARGEST_EVENT / 3] {
            let stream = [&largest[..], &larger, b"data: b\n\n"].concat();
            let (events, oversized) = split(stream.chunks(length));
            assert!(events == [largest.clone(), b"data: b\n\n".to_vec()], "{length}");
            assert!(oversized == larger, "{length}");
        }
    }

    #[test]
    fn an_event_that_is_too_large_is_handed_on_at_once_and_not_kept() {
        let mut splitter = EventSplitter::default();
        let mut passed = 0;
        for _ in 0..3 {
            splitter.feed(&vec![b'a'; LARGEST_EVENT], |piece| {
                assert!(matches!(piece, Piece::Oversized(_)));
                passed += 1;
            });
        }
        assert_eq!((passed, splitter.begun.capacity()), (3, 0));
        assert!(!splitter.is_between_events());
    }

    proptest! {
        #[test]
        fn however_a_stream_is_divided_its_events_are_the_same_and_its_bytes_too(
            stream in "[a:\r\n]{0,60}",
            sizes in prop::collection::vec(0_usize..8, 1..60),
        ) {
            let (whole, _) = split([stream.as_bytes()]);
            let (mut parts, mut rest) = (Vec::new(), stream.as_bytes());
            for size in sizes {
                let (part, behind) = rest.split_at(size.min(rest.len()));
                parts.push(part);
                rest = behind;
            }
            parts.push(rest);
            let (divided, _) = split(parts);
            prop_assert_eq!(&divided, &whole);
            prop_assert_eq!(divided.concat(), stream.as_bytes());
        }

        #[test]
        fn lines_are_the_event_byte_for_byte_and_each_ends_once(event in "[a:\r\n]{0,60}") {
            let found: Vec<_> = lines(event.as_bytes()).collect();
            prop_assert_eq!(found.concat(), event.as_bytes());
            let expected = event.replace("\r\n", "\n").replace('\r', "\n");
            let ends: Vec<_> = expected.split_inclusive('\n').map(str::trim_ascii_end).collect();
            prop_assert_eq!(found.iter().map(|line| line.trim_ascii_end()).collect::<Vec<_>>(),
                ends.iter().map(|line| line.as_bytes()).collect::<Vec<_>>());
        }
    }
}
