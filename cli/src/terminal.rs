//! The terminal: width, height, colours and drawing.

use std::io::{IsTerminal, Write};

use console::{Style, Term};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::arguments::Color;
use crate::errors::Failure;
use crate::render::live_table::Canvas;
use crate::render::text::{Line, Tone};

/// The standard output.
pub struct Terminal {
    term: Term,
    redraws: bool,
    colours: bool,
    /// The last drawing, which the next one replaces.
    drawing: Option<ProgressBar>,
}

/// The most drawings per second.
const DRAWINGS_PER_SECOND: u8 = 20;

impl Terminal {
    /// Detects the properties of the standard output.
    pub fn new(color: Color) -> Self {
        let is_dumb = std::env::var_os("TERM").is_some_and(|kind| kind == "dumb");
        let is_terminal = std::io::stdout().is_terminal() && !is_dumb;
        let colours = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        Self { term: Term::stdout(), redraws: is_terminal, colours, drawing: None }
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
        self.print_raw(text.as_bytes())
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    ///
    /// [`Failure::Closed`] when the reader is gone, [`Failure::File`] when the output fails otherwise.
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
    // A closed standard error leaves nowhere to report to.
    let _ = writeln!(std::io::stderr(), "error: {text}");
}
