//! Figures, their targets, and how they are shown.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use manyworlds_tests::Result;
use serde_json::{Map, Value, json};

use crate::machine::Machine;

/// A figure: its name, unit and target.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// Name, as `ONLY` chooses by its beginning.
    pub id: &'static str,
    /// Unit of the value.
    pub unit: &'static str,
    /// The target of the value.
    pub target: Target,
}

/// The target of a value.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
    /// Less than this.
    Below(f64),
    /// Exactly this.
    Exactly(f64),
}

impl Target {
    fn met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
            Self::Below(bound) => value < bound,
            Self::Exactly(bound) => (value - bound).abs() < f64::EPSILON,
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(formatter, ">= {bound}"),
            Self::AtMost(bound) => write!(formatter, "<= {bound}"),
            Self::Below(bound) => write!(formatter, "< {bound}"),
            Self::Exactly(bound) => write!(formatter, "= {bound}"),
        }
    }
}

/// The figures that have been measured so far.
#[derive(Default)]
pub struct Report {
    rows: Vec<(Figure, f64)>,
    notes: Vec<String>,
}

impl Report {
    /// Adds the value of a figure, and says it at once: a whole run takes long.
    pub fn add(&mut self, figure: Figure, value: f64) {
        eprintln!("  {} = {} {} (target {})", figure.id, rounded(value), figure.unit, figure.target);
        self.rows.push((figure, value));
    }

    /// Adds a sentence on how something was measured, or on what binds.
    pub fn note(&mut self, text: String) {
        eprintln!("  {text}");
        self.notes.push(text);
    }

    /// Prints the table.
    #[expect(clippy::print_stdout, reason = "the table is what this program is for")]
    pub fn print(&self, machine: &Machine) {
        let mut text = format!("\n{machine}\n\n| figure | value | unit | target | |\n|---|---|---|---|---|\n");
        for (figure, value) in &self.rows {
            let verdict = if figure.target.met(*value) { "met" } else { "MISSED" };
            let Figure { id, unit, target } = figure;
            let _ = writeln!(text, "| {id} | {} | {unit} | {target} | {verdict} |", rounded(*value));
        }
        for note in &self.notes {
            let _ = write!(text, "\n- {note}");
        }
        println!("{text}");
    }

    /// Writes the figures as JSON, and keeps those of an earlier run that this one did not measure.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result {
        let earlier = fs::read_to_string(path).ok().and_then(|text| serde_json::from_str(&text).ok());
        let mut all: Map<String, Value> = earlier.unwrap_or_default();
        for (figure, value) in &self.rows {
            let row = json!({"value": rounded(*value), "unit": figure.unit, "target": figure.target.to_string()});
            all.insert(figure.id.to_owned(), row);
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        Ok(fs::write(path, serde_json::to_string_pretty(&all)? + "\n")?)
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Returns a percentile of what was measured.
///
/// - **Shape:** `percent` from 0 to 100; the nearest value that was measured, not one between two.
/// - **Guarantees:** not a number when nothing was measured.
pub fn percentile(values: &mut [f64], percent: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank among thousands of values"
    )]
    let rank = (percent / 100.0 * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let mut values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert!((percentile(&mut values, 50.0) - 100.0).abs() < f64::EPSILON);
        assert!((percentile(&mut values, 99.0) - 198.0).abs() < f64::EPSILON);
        assert!(percentile(&mut [], 50.0).is_nan());
    }

    #[test]
    fn a_target_that_was_not_measured_is_missed() {
        assert!(!Target::AtMost(1.0).met(f64::NAN));
        assert!(Target::Exactly(17.0).met(17.0));
        assert!(!Target::Exactly(17.0).met(18.0));
    }
}
