//! The live table: a line for the order and a row for each World.

use jiff::Timestamp;

use super::summary::{message, order_line};
use super::table::{Column, Table};
use super::text::{Line, Tone, wrapped};
use super::time::length;
use super::world_row::{RowState, WorldRow, world_rows};
use crate::order_view::OrderView;

/// Frames of the spinner of a World at work.
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
/// Mark for an unknown or missing value.
const NO_VALUE: &str = "–";
/// Width, in columns, from which scores have a bar.
const WIDTH_FOR_BARS: usize = 90;
/// Width of a score's bar in cells.
const BAR_CELLS: i32 = 10;
/// The most lines that the order's message takes.
const MESSAGE_LINES: usize = 3;

/// The area to draw on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Canvas {
    /// Columns of the terminal; `None` when nothing is cut.
    pub width: Option<usize>,
    /// Lines of the terminal; `None` when every World is shown.
    pub height: Option<usize>,
    /// Number of the frame, which turns the spinner; `None` for a still picture.
    pub tick: Option<usize>,
}

/// Draws the order.
pub fn live_table(view: &OrderView, now: Timestamp, canvas: Canvas) -> Vec<Line> {
    let mut lines = vec![order_line(view, now)];
    let sentence = wrapped(&message(view), canvas.width.map(|width| width.saturating_sub(2)));
    lines.extend(sentence.iter().take(MESSAGE_LINES).map(|part| Line::of(Tone::Plain, part)));
    lines.push(Line::default());
    let rows = world_rows(view, now);
    // One line for the titles, one for the number of hidden rows and one for the cursor.
    let room = canvas.height.map_or(usize::MAX, |height| height.saturating_sub(lines.len() + 3).max(1));
    let (shown, hidden) = visible_rows(rows, room);
    lines.extend(table(&shown, canvas));
    if hidden > 0 {
        lines.push(Line::of(Tone::Muted, format!("  … and {hidden} more Worlds")));
    }
    lines
        .into_iter()
        .map(|line| canvas.width.map_or_else(|| line.clone(), |width| line.clone().truncated(width)))
        .collect()
}

/// Returns the rows that fit, Worlds at work first, and the number of hidden rows.
fn visible_rows(rows: Vec<WorldRow>, room: usize) -> (Vec<WorldRow>, usize) {
    if rows.len() <= room {
        return (rows, 0);
    }
    let hidden = rows.len() - room;
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|index| (!rows[*index].is_winner, !rows[*index].state.is_active(), *index));
    order.truncate(room);
    let kept = rows.into_iter().enumerate().filter(|(index, _)| order.contains(index)).map(|(_, row)| row).collect();
    (kept, hidden)
}

fn table(rows: &[WorldRow], canvas: Canvas) -> Vec<Line> {
    let mut table = Table::new(vec![
        Column::words("  WORLD"),
        Column::words("STAGE"),
        Column::numbers("TIME"),
        Column::numbers("SCORE"),
        Column::words("ELIGIBLE"),
        Column::text("REASON", 6),
    ]);
    let draws_bars = canvas.width.is_some_and(|width| width >= WIDTH_FOR_BARS);
    for row in rows {
        table.push(vec![
            name(row),
            Line::of(row.tone(), format!("{} {}", icon(row, canvas.tick), row.state.word())),
            row.seconds.map_or_else(no_value, |seconds| Line::plain(length(seconds))),
            score(row, draws_bars),
            eligible(row),
            reason(row),
        ]);
    }
    table.lines(canvas.width)
}

fn name(row: &WorldRow) -> Line {
    if row.is_winner {
        Line::of(Tone::Good, "★ ").and(Tone::Strong, &row.name)
    } else {
        Line::plain("  ").and(Tone::Plain, &row.name)
    }
}

fn icon(row: &WorldRow, tick: Option<usize>) -> &'static str {
    match row.state {
        RowState::Scored if row.eligible == Some(true) => "✔",
        RowState::Scored | RowState::Failed => "✘",
        RowState::Cut | RowState::NotStarted => "⊘",
        RowState::Pending => "◦",
        RowState::Waiting => "↻",
        RowState::Suspended => "‖",
        RowState::Starting | RowState::Preparing | RowState::Working | RowState::Evaluating => {
            tick.map_or("●", |tick| SPINNER[tick % SPINNER.len()])
        }
    }
}

fn score(row: &WorldRow, draws_bar: bool) -> Line {
    let Some(score) = row.score else { return no_value() };
    let number = Line::of(row.tone(), format!("{score:>3}"));
    if !draws_bar {
        return number;
    }
    // Half a cell is rounded up, so that only a score of 0 has an empty bar.
    let full = ((score.clamp(0, 100) * BAR_CELLS + 50) / 100).clamp(i32::from(score > 0), BAR_CELLS);
    let cells = |mark: &str, count: i32| mark.repeat(usize::try_from(count).unwrap_or_default());
    Line::of(row.tone(), cells("█", full))
        .and(Tone::Muted, cells("░", BAR_CELLS - full))
        .and(Tone::Plain, " ")
        .followed_by(number)
}

fn eligible(row: &WorldRow) -> Line {
    match row.eligible {
        Some(true) => Line::of(Tone::Good, "yes"),
        Some(false) => Line::of(Tone::Bad, "no"),
        None => no_value(),
    }
}

fn reason(row: &WorldRow) -> Line {
    let text = Line::of(if row.state.is_over() { Tone::Plain } else { Tone::Muted }, &row.reason);
    if row.attempt < 2 {
        return text;
    }
    let separator = if row.reason.is_empty() { "" } else { ": " };
    Line::of(Tone::Waiting, format!("attempt {}{separator}", row.attempt)).followed_by(text)
}

fn no_value() -> Line {
    Line::of(Tone::Muted, NO_VALUE)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::super::text::plain_text;
    use super::*;

    #[test]
    fn a_running_order_shows_what_each_world_does() {
        let lines = live_table(&fixtures::running(), fixtures::now(), Canvas::default());
        let expected = "\
fix-270  Running · 1 of 5 Worlds ended · 1m30s · $0.42
4 Worlds at work or waiting.

  WORLD     STAGE           TIME   SCORE   ELIGIBLE   REASON
  alpha     ✔ Scored       1m02s      96   yes        96 of 100 points
  beta      ● Evaluating   1m25s       –   –          gate tests runs
  gamma     ● Working        10s       –   –          attempt 2
  delta     ● Starting         –       –   –          ImagePullBackOff: no such image
  epsilon   ◦ Pending          –       –   –          waits for a free slot
";
        assert_eq!(plain_text(&lines), expected);
    }

    #[test]
    fn a_finished_order_shows_the_best_first() {
        let lines =
            live_table(&fixtures::finished(), fixtures::now(), Canvas { width: Some(100), ..Canvas::default() });
        let expected = "\
fix-270  Succeeded · 5 of 5 Worlds ended · 2m00s · $0.42
alpha won with 96 points.

  WORLD     STAGE      TIME            SCORE   ELIGIBLE   REASON
★ alpha     ✔ Scored   1m02s   ██████████  96   yes        96 of 100 points
";
        let text = plain_text(&lines);
        assert!(text.starts_with(expected.split("  WORLD").next().unwrap()), "{text}");
        assert!(text.contains("★ alpha     ✔ Scored"), "{text}");
        assert!(text.contains("██████████  96   yes"), "{text}");
        assert!(text.contains("████░░░░░░  40   no"), "{text}");
        assert!(lines.iter().all(|line| line.width() <= 100));
    }

    #[test]
    fn a_low_terminal_shows_the_worlds_at_work() {
        let canvas = Canvas { width: Some(60), height: Some(8), tick: Some(1) };
        let lines = live_table(&fixtures::running(), fixtures::now(), canvas);
        let text = plain_text(&lines);
        assert!(text.contains("⠙ Evaluating") && text.contains("⠙ Working"), "{text}");
        assert!(text.ends_with("  … and 3 more Worlds\n"), "{text}");
        assert!(lines.len() < 8 && lines.iter().all(|line| line.width() <= 60), "{text}");
    }
}
