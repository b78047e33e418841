//! Tells the options of a test program from the tests that it is to run.

/// What is known of a test program's options.
///
/// An option with a value is found in both forms, `--name value` and `--name=value`.
pub(super) struct Options {
    /// Options that are left out, and have no word behind them.
    pub(super) dropped: &'static [&'static str],
    /// Options that are left out together with the word behind them.
    pub(super) dropped_with_word: &'static [&'static str],
    /// Options that stay, together with the word behind them.
    pub(super) kept_with_word: &'static [&'static str],
    /// Options with which the program runs no tests, or none that could fail.
    pub(super) other_work: &'static [&'static str],
}

/// The arguments of a test program.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    /// The options that stay, in their order.
    pub(super) options: Vec<String>,
    /// The words that are no options: the tests to run.
    pub(super) tests: Vec<String>,
}

impl Arguments {
    /// Takes the words behind a test program apart, up to `--`; nothing where an option makes it do other work.
    pub(super) fn new(words: &[String], known: &Options) -> Option<Self> {
        let mut found = Self::default();
        let mut words = words.iter().take_while(|word| *word != "--");
        while let Some(word) = words.next() {
            let (name, has_value) = word.split_once('=').map_or((word.as_str(), false), |(name, _)| (name, true));
            if known.other_work.contains(&name) {
                return None;
            }
            if !word.starts_with('-') {
                found.tests.push(word.clone());
            } else if known.dropped_with_word.contains(&name) {
                if !has_value {
                    words.next();
                }
            } else if !known.dropped.contains(&name) {
                found.options.push(word.clone());
                if known.kept_with_word.contains(&name) && !has_value {
                    found.options.extend(words.next().cloned());
                }
            }
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_tests_are_told_apart() {
        let known = Options {
            dropped: &["-x"],
            dropped_with_word: &["--only"],
            kept_with_word: &["-c"],
            other_work: &["--list"],
        };
        let take = |text: &str| {
            let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            Arguments::new(&words, &known).map(|found| (found.options.join(" "), found.tests.join(" ")))
        };
        let expected = ("-c set -v --new=1".to_owned(), "a b".to_owned());
        assert_eq!(take("-x a -c set --only one -v --only=two b --new=1 -- c"), Some(expected));
        assert_eq!(take("a --list"), None);
    }
}
