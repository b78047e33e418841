//! Lines of an event stream that come in parts.

/// The longest line that is kept, in bytes; a longer one is passed over. Most lines with a usage have some hundred; the last one
/// of OpenAI's responses says the request's tools and the whole answer once more.
const LONGEST_LINE: usize = 1024 * 1024;

/// Puts the lines of a stream together.
///
/// - **Guarantees:** keeps at most one line and at most 1 MiB of it, whatever the stream holds; lines end with LF, CR LF or CR, as event streams may.
#[derive(Debug, Default)]
pub struct Lines {
    begun: Vec<u8>,
    too_long: bool,
}

impl Lines {
    /// Takes the next part of the stream and hands each line that it completes to `seen`, without its end.
    pub fn feed(&mut self, part: &[u8], mut seen: impl FnMut(&[u8])) {
        let mut rest = part;
        while let Some(end) = memchr::memchr2(b'\n', b'\r', rest) {
            let line = &rest[..end];
            if self.begun.is_empty() && !self.too_long && (1..=LONGEST_LINE).contains(&end) {
                // Nothing has to be put together.
                seen(line);
            } else {
                self.take(line);
                self.finish(&mut seen);
            }
            rest = &rest[end + 1..];
        }
        self.take(rest);
    }

    /// Hands on the last line, which a stream may end without an end of line.
    pub fn finish(&mut self, mut seen: impl FnMut(&[u8])) {
        if !self.too_long && !self.begun.is_empty() {
            seen(&self.begun);
        }
        self.begun.clear();
        self.too_long = false;
    }

    fn take(&mut self, part: &[u8]) {
        if self.too_long || self.begun.len() + part.len() > LONGEST_LINE {
            self.too_long = true;
            self.begun = Vec::new();
        } else {
            self.begun.extend_from_slice(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_the_next_is_seen() {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        for _ in 0..3 {
            lines.feed(&vec![b'a'; LONGEST_LINE], |line| seen.push(line.to_vec()));
            assert!(lines.begun.len() <= LONGEST_LINE);
        }
        lines.feed(b"a\nb\n", |line| seen.push(line.to_vec()));
        assert_eq!(seen, [b"b".to_vec()]);
    }
}
