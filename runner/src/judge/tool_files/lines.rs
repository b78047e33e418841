//! Files whose parts cannot be put back one by one, such as those of Maven and Gradle: their lines are compared.

/// Returns which of the words stand in lines that two texts do not have in common, in the order of the words.
pub(super) fn words_that_differ(words: &[&'static str], base: &str, candidate: &str) -> Vec<&'static str> {
    words.iter().copied().filter(|word| lines_with(word, base) != lines_with(word, candidate)).collect()
}

/// Returns the lines that have a word. Where they stand does not count.
fn lines_with<'a>(word: &str, text: &'a str) -> Vec<&'a str> {
    let mut lines: Vec<&str> = text.lines().filter(|line| has_word(line, word)).map(str::trim).collect();
    lines.sort_unstable();
    lines
}

/// Returns whether a line has a word that is not a part of a longer one. A sign has no such bounds.
fn has_word(line: &str, word: &str) -> bool {
    let is_of_word = |character: char| character.is_alphanumeric() || character == '_';
    if word.chars().all(is_of_word) {
        line.split(|character| !is_of_word(character)).any(|own| own == word)
    } else {
        line.contains(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_new_gone_or_changed_is_noticed_and_one_that_moved_is_not() {
        let base = "test {\n  useJUnit()\n}\ntestImplementation 'a'\n";
        for (candidate, words) in [
            (base, &[][..]),
            ("testImplementation 'b'\ntest {\n}\n", &[]),
            ("test { enabled = false }\ntestImplementation 'a'\n", &["test", "enabled"]),
            ("testImplementation 'a'\n", &["test"]),
            ("test {\nx => y\n", &["=>"]),
        ] {
            assert_eq!(words_that_differ(&["test", "enabled", "=>"], base, candidate), words, "{candidate}");
        }
    }
}
