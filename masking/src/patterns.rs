//! How keys and tokens usually look.

use crate::SECRET_VALUE;

/// Whether more of a text may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// It ends here.
    Nothing,
    /// It may go on.
    More,
}

/// What is at a place where a pattern begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A secret, up to there.
    Secret(usize),
    /// It depends on what comes.
    Open,
    /// No secret.
    Nothing,
}

/// One way in which keys look.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) id: &'static str,
    /// What each of them begins with.
    pub(crate) beginning: &'static str,
    shape: Shape,
}

/// What comes behind the beginning.
#[derive(Debug)]
enum Shape {
    /// Characters of a kind, at least and at most so many. What goes on longer is masked in pieces.
    Run { kind: fn(u8) -> bool, least: usize, most: usize },
    /// Exactly so many characters of a kind, and then no further letter or digit.
    Word { kind: fn(u8) -> bool, length: usize },
    /// Three parts with points between them.
    SignedToken,
    /// Lines of base64 between two marks.
    PrivateKey,
}

const LONGEST: usize = 512;
const fn run(id: &'static str, beginning: &'static str, kind: fn(u8) -> bool, least: usize) -> Pattern {
    Pattern { id, beginning, shape: Shape::Run { kind, least, most: LONGEST } }
}

/// Of two that begin at the same place the one with the longer beginning gives the name.
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
    Pattern { id: "amazon-key", beginning: "AKIA", shape: Shape::Word { kind: is_upper, length: 16 } },
    Pattern { id: "amazon-key", beginning: "ASIA", shape: Shape::Word { kind: is_upper, length: 16 } },
    Pattern { id: "google-key", beginning: "AIza", shape: Shape::Run { kind: is_url_safe, least: 35, most: 35 } },
    run("slack-token", "xoxa-", is_dashed, 10),
    run("slack-token", "xoxb-", is_dashed, 10),
    run("slack-token", "xoxp-", is_dashed, 10),
    run("slack-token", "xoxr-", is_dashed, 10),
    run("slack-token", "xoxs-", is_dashed, 10),
    run("stripe-key", "sk_live_", is_alphanumeric, 20),
    run("stripe-key", "rk_live_", is_alphanumeric, 20),
    run("npm-token", "npm_", is_alphanumeric, 36),
    run("hugging-face-token", "hf_", is_alphanumeric, 30),
    Pattern { id: "signed-token", beginning: "eyJ", shape: Shape::SignedToken },
    Pattern { id: "private-key", beginning: BEGIN, shape: Shape::PrivateKey },
];

/// The names of all patterns, of values that are known among them.
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

/// The least that a part of a signed token has, and the most of it that is read.
const TOKEN_PART: usize = 10;
const LONGEST_TOKEN_PART: usize = 8 * 1024;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const LABEL_END: &str = "PRIVATE KEY-----";
const LONGEST_LABEL: usize = 48;
/// The least base64 between the marks: less is a text about keys.
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
    /// Returns whether the pattern may begin at a place: not in the middle of a word.
    ///
    /// A letter that ends an escape, as in `\nsk-` within JSON and `%3Dsk-` within an address, is no part of a word.
    pub(crate) fn may_begin(&self, text: &[u8], at: usize) -> bool {
        if matches!(self.shape, Shape::PrivateKey) {
            return true;
        }
        match text[..at] {
            [.., before] if !before.is_ascii_alphanumeric() => !(before == b'-' && self.beginning == "eyJ"),
            [] | [.., b'\\', b'b' | b'f' | b'n' | b'r' | b't'] => true,
            [.., b'%', one, other] => one.is_ascii_hexdigit() && other.is_ascii_hexdigit(),
            _ => false,
        }
    }

    /// Looks at what comes behind the beginning.
    pub(crate) fn look(&self, text: &[u8], from: usize, ahead: Ahead) -> Verdict {
        match self.shape {
            Shape::Run { kind, least, most } => {
                let end = run_end(text, from, most, kind);
                if end == text.len() && end - from < most && ahead == Ahead::More {
                    Verdict::Open
                } else if end - from < least {
                    Verdict::Nothing
                } else {
                    Verdict::Secret(end)
                }
            }
            Shape::Word { kind, length } => {
                let end = run_end(text, from, length, kind);
                match text.get(end) {
                    None if ahead == Ahead::More => Verdict::Open,
                    Some(next) if is_word(*next) => Verdict::Nothing,
                    _ if end - from < length => Verdict::Nothing,
                    _ => Verdict::Secret(end),
                }
            }
            Shape::SignedToken => signed_token(text, from, ahead),
            Shape::PrivateKey => private_key(text, from, ahead),
        }
    }
}

fn run_end(text: &[u8], from: usize, most: usize, kind: fn(u8) -> bool) -> usize {
    let rest = &text[from..];
    from + rest.iter().take(most).take_while(|byte| kind(**byte)).count()
}

fn signed_token(text: &[u8], from: usize, ahead: Ahead) -> Verdict {
    let mut begin = from;
    for part in 0..3 {
        let end = run_end(text, begin, LONGEST_TOKEN_PART, is_url_safe);
        if end == text.len() && end - begin < LONGEST_TOKEN_PART && ahead == Ahead::More {
            return Verdict::Open;
        }
        if end - begin < TOKEN_PART {
            return Verdict::Nothing;
        }
        if part == 2 {
            return Verdict::Secret(end);
        }
        match text.get(end) {
            Some(b'.') => begin = end + 1,
            // The longest part may have ended with the text.
            None if ahead == Ahead::More => return Verdict::Open,
            _ => return Verdict::Nothing,
        }
    }
    Verdict::Nothing
}

fn private_key(text: &[u8], from: usize, ahead: Ahead) -> Verdict {
    let body = match label(text, from, ahead) {
        Verdict::Secret(body) => body,
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
            // As it stands in JSON.
            [b'\\', b'n' | b'r', ..] => at += 2,
            [] | [b'\\'] if ahead == Ahead::More => return Verdict::Open,
            _ => break,
        }
    }
    if letters < LEAST_KEY {
        return Verdict::Nothing;
    }
    let rest = &text[at..];
    if rest.len() < END.len() && END.as_bytes().starts_with(rest) {
        return if ahead == Ahead::More { Verdict::Open } else { Verdict::Secret(at) };
    }
    if !rest.starts_with(END.as_bytes()) {
        return Verdict::Secret(at);
    }
    match label(text, at + END.len(), ahead) {
        Verdict::Nothing => Verdict::Secret(at),
        found => found,
    }
}

/// Reads the words of a mark, up to its dashes.
fn label(text: &[u8], from: usize, ahead: Ahead) -> Verdict {
    let words = run_end(text, from, LONGEST_LABEL, |byte| is_upper(byte) || byte == b' ');
    let dashes = run_end(text, words, LABEL_END.len() - "PRIVATE KEY".len(), |byte| byte == b'-');
    if text[from..dashes].ends_with(LABEL_END.as_bytes()) {
        Verdict::Secret(dashes)
    } else if dashes == text.len() && words - from < LONGEST_LABEL && ahead == Ahead::More {
        Verdict::Open
    } else {
        Verdict::Nothing
    }
}
