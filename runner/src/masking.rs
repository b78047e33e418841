//! Keeps secrets out of everything that is printed.

/// Texts that must never be printed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets(Vec<String>);

/// What stands where a secret was.
const MASK: &str = "***";
/// Shorter values are not masked: they would blacken ordinary text.
const SHORTEST: usize = 4;

impl Secrets {
    pub(crate) fn add(&mut self, secret: &str) {
        let lines = secret.lines().chain([secret]);
        self.0.extend(lines.map(str::trim).filter(|part| part.len() >= SHORTEST).map(str::to_owned));
        // Longer ones first, so that a part of a secret does not keep the whole from being found.
        self.0.sort_by_key(|known| std::cmp::Reverse(known.len()));
        self.0.dedup();
    }

    pub(crate) fn masked(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_masked_whole_and_by_line() {
        let mut secrets = Secrets::default();
        secrets.add("first-line\nsecond-line\n");
        secrets.add("abc");
        assert_eq!(secrets.masked("x first-line y second-line abc"), "x *** y *** abc");
    }
}
