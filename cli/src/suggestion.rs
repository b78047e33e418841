//! Suggestions for a mistyped name.

use strsim::levenshtein;

/// The most names that a message lists.
const MOST_LISTED: usize = 8;
/// The largest edit distance at which a name is suggested.
const MOST_EDITS: usize = 3;

/// Returns a sentence that suggests the nearest name and lists the others.
///
/// - **Shape:** `did you mean fix-270? there are fix-270, fix-271, demo`; the nearest name comes first.
pub fn suggestion(wanted: &str, names: &[String]) -> String {
    let mut sorted: Vec<(usize, &String)> = names.iter().map(|name| (levenshtein(wanted, name), name)).collect();
    sorted.sort();
    let Some((nearest, name)) = sorted.first() else { return "there is none".to_owned() };
    let guess =
        if *nearest <= MOST_EDITS || name.contains(wanted) { format!("did you mean {name}? ") } else { String::new() };
    let listed: Vec<&str> = sorted.iter().take(MOST_LISTED).map(|(_, name)| name.as_str()).collect();
    let more = names.len() - listed.len();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    let verb = if names.len() == 1 { "there is" } else { "there are" };
    format!("{guess}{verb} {}{rest}", listed.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_letters() {
        for (one, other, expected) in
            [("", "abc", 3), ("fix-270", "fix-270", 0), ("fix-27", "fix-270", 1), ("ab", "ba", 2)]
        {
            assert_eq!(levenshtein(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn the_nearest_name_is_proposed() {
        let names = ["demo", "fix-270", "fix-271"].map(str::to_owned);
        assert_eq!(suggestion("fix-27o", &names), "did you mean fix-270? there are fix-270, fix-271, demo");
        assert_eq!(suggestion("something-else", &names[..1]), "there is demo");
        assert_eq!(suggestion("x", &[]), "there is none");
        let many: Vec<String> = (0..12).map(|number| format!("order-{number}")).collect();
        assert!(suggestion("unrelated-name", &many).ends_with(" and 4 more"));
    }
}
