//! The prompt of the model: one of five that come with the worker, a file that people add, or a text of their own.

use std::fs;
use std::path::Path;

/// The prompts that come with the worker.
const BUILT_IN: [(&str, &str); 5] = [
    ("careful", include_str!("prompts/careful.md")),
    ("minimal", include_str!("prompts/minimal.md")),
    ("test-first", include_str!("prompts/test-first.md")),
    ("refactor", include_str!("prompts/refactor.md")),
    ("explorer", include_str!("prompts/explorer.md")),
];
/// The prompt where none is named.
const USUAL: &str = "careful";
/// The longest name of a prompt. Anything longer is a text.
const LONGEST_NAME: usize = 63;

/// Returns a prompt: a file of that name in the folder, else the one that comes with the worker, else the text itself.
pub(super) fn find(wanted: Option<&str>, folder: Option<&str>) -> Result<String, String> {
    let wanted = wanted.unwrap_or(USUAL);
    let is_name = wanted.len() <= LONGEST_NAME
        && wanted.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !is_name {
        return Ok(wanted.to_owned());
    }
    if let Some(folder) = folder {
        let path = Path::new(folder).join(format!("{wanted}.md"));
        if path.exists() {
            return fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()));
        }
    }
    let built_in = BUILT_IN.iter().find(|(name, _)| *name == wanted);
    built_in.map(|(_, text)| (*text).to_owned()).ok_or_else(|| {
        let names: Vec<_> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        format!("there is no prompt {wanted:?}; name one of {}, or write the text itself", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_five_prompts_differ() {
        for (name, text) in BUILT_IN {
            assert_eq!(find(Some(name), None).unwrap(), text);
            let others = BUILT_IN.iter().filter(|(other, _)| *other != name);
            let words =
                |text: &str| text.split_whitespace().map(str::to_lowercase).collect::<std::collections::BTreeSet<_>>();
            for (other, said) in others {
                let common = words(text).intersection(&words(said)).count();
                assert!(common * 2 < words(text).len().min(words(said).len()), "{name} and {other} say the same");
            }
        }
    }

    #[test]
    fn a_folder_has_the_first_word_and_a_sentence_is_a_prompt() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("careful.md"), "ours").unwrap();
        let path = folder.path().to_str();
        assert_eq!(find(Some("careful"), path).unwrap(), "ours");
        assert_eq!(find(Some("minimal"), path).unwrap(), BUILT_IN[1].1);
        assert_eq!(find(Some("Be brief."), path).unwrap(), "Be brief.");
        assert!(find(Some("unknown"), path).unwrap_err().contains("careful, minimal"));
        assert_eq!(find(None, None).unwrap(), BUILT_IN[0].1);
    }
}
