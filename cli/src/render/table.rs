//! Tables that fit the terminal.

use super::text::{Line, Tone};

/// Spaces between two columns.
const GAP: usize = 3;

/// The alignment of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alignment {
    /// Left, for words.
    Left,
    /// Right, for numbers.
    Right,
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    title: &'static str,
    alignment: Alignment,
    /// The smallest width that the column may be cut to; `None` when it is never cut.
    least: Option<usize>,
}

impl Column {
    /// Returns a column of words that are never cut.
    pub const fn words(title: &'static str) -> Self {
        Self { title, alignment: Alignment::Left, least: None }
    }

    /// Returns a column of numbers.
    pub const fn numbers(title: &'static str) -> Self {
        Self { title, alignment: Alignment::Right, least: None }
    }

    /// Returns a column of text that is cut when the terminal is too narrow, though never below `least`.
    pub const fn text(title: &'static str, least: usize) -> Self {
        Self { title, alignment: Alignment::Left, least: Some(least) }
    }
}

/// A table: columns and rows.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Line>>,
}

impl Table {
    /// Returns a table without rows.
    pub fn new(columns: Vec<Column>) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row.
    ///
    /// - **Shape:** one cell for each column.
    pub fn push(&mut self, cells: Vec<Line>) {
        self.rows.push(cells);
    }

    /// Lays the table out.
    ///
    /// - **Units:** `width` in columns of the terminal; `None` cuts nothing.
    pub fn lines(self, width: Option<usize>) -> Vec<Line> {
        let widths = self.widths(width);
        let Self { columns, rows } = self;
        let titles = columns.iter().map(|column| Line::of(Tone::Title, column.title)).collect();
        std::iter::once(titles).chain(rows).map(|cells| row(&columns, cells, &widths)).collect()
    }

    fn widths(&self, width: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let cells = self.rows.iter().filter_map(|row| row.get(index)).map(Line::width);
                cells.chain([column.title.len()]).max().unwrap_or_default()
            })
            .collect();
        if let Some(width) = width {
            self.shrink(&mut widths, width);
        }
        widths
    }

    /// Narrows the columns that may be cut, the widest first, until the table fits.
    fn shrink(&self, widths: &mut [usize], limit: usize) {
        let gaps = GAP * self.columns.len().saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > limit {
            let widest = self
                .columns
                .iter()
                .enumerate()
                .filter(|(index, column)| column.least.is_some_and(|least| widths[*index] > least))
                .max_by_key(|(index, _)| widths[*index]);
            match widest {
                Some((index, _)) => widths[index] -= 1,
                None => return,
            }
        }
    }
}

fn row(columns: &[Column], cells: Vec<Line>, widths: &[usize]) -> Line {
    let last = columns.len().saturating_sub(1);
    let mut line = Line::default();
    for (index, ((cell, width), column)) in cells.into_iter().zip(widths).zip(columns).enumerate() {
        let cell = cell.truncated(*width);
        let padding = " ".repeat(width.saturating_sub(cell.width()));
        line = match column.alignment {
            Alignment::Right => line.and(Tone::Plain, padding).followed_by(cell),
            Alignment::Left if index == last => line.followed_by(cell),
            Alignment::Left => line.followed_by(cell).and(Tone::Plain, padding),
        };
        if index < last {
            line = line.and(Tone::Plain, " ".repeat(GAP));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::super::text::plain_text;
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(vec![Column::words("NAME"), Column::numbers("SCORE"), Column::text("REASON", 6)]);
        table.push(vec![Line::plain("alpha"), Line::plain("96"), Line::plain("28 of 30 tests passed")]);
        table.push(vec![Line::plain("epsilon"), Line::plain("–"), Line::default()]);
        table
    }

    #[test]
    fn without_a_width_nothing_is_cut() {
        let expected = "\
NAME      SCORE   REASON
alpha        96   28 of 30 tests passed
epsilon       –
";
        assert_eq!(plain_text(&table().lines(None)), expected);
    }

    #[test]
    fn a_narrow_terminal_cuts_the_text_and_never_the_names() {
        let lines = table().lines(Some(30));
        assert_eq!(lines[1].text(), "alpha        96   28 of 30 te…");
        assert!(lines.iter().all(|line| line.width() <= 30));
        assert_eq!(table().lines(Some(5))[2].text(), "epsilon       –");
    }
}
