//! The formats of well-known keys and tokens.

/// Pattern id of a known value.
pub const SECRET_VALUE: &str = "secret-value";

/// Whether a text may continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Continuation {
    /// The text ends here.
    None,
    /// More text may follow.
    Possible,
}

/// The result of matching a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    /// A secret that ends at this byte.
    Secret(usize),
    /// The text that follows decides.
    Undecided,
    /// No secret.
    None,
}

/// One format of keys.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) id: &'static str,
    /// Prefix of every key of this format.
    pub(crate) prefix: &'static str,
    shape: Shape,
}

/// The text after the prefix.
#[derive(Debug)]
enum Shape {
    /// From `least` to `most` characters of a kind. A longer run is masked in pieces.
    Run { kind: fn(u8) -> bool, least: usize, most: usize },
    /// Exactly `length` characters of a kind, then no letter, digit or underscore.
    Word { kind: fn(u8) -> bool, length: usize },
    /// Three parts separated by points.
    SignedToken,
    /// Lines of base64 between two markers.
    PrivateKey,
}

/// Most characters of a run.
const LONGEST_RUN: usize = 512;
const fn run(id: &'static str, prefix: &'static str, kind: fn(u8) -> bool, least: usize) -> Pattern {
    Pattern { id, prefix, shape: Shape::Run { kind, least, most: LONGEST_RUN } }
}

/// Of two patterns that match at the same place, the one with the longer prefix gives the id.
pub(crate) const PATTERNS: &[Pattern] = &[
    run("anthropic-key", "sk-ant-", is_url_safe, 16),
    run("openai-key", "sk-", is_url_safe, 20),
    run("github-token", "ghp_", is_alphanumeric, 36),
    run("github-token", "gho_", is_alphanumeric, 36),
    run("github-token", "ghu_", is_alphanumeric, 36),
    run("github-token", "ghs_", is_alphanumeric, 36),
    run("github-token", "ghr_", is_alphanumeric, 36),
    run("github-token", "github_pat_", is_word, 40),
    run("gitlab-token", "glpat-", is_url_safe, 20),
    Pattern { id: "amazon-key", prefix: "AKIA", shape: Shape::Word { kind: is_upper, length: 16 } },
    Pattern { id: "amazon-key", prefix: "ASIA", shape: Shape::Word { kind: is_upper, length: 16 } },
    Pattern { id: "google-key", prefix: "AIza", shape: Shape::Run { kind: is_url_safe, least: 35, most: 35 } },
    run("slack-token", "xoxa-", is_dashed, 10),
    run("slack-token", "xoxb-", is_dashed, 10),
    run("slack-token", "xoxp-", is_dashed, 10),
    run("slack-token", "xoxr-", is_dashed, 10),
    run("slack-token", "xoxs-", is_dashed, 10),
    run("stripe-key", "sk_live_", is_alphanumeric, 20),
    run("stripe-key", "rk_live_", is_alphanumeric, 20),
    run("npm-token", "npm_", is_alphanumeric, 36),
    run("hugging-face-token", "hf_", is_alphanumeric, 30),
    Pattern { id: "signed-token", prefix: "eyJ", shape: Shape::SignedToken },
    Pattern { id: "private-key", prefix: BEGIN, shape: Shape::PrivateKey },
];

/// Ids of all patterns, with the one for known values.
pub const PATTERN_IDS: [&str; 13] = [
    SECRET_VALUE,
    "anthropic-key",
    "openai-key",
    "github-token",
    "gitlab-token",
    "amazon-key",
    "google-key",
    "slack-token",
    "stripe-key",
    "npm-token",
    "hugging-face-token",
    "signed-token",
    "private-key",
];

/// Fewest characters of a part of a signed token.
const SHORTEST_TOKEN_PART: usize = 10;
/// Most characters of a part that are read.
const LONGEST_TOKEN_PART: usize = 8 * 1024;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const LABEL_END: &str = "PRIVATE KEY-----";
const LONGEST_LABEL: usize = 48;
/// Fewest base64 characters of a key; less is text about keys.
const LEAST_KEY: usize = 40;
const LONGEST_KEY: usize = 16 * 1024;

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_dashed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

fn is_url_safe(byte: u8) -> bool {
    is_word(byte) || byte == b'-'
}

fn is_upper(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

impl Pattern {
    /// Returns whether the pattern may begin at this byte: not in the middle of a word.
    ///
    /// A letter that ends an escape, as in `\nsk-` within JSON and `%3Dsk-` within an address, is not part of a word.
    pub(crate) fn may_begin(&self, text: &[u8], at: usize) -> bool {
        if matches!(self.shape, Shape::PrivateKey) {
            return true;
        }
        match text[..at] {
            [.., before] if !before.is_ascii_alphanumeric() => !(before == b'-' && self.prefix == "eyJ"),
            [] | [.., b'\\', b'b' | b'f' | b'n' | b'r' | b't'] => true,
            [.., b'%', one, other] => one.is_ascii_hexdigit() && other.is_ascii_hexdigit(),
            _ => false,
        }
    }

    /// Matches the text after the prefix.
    pub(crate) fn match_rest(&self, text: &[u8], from: usize, continuation: Continuation) -> Match {
        match self.shape {
            Shape::Run { kind, least, most } => {
                let end = run_end(text, from, most, kind);
                if end == text.len() && end - from < most && continuation == Continuation::Possible {
                    Match::Undecided
                } else if end - from < least {
                    Match::None
                } else {
                    Match::Secret(end)
                }
            }
            Shape::Word { kind, length } => {
                let end = run_end(text, from, length, kind);
                match text.get(end) {
                    None if continuation == Continuation::Possible => Match::Undecided,
                    Some(next) if is_word(*next) => Match::None,
                    _ if end - from < length => Match::None,
                    _ => Match::Secret(end),
                }
            }
            Shape::SignedToken => signed_token(text, from, continuation),
            Shape::PrivateKey => private_key(text, from, continuation),
        }
    }
}

fn run_end(text: &[u8], from: usize, most: usize, kind: fn(u8) -> bool) -> usize {
    let rest = &text[from..];
    from + rest.iter().take(most).take_while(|byte| kind(**byte)).count()
}

fn signed_token(text: &[u8], from: usize, continuation: Continuation) -> Match {
    let mut begin = from;
    for part in 0..3 {
        let end = run_end(text, begin, LONGEST_TOKEN_PART, is_url_safe);
        if end == text.len() && end - begin < LONGEST_TOKEN_PART && continuation == Continuation::Possible {
            return Match::Undecided;
        }
        if end - begin < SHORTEST_TOKEN_PART {
            return Match::None;
        }
        if part == 2 {
            return Match::Secret(end);
        }
        match text.get(end) {
            Some(b'.') => begin = end + 1,
            // The longest part may have ended with the text.
            None if continuation == Continuation::Possible => return Match::Undecided,
            _ => return Match::None,
        }
    }
    Match::None
}

fn private_key(text: &[u8], from: usize, continuation: Continuation) -> Match {
    let body = match label(text, from, continuation) {
        Match::Secret(body) => body,
        other => return other,
    };
    let (mut at, mut letters) = (body, 0);
    while at - body < LONGEST_KEY {
        match text[at..] {
            [byte, ..] if is_base64(byte) => {
                letters += 1;
                at += 1;
            }
            [b' ' | b'\t' | b'\r' | b'\n', ..] => at += 1,
            // An escaped line end in JSON.
            [b'\\', b'n' | b'r', ..] => at += 2,
            [] | [b'\\'] if continuation == Continuation::Possible => return Match::Undecided,
            _ => break,
        }
    }
    if letters < LEAST_KEY {
        return Match::None;
    }
    let rest = &text[at..];
    if rest.len() < END.len() && END.as_bytes().starts_with(rest) {
        return if continuation == Continuation::Possible { Match::Undecided } else { Match::Secret(at) };
    }
    if !rest.starts_with(END.as_bytes()) {
        return Match::Secret(at);
    }
    match label(text, at + END.len(), continuation) {
        Match::None => Match::Secret(at),
        found => found,
    }
}

/// Matches the words of a marker up to its dashes.
fn label(text: &[u8], from: usize, continuation: Continuation) -> Match {
    let words = run_end(text, from, LONGEST_LABEL, |byte| is_upper(byte) || byte == b' ');
    let dashes = run_end(text, words, LABEL_END.len() - "PRIVATE KEY".len(), |byte| byte == b'-');
    if text[from..dashes].ends_with(LABEL_END.as_bytes()) {
        Match::Secret(dashes)
    } else if dashes == text.len() && words - from < LONGEST_LABEL && continuation == Continuation::Possible {
        Match::Undecided
    } else {
        Match::None
    }
}
