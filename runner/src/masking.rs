//! Keeps secrets out of everything that is printed or stored: by their value, and by how keys usually look (S5).

use regex::Regex;

/// How keys and tokens usually look: of OpenAI and Anthropic, GitHub, GitLab, Amazon, Google, Slack, and signed tokens.
const PATTERN: &str = concat!(
    r"\bsk-[A-Za-z0-9_-]{20,}",
    r"|\bgh[pousr]_[A-Za-z0-9]{36,}|\bgithub_pat_[A-Za-z0-9_]{40,}",
    r"|\bglpat-[A-Za-z0-9_-]{20,}",
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    r"|\bAIza[0-9A-Za-z_-]{35}",
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,}",
    r"|\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
);
/// What stands where a secret was.
const MASK: &str = "***";
/// Shorter values are not masked: they would blacken ordinary text.
const SHORTEST: usize = 4;

/// Texts that must never be printed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets {
    values: Vec<String>,
    pattern: Option<Regex>,
}

impl Secrets {
    /// Returns a filter that knows no value and masks what looks like a key.
    pub(crate) fn by_pattern() -> Self {
        Self { values: Vec::new(), pattern: Regex::new(PATTERN).ok() }
    }

    pub(crate) fn add(&mut self, secret: &str) {
        let lines = secret.lines().chain([secret]);
        self.values.extend(lines.map(str::trim).filter(|part| part.len() >= SHORTEST).map(str::to_owned));
        // Longer ones first, so that a part of a secret does not keep the whole from being found.
        self.values.sort_by_key(|known| std::cmp::Reverse(known.len()));
        self.values.dedup();
    }

    pub(crate) fn masked(&self, text: &str) -> String {
        let text = self.values.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASK));
        match &self.pattern {
            Some(pattern) => pattern.replace_all(&text, MASK).into_owned(),
            None => text,
        }
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

    #[test]
    fn what_looks_like_a_key_is_masked_and_code_is_not() {
        let secrets = Secrets::by_pattern();
        assert!(secrets.pattern.is_some(), "the pattern is one");
        for key in [
            "sk-proj-abcdefghijklmnopqrstuvwx",
            "sk-ant-api03-abcdefghijklmnopqrstuvwx_-",
            "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
            "AKIAABCDEFGHIJKLMNOP",
            "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ3b3JsZCJ9.c2lnbmF0dXJlLW9mLWl0",
        ] {
            assert_eq!(secrets.masked(&format!("key={key};")), "key=***;", "{key}");
        }
        for code in ["sk-learn", "task-force-one", "let key = hash(value);", "ghp_short", "eyJ.a.b"] {
            assert_eq!(secrets.masked(code), code);
        }
    }
}
