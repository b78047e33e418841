//! What is drawn on: width, height, colours.

use std::io::{IsTerminal, Write};

use console::{Style, Term};

use crate::arguments::Color;
use crate::errors::Failure;
use crate::view::frame::Canvas;
use crate::view::text::{Line, Tone};

/// The standard output.
pub struct Terminal {
    term: Term,
    redraws: bool,
    colours: bool,
    drawn: usize,
}

impl Terminal {
    /// Looks at the standard output.
    pub fn new(color: Color) -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        let colours = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => is_terminal && std::env::var_os("NO_COLOR").is_none(),
        };
        Self { term: Term::stdout(), redraws: is_terminal, colours, drawn: 0 }
    }

    /// Returns whether what was written can be drawn over.
    pub fn can_redraw(&self) -> bool {
        self.redraws
    }

    /// Returns what there is to draw on.
    pub fn canvas(&self, beat: Option<usize>) -> Canvas {
        let size = if self.can_redraw() { self.term.size_checked() } else { None };
        Canvas {
            width: size.map(|(_, width)| usize::from(width)),
            height: size.map(|(height, _)| usize::from(height)),
            beat,
        }
    }

    /// Writes lines.
    ///
    /// # Errors
    ///
    /// [`Failure::File`] when the output is closed.
    pub fn print(&mut self, lines: &[Line]) -> Result<(), Failure> {
        self.drawn = 0;
        self.write(lines)
    }

    /// Writes lines in the place of those that were drawn before.
    ///
    /// # Errors
    ///
    /// [`Failure::File`] when the output is closed.
    pub fn redraw(&mut self, lines: &[Line]) -> Result<(), Failure> {
        self.term.clear_last_lines(self.drawn).map_err(|error| closed(&error))?;
        self.drawn = lines.len();
        self.write(lines)
    }

    fn write(&self, lines: &[Line]) -> Result<(), Failure> {
        let text: String = lines.iter().map(|line| self.painted(line) + "\n").collect();
        self.print_raw(text.as_bytes())
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    ///
    /// [`Failure::File`] when the output is closed.
    pub fn print_raw(&self, bytes: &[u8]) -> Result<(), Failure> {
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
        Tone::Held => Style::new().yellow(),
    }
}

fn closed(error: &std::io::Error) -> Failure {
    Failure::file("the standard output", error)
}

/// Says on the standard error what went wrong.
pub fn complain(failure: &Failure) {
    let mut text = format!("error: {failure}");
    let mut source = std::error::Error::source(failure);
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    // Nobody is left to tell about a standard error that is closed.
    let _ = writeln!(std::io::stderr(), "{text}");
}
