//! Lines of text with a tone instead of a colour; the terminal picks the colour of each tone.

use crate::visible::visible;

/// The meaning of a piece of text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    #[default]
    Plain,
    /// The heading of a section or a column.
    Title,
    /// Important text.
    Strong,
    /// Unimportant text.
    Muted,
    /// A success.
    Good,
    /// A failure.
    Bad,
    /// Work in progress.
    Busy,
    /// A wait.
    Waiting,
}

/// A piece of text with one tone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The text; it has no control characters.
    pub text: String,
    /// Its tone.
    pub tone: Tone,
}

/// One line of text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Its pieces, from left to right.
    pub spans: Vec<Span>,
}

impl Line {
    /// Returns a line of one piece.
    pub fn of(tone: Tone, text: impl AsRef<str>) -> Self {
        Self::default().and(tone, text)
    }

    /// Returns a plain line.
    pub fn plain(text: impl AsRef<str>) -> Self {
        Self::of(Tone::Plain, text)
    }

    /// Returns the line with one more piece.
    ///
    /// - **Guarantees:** what a terminal obeys or hides becomes visible text, and a line stays one line. Messages come from
    ///   pods, and a pod must not control the terminal of the person who reads them.
    #[must_use]
    pub fn and(mut self, tone: Tone, text: impl AsRef<str>) -> Self {
        let text = visible(text.as_ref().as_bytes()).replace(['\n', '\t'], " ");
        self.spans.push(Span { text, tone });
        self
    }

    /// Returns the line with the pieces of another one appended.
    #[must_use]
    pub fn followed_by(mut self, other: Self) -> Self {
        self.spans.extend(other.spans);
        self
    }

    /// Returns how many columns of a terminal the line takes.
    pub fn width(&self) -> usize {
        self.spans.iter().map(|span| console::measure_text_width(&span.text)).sum()
    }

    /// Returns the line, cut to at most `limit` columns and marked with `…` when something was cut.
    #[must_use]
    pub fn truncated(self, limit: usize) -> Self {
        if self.width() <= limit {
            return self;
        }
        let mut left = limit;
        let mut kept = Self::default();
        for span in self.spans {
            let width = console::measure_text_width(&span.text);
            if width < left {
                left -= width;
                kept.spans.push(span);
            } else {
                // The whole line is too wide, so this piece is cut and gets the mark.
                let text = console::truncate_str(&format!("{} ", span.text), left, "…").into_owned();
                kept.spans.push(Span { text, tone: span.tone });
                break;
            }
        }
        kept
    }

    /// Returns the text without its tones.
    #[cfg(test)]
    pub fn text(&self) -> String {
        self.spans.iter().map(|span| span.text.as_str()).collect::<String>().trim_end().to_owned()
    }
}

/// Returns a text as indented lines of at most `width` columns; none where it says nothing.
pub fn paragraph(indent: &str, text: &str, width: Option<usize>) -> Vec<Line> {
    let width_left = width.map(|width| width.saturating_sub(indent.len()));
    let text = text.trim();
    if text.is_empty() {
        return Vec::new();
    }
    wrapped(text, width_left).into_iter().map(|part| Line::plain(format!("{indent}{part}"))).collect()
}

/// Breaks a text into lines of at most `width` columns, at spaces where there are any.
pub fn wrapped(text: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width else { return text.lines().map(str::to_owned).collect() };
    let width = width.max(20);
    // Here already, because it needs more columns than what it stands for.
    let text = visible(text.as_bytes());
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let needed = console::measure_text_width(word);
            let taken = console::measure_text_width(&line);
            if taken > 0 && taken + 1 + needed > width {
                lines.push(std::mem::take(&mut line));
            } else if taken > 0 {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

/// Returns the lines as plain text, for the golden tests.
#[cfg(test)]
pub fn plain_text(lines: &[Line]) -> String {
    lines.iter().map(|line| line.text() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_within_the_piece_that_does_not_fit() {
        let line = Line::of(Tone::Strong, "alpha").and(Tone::Plain, " has passed");
        assert_eq!(line.clone().truncated(8).text(), "alpha h…");
        assert_eq!(line.clone().truncated(16).text(), "alpha has passed");
        assert_eq!(line.truncated(5).text(), "alph…");
    }

    #[test]
    fn wide_letters_count_twice() {
        assert_eq!(Line::plain("並行世界").width(), 8);
        assert_eq!(Line::plain("並行世界").truncated(5).text(), "並行…");
    }

    #[test]
    fn a_message_cannot_control_the_terminal() {
        assert_eq!(Line::plain("a\u{1b}[2Jb\nc\u{202e}d").text(), r"a\u{1b}[2Jb c\u{202e}d");
        assert_eq!(wrapped("a\u{1b}[2Jb", Some(20)), [r"a\u{1b}[2Jb"]);
    }

    #[test]
    fn text_is_broken_at_spaces() {
        assert_eq!(wrapped("one two three four five six", Some(20)), ["one two three four", "five six"]);
        assert_eq!(wrapped("one two", None), ["one two"]);
    }
}
