//! The names of a canary and its cases: new in every run, and like those that people give.

/// The bytes of chance that a canary is named from.
pub(super) const CHANCE_BYTES: usize = 16;
/// Words for files.
const FILES: [&str; 8] = ["cases", "edges", "fields", "items", "lines", "order", "rules", "values"];
/// Words for the case that must pass. They come before the others in every order of names, so that a program that stops
/// at the first failure has run both.
const EARLY: [&str; 8] = ["adds", "builds", "checks", "counts", "finds", "gives", "holds", "joins"];
/// Words for the case that must fail.
const LATE: [&str; 8] = ["opens", "parses", "reads", "returns", "sends", "splits", "takes", "writes"];

/// The numbers that the cases compare are smaller than this, so that they are numbers in every language.
const NUMBERS: u32 = 10_000;

/// The names of a canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// The stem of its file.
    pub(super) file: String,
    /// The case that must pass.
    pub(super) passing: String,
    /// The case that must fail.
    pub(super) failing: String,
    /// A number that the cases compare.
    pub(super) number: u32,
}

impl Names {
    /// Makes names from bytes of chance.
    pub(super) fn new(chance: [u8; CHANCE_BYTES]) -> Self {
        let [first, second, third, fourth] = numbers(chance);
        let name = |words: &[&str; 8], number: u32| {
            let word = words[(number % 8) as usize];
            format!("{word}_{number:08x}")
        };
        Self {
            file: name(&FILES, first),
            passing: name(&EARLY, second),
            failing: name(&LATE, third),
            number: fourth % NUMBERS,
        }
    }

    /// Returns a number that is another than [`Names::number`].
    pub(super) fn other(&self) -> u32 {
        self.number + 1
    }
}

/// Returns the numbers that bytes of chance make.
fn numbers(chance: [u8; CHANCE_BYTES]) -> [u32; 4] {
    let mut numbers = [0; 4];
    for (number, bytes) in numbers.iter_mut().zip(chance.chunks_exact(4)) {
        *number = bytes.iter().fold(0, |number, byte| (number << 8) | u32::from(*byte));
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_case_that_must_pass_comes_first_and_names_differ() {
        for byte in [0, 7, 128, 255] {
            let names = Names::new([byte; CHANCE_BYTES]);
            assert!(names.passing < names.failing, "{names:?}");
            assert_ne!(names.other(), names.number);
        }
        assert_ne!(Names::new([0; CHANCE_BYTES]).file, Names::new([1; CHANCE_BYTES]).file);
        assert_eq!(Names::new([0; CHANCE_BYTES]).file, "cases_00000000");
    }
}
