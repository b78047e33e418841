//! Takes the text of a shell apart where it is one simple command, and puts words together again.

/// Characters that make a shell do more than run the words as they stand, outside quotes.
const SPECIAL: &[char] =
    &[';', '&', '|', '<', '>', '(', ')', '`', '$', '*', '?', '[', ']', '{', '}', '~', '#', '!', '\\', '\n', '\r'];
/// Characters that do so inside double quotes.
const SPECIAL_IN_QUOTES: &[char] = &['$', '`', '\\', '!'];

/// Returns the words of a shell's text; nothing where it is more than one simple command.
pub(super) fn words_of(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for character in text.trim().chars() {
        match quote {
            Some(open) if character == open => quote = None,
            Some('"') if SPECIAL_IN_QUOTES.contains(&character) => return None,
            None if character == '\'' || character == '"' => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            None if SPECIAL.contains(&character) => return None,
            None if character.is_whitespace() => words.extend(word.take()),
            Some(_) | None => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    (quote.is_none() && !words.is_empty()).then_some(words)
}

/// Returns the text of a shell that runs these words.
pub(super) fn text_of(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    if is_plain(word) {
        return word.to_owned();
    }
    // A shell sees no assignment where the name is quoted.
    match assignment(word) {
        Some((name, value)) => format!("{name}={}", in_quotes(value)),
        None => in_quotes(word),
    }
}

fn in_quotes(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn is_plain(word: &str) -> bool {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "_-./=:,+@%".contains(character);
    !word.is_empty() && word.chars().all(is_plain)
}

/// Returns the name and the value of a word that sets a variable.
pub(super) fn assignment(word: &str) -> Option<(&str, &str)> {
    word.split_once('=').filter(|(name, _)| {
        !name.is_empty()
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_simple_command_is_taken_apart_and_nothing_else() {
        for (text, words) in [
            ("pytest -q", Some(&["pytest", "-q"][..])),
            (" A='x y' pytest -k \"a or b\" ''\n", Some(&["A=x y", "pytest", "-k", "a or b", ""])),
            ("a'b c'd", Some(&["ab cd"])),
            ("pytest; true", None),
            ("pytest || true", None),
            ("pytest $ARGS", None),
            ("pytest \"$ARGS\"", None),
            ("pytest > log", None),
            ("pytest tests/*", None),
            ("pytest 'open", None),
            ("", None),
        ] {
            let expected = words.map(|words| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
            assert_eq!(words_of(text), expected, "{text}");
        }
    }

    #[test]
    fn words_are_the_same_after_they_were_put_together() {
        let words = ["A=x y", "pytest", "-k", "it's a", "", "a=b c", "$x"].map(str::to_owned);
        assert_eq!(text_of(&words), r"A='x y' pytest -k 'it'\''s a' '' a='b c' '$x'");
        assert_eq!(
            words_of("A='x y' pytest -k 'a b'").map(|words| text_of(&words)).as_deref(),
            Some("A='x y' pytest -k 'a b'")
        );
    }
}
