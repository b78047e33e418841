//! The terminal: width, height, colours and drawing.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};

use console::{Style, Term};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::arguments::Color;
use crate::errors::Failure;
use crate::render::live_table::Canvas;
use crate::render::text::{Line, Tone};
use crate::visible::visible;

/// The standard output.
pub struct Terminal {
    term: Term,
    reader: Reader,
    redraws: bool,
    colours: bool,
    /// The last drawing, which the next one replaces.
    drawing: Option<ProgressBar>,
}

/// Who reads an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// A person, at a terminal.
    Person,
    /// A program or a file, behind a pipe.
    Program,
}

impl Reader {
    fn of(output: &impl IsTerminal) -> Self {
        if output.is_terminal() { Self::Person } else { Self::Program }
    }

    /// Returns bytes of others as this reader gets them.
    fn content(self, bytes: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Person => Cow::Owned(visible(bytes).into_bytes()),
            Self::Program => Cow::Borrowed(bytes),
        }
    }
}

/// The most drawings per second.
const DRAWINGS_PER_SECOND: u8 = 20;

impl Terminal {
    /// Detects the properties of the standard output.
    pub fn new(color: Color) -> Self {
        let is_dumb = std::env::var_os("TERM").is_some_and(|kind| kind == "dumb");
        let reader = Reader::of(&std::io::stdout());
        let is_terminal = reader == Reader::Person && !is_dumb;
        let colours = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        Self { term: Term::stdout(), reader, redraws: is_terminal, colours, drawing: None }
    }

    /// Returns whether a drawing can be replaced by the next one.
    pub fn can_redraw(&self) -> bool {
        self.redraws
    }

    /// Returns the area to draw on.
    pub fn canvas(&self, tick: Option<usize>) -> Canvas {
        let size = if self.can_redraw() { self.term.size_checked() } else { None };
        Canvas {
            width: size.map(|(_, width)| usize::from(width)),
            height: size.map(|(height, _)| usize::from(height)),
            tick,
        }
    }

    /// Prints lines after removing the drawing.
    ///
    /// # Errors
    ///
    /// [`Failure::Closed`] when the reader is gone, [`Failure::File`] when the output fails otherwise.
    pub fn print(&mut self, lines: &[Line]) -> Result<(), Failure> {
        if let Some(drawing) = self.drawing.take() {
            drawing.finish_and_clear();
        }
        self.write(lines)
    }

    /// Draws lines in place of the last drawing.
    pub fn redraw(&mut self, lines: &[Line]) {
        let text: Vec<String> = lines.iter().map(|line| self.painted(line)).collect();
        let drawing = self.drawing.get_or_insert_with(|| {
            let target = ProgressDrawTarget::term(Term::buffered_stdout(), DRAWINGS_PER_SECOND);
            let drawing = ProgressBar::with_draw_target(None, target);
            match ProgressStyle::with_template("{msg}") {
                Ok(style) => drawing.with_style(style),
                Err(_) => drawing,
            }
        });
        drawing.set_message(text.join("\n"));
        drawing.force_draw();
    }

    fn write(&self, lines: &[Line]) -> Result<(), Failure> {
        let text: String = lines.iter().map(|line| self.painted(line) + "\n").collect();
        self.write_all(text.as_bytes())
    }

    /// Writes what others have made: a patch, a log, data.
    ///
    /// - **Guarantees:** a pipe or a file gets the bytes as they are. A terminal gets them as visible text, so that none of
    ///   them moves, hides or turns what a person sees.
    ///
    /// # Errors
    ///
    /// [`Failure::Closed`] when the reader is gone, [`Failure::File`] when the output fails otherwise.
    pub fn print_content(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.write_all(&self.reader.content(bytes))
    }

    fn write_all(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut output = &self.term;
        output.write_all(bytes).and_then(|()| output.flush()).map_err(|error| closed(&error))
    }

    fn painted(&self, line: &Line) -> String {
        let text: String = line
            .spans
            .iter()
            .map(|span| style(span.tone).force_styling(self.colours).apply_to(&span.text).to_string())
            .collect();
        text.trim_end().to_owned()
    }
}

fn style(tone: Tone) -> Style {
    match tone {
        Tone::Plain => Style::new(),
        Tone::Title => Style::new().bold().underlined(),
        Tone::Strong => Style::new().bold(),
        Tone::Muted => Style::new().dim(),
        Tone::Good => Style::new().green(),
        Tone::Bad => Style::new().red(),
        Tone::Busy => Style::new().cyan(),
        Tone::Waiting => Style::new().yellow(),
    }
}

fn closed(error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::Closed,
        _ => Failure::file("the standard output", error),
    }
}

/// Prints an error with its causes on the standard error.
pub fn print_error(failure: &Failure) {
    let text = manyworlds_api::errors::with_causes(failure.to_string(), failure.cause());
    // It may repeat what a server or a World has said. A closed standard error leaves nowhere to report to.
    let _ = writeln!(std::io::stderr(), "error: {}", visible(text.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_gets_visible_text_and_a_program_the_bytes() {
        let bytes = b"+evil #\x1b[2K\r\n\xff";
        assert_eq!(&*Reader::Program.content(bytes), bytes);
        assert_eq!(&*Reader::Person.content(bytes), b"+evil #\\u{1b}[2K\\r\n\\xff");
    }
}
