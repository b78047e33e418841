//! Fuzzing on stable Rust: inputs are made from seeds by small random changes until a time is over.
//!
//! It knows nothing of what the tested code covers, so the seeds have to: each is an input that a parser takes, and each form
//! that it knows stands in one of them.

use std::time::{Duration, Instant};

/// The environment variable with the seconds for which each target runs.
const SECONDS: &str = "FUZZ_SECONDS";
/// The seconds for which each target runs where nothing is said: long enough for some thousand inputs.
const USUAL_SECONDS: u64 = 2;
/// The environment variable with the number that all chance follows from. The same number makes the same inputs.
const SEED: &str = "FUZZ_SEED";
/// The most bytes of an input: what is found is found by short ones, and long ones cost the time of many.
const LONGEST: usize = 16 * 1024;
/// The most changes of one input.
const MOST_CHANGES: usize = 8;
/// The longest piece that one change copies or takes out.
const LONGEST_PIECE: usize = 64;
/// Pieces at which parsers decide, whatever they parse.
const PIECES: [&[u8]; 24] = [
    b"\0",
    b"\n",
    b"\r\n",
    b"\n\n",
    b"\r",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"-1",
    b"0",
    b"1e999",
    b"4294967295",
    b"18446744073709551615",
    b"null",
    b"\xff",
    "\u{202e}".as_bytes(),
    b"..",
];

/// Hands inputs to `check` until the time is over: each seed as it is, then changed ones. `check` panics where a promise is broken,
/// and the input is printed then.
///
/// - **Shape:** at least one seed.
pub fn fuzz(seeds: &[&[u8]], check: impl Fn(&[u8])) {
    let mut chance = Chance(number(SEED).unwrap_or(1));
    let end = Instant::now() + Duration::from_secs(number(SECONDS).unwrap_or(USUAL_SECONDS));
    for seed in seeds {
        run(seed, &check);
    }
    while Instant::now() < end {
        run(&changed(seeds, &mut chance), &check);
    }
}

/// Returns the parts of an input, divided at places that the input itself decides.
pub fn divided(input: &[u8]) -> Vec<&[u8]> {
    let mut chance = Chance(input.iter().fold(1, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte))));
    let (mut parts, mut rest) = (Vec::new(), input);
    while !rest.is_empty() {
        let (part, behind) = rest.split_at(chance.below(rest.len().min(LONGEST_PIECE)) + 1);
        parts.push(part);
        rest = behind;
    }
    parts
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn run(input: &[u8], check: &impl Fn(&[u8])) {
    let shown = ShownOnPanic(input);
    check(input);
    drop(shown);
}

/// An input that is printed where the test panics with it.
struct ShownOnPanic<'a>(&'a [u8]);

impl Drop for ShownOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input was b\"{}\"; add it to the seeds of this test", self.0.escape_ascii());
        }
    }
}

/// Returns a seed with a few changes.
fn changed(seeds: &[&[u8]], chance: &mut Chance) -> Vec<u8> {
    let mut input = one_of(seeds, chance).to_vec();
    for _ in 0..=chance.below(MOST_CHANGES) {
        change(&mut input, one_of(seeds, chance), chance);
    }
    input.truncate(LONGEST);
    input
}

/// Changes an input once. Some changes take a piece of another seed.
fn change(input: &mut Vec<u8>, other: &[u8], chance: &mut Chance) {
    let at = chance.below(input.len() + 1);
    let piece = chance.piece(input, at);
    match chance.below(8) {
        0 => input.truncate(at),
        1 => drop(input.drain(at..at + piece.len())),
        2 => insert(input, at, &piece),
        3 => insert(input, at, one_of(&PIECES, chance)),
        4 => {
            let from = chance.below(other.len() + 1);
            let piece = chance.piece(other, from);
            insert(input, at, &piece);
        }
        5 => {
            // One number in the place of another.
            let digits = input[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let text = (chance.draw() >> chance.below(64)).to_string();
            drop(input.splice(at..at + digits, text.bytes()));
        }
        6 => {
            let from = chance.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        _ => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << chance.below(8);
            }
        }
    }
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    drop(input.splice(at..at, piece.iter().copied()));
}

fn one_of<'a>(all: &[&'a [u8]], chance: &mut Chance) -> &'a [u8] {
    all.get(chance.below(all.len())).copied().unwrap_or_default()
}

/// Numbers that look random and follow from the first one (SplitMix64).
struct Chance(u64);

impl Chance {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `most`; 0 where that is 0.
    fn below(&mut self, most: usize) -> usize {
        let most = u64::try_from(most).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.draw() % most).unwrap_or_default()
    }

    /// Returns a short piece of an input from a place on.
    fn piece(&mut self, input: &[u8], at: usize) -> Vec<u8> {
        let most = (input.len() - at).min(LONGEST_PIECE);
        input[at..at + self.below(most + 1)].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_number_makes_the_same_inputs_and_they_differ_from_each_other() {
        let made = || -> Vec<Vec<u8>> {
            let mut chance = Chance(7);
            (0..200).map(|_| changed(&[b"{\"a\":1}", b"ok 1 - b"], &mut chance)).collect()
        };
        assert_eq!(made(), made());
        let all: std::collections::BTreeSet<_> = made().into_iter().collect();
        assert!(all.len() > 100, "{} inputs", all.len());
        assert!(all.iter().all(|input| input.len() <= LONGEST));
    }

    #[test]
    fn a_divided_input_is_whole_and_comes_in_the_same_parts_again() {
        let input = [7; 1000];
        assert_eq!(divided(&input).concat(), input);
        assert_eq!(divided(&input), divided(&input));
        assert!(divided(&input).len() > 10);
        assert!(divided(b"").is_empty());
    }

    #[test]
    #[should_panic(expected = "a seed is tried as it is")]
    fn what_a_seed_breaks_is_found() {
        fuzz(&[b"fine", b"bad"], |input| assert_ne!(input, b"bad", "a seed is tried as it is"));
    }
}
