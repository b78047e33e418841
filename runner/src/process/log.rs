//! Keeps an output as lines for people: cleaned, masked, shown as they come, and kept up to a limit.

use std::collections::VecDeque;

use manyworlds_masking::Filter;

use super::capture::{Capture, Stream};
use crate::text::{LONGEST_LINE, clean, print_line};

/// Hears every line of an output, also those that are not kept.
pub(crate) trait Listener: Send {
    /// Takes the next line, cleaned and masked.
    fn line(&mut self, line: &str);
}

/// Hears nothing.
impl Listener for () {
    fn line(&mut self, _: &str) {}
}

impl<L: Listener> Listener for &mut L {
    fn line(&mut self, line: &str) {
        (**self).line(line);
    }
}

/// Hears nothing where there is nobody: a gate that floods its log is not read line by line for nothing.
impl<L: Listener> Listener for Option<L> {
    fn line(&mut self, line: &str) {
        if let Some(listener) = self {
            listener.line(line);
        }
    }
}

/// The lines of an output.
#[derive(Debug)]
pub(crate) struct Log<L = ()> {
    listener: L,
    kept: Kept,
    secrets: Filter,
    /// The latest line of each stream, which is not whole yet.
    output: Vec<u8>,
    error: Vec<u8>,
}

impl Log {
    /// A log without lines.
    ///
    /// - **Shape:** at most `bytes` are kept; what `secrets` finds is masked.
    pub(crate) fn new(bytes: usize, secrets: Filter) -> Self {
        Self::heard_by((), bytes, secrets)
    }
}

impl<L: Listener> Log<L> {
    /// A log without lines, as [`Log::new`] makes one, that somebody listens to.
    pub(crate) fn heard_by(listener: L, bytes: usize, secrets: Filter) -> Self {
        Self { listener, kept: Kept::new(bytes), secrets, output: Vec::new(), error: Vec::new() }
    }

    fn line(&mut self, line: &[u8]) {
        let text = self.secrets.masked(&clean(String::from_utf8_lossy(line).trim_end_matches('\n')));
        self.listener.line(&text);
        if self.kept.push(&text) {
            print_line(&text);
        }
    }
}

impl<L: Listener> Capture for Log<L> {
    type Output = String;

    fn push(&mut self, stream: Stream, bytes: &[u8]) {
        let mut line = std::mem::take(match stream {
            Stream::Output => &mut self.output,
            Stream::Error => &mut self.error,
        });
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let mut piece = piece;
            while !piece.is_empty() {
                let (taken, rest) = piece.split_at(piece.len().min(LONGEST_LINE - line.len()));
                line.extend_from_slice(taken);
                piece = rest;
                if line.len() == LONGEST_LINE || line.ends_with(b"\n") {
                    self.line(&line);
                    line.clear();
                }
            }
        }
        match stream {
            Stream::Output => self.output = line,
            Stream::Error => self.error = line,
        }
    }

    /// Returns the lines that were kept, and shows those that were not shown yet.
    fn finish(mut self) -> String {
        for line in [std::mem::take(&mut self.output), std::mem::take(&mut self.error)] {
            if !line.is_empty() {
                self.line(&line);
            }
        }
        let (head, rest) = self.kept.parts();
        let mut text = head.to_owned();
        for line in rest {
            print_line(&line);
            text.push_str(&line);
            text.push('\n');
        }
        text
    }
}

/// The first and the last lines of an output: what test programs sum up stands at its end.
#[derive(Debug)]
struct Kept {
    /// The most bytes of the first lines, and of the last.
    half: usize,
    head: String,
    tail: VecDeque<String>,
    tail_bytes: usize,
    left_out: usize,
}

impl Kept {
    fn new(bytes: usize) -> Self {
        Self { half: bytes / 2, head: String::new(), tail: VecDeque::new(), tail_bytes: 0, left_out: 0 }
    }

    /// Takes a line, and returns whether it is among the first ones, which are shown as they come.
    fn push(&mut self, line: &str) -> bool {
        if self.tail.is_empty() && self.head.len() + line.len() < self.half {
            self.head.push_str(line);
            self.head.push('\n');
            return true;
        }
        self.tail_bytes += line.len() + 1;
        self.tail.push_back(line.to_owned());
        while self.tail_bytes > self.half
            && let Some(oldest) = self.tail.pop_front()
        {
            self.tail_bytes -= oldest.len() + 1;
            self.left_out += 1;
        }
        false
    }

    /// Returns the first lines, and those that come after them.
    fn parts(&self) -> (&str, Vec<String>) {
        let mark = (self.left_out > 0).then(|| format!("... {} lines are left out ...", self.left_out));
        (&self.head, mark.into_iter().chain(self.tail.iter().cloned()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_lines_are_kept() {
        let mut kept = Kept::new(200);
        let shown = (0..1000).filter(|number| kept.push(&format!("line {number}"))).count();
        let (head, rest) = kept.parts();
        assert!(head.starts_with("line 0\n") && head.lines().count() == shown, "{head}");
        assert!(rest[0].contains("lines are left out"), "{rest:?}");
        assert_eq!(rest.last().unwrap(), "line 999");
        assert!(head.len() + rest.iter().map(String::len).sum::<usize>() < 250);
    }

    #[test]
    fn a_short_output_is_kept_whole() {
        let mut kept = Kept::new(200);
        assert!(kept.push("one") && kept.push("two"));
        assert_eq!(kept.parts(), ("one\ntwo\n", Vec::new()));
    }

    struct Lines(Vec<String>);

    impl Listener for Lines {
        fn line(&mut self, line: &str) {
            self.0.push(line.to_owned());
        }
    }

    #[test]
    fn every_line_is_heard_however_few_are_kept() {
        let mut lines = Lines(Vec::new());
        let mut log = Log::heard_by(&mut lines, 200, Filter::by_pattern());
        for number in 0..1000 {
            log.push(Stream::Output, format!("line {number}\n").as_bytes());
        }
        log.push(Stream::Output, b"the last");
        assert!(log.finish().contains("lines are left out"));
        assert_eq!((lines.0.len(), lines.0[500].as_str(), lines.0[1000].as_str()), (1001, "line 500", "the last"));
    }

    #[test]
    fn lines_are_whole_however_they_come_and_none_is_too_long() {
        let mut log = Log::new(100_000, Filter::by_pattern());
        for (stream, bytes) in [
            (Stream::Output, "on"),
            (Stream::Error, "two\nthr"),
            (Stream::Output, "e\n\nfour"),
            (Stream::Error, "ee\n"),
            (Stream::Error, &"x".repeat(LONGEST_LINE + 1)),
        ] {
            log.push(stream, bytes.as_bytes());
        }
        let cut = "x".repeat(LONGEST_LINE);
        assert_eq!(log.finish(), format!("two\none\n\nthree\n{cut}\nfour\nx\n"));
    }
}
