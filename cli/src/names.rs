//! Helps people who mistyped a name.

/// How many names a message lists.
const LISTED: usize = 8;
/// The most letters in which a name that was meant differs from the one that was typed.
const MOST_DIFFERENCES: usize = 3;

/// Says which names there are, the nearest first, and which one was probably meant.
pub fn instead(wanted: &str, names: &[String]) -> String {
    let mut sorted: Vec<(usize, &String)> = names.iter().map(|name| (distance(wanted, name), name)).collect();
    sorted.sort();
    let Some((nearest, name)) = sorted.first() else { return "there is none".to_owned() };
    let guess = if *nearest <= MOST_DIFFERENCES || name.contains(wanted) {
        format!("did you mean {name}? ")
    } else {
        String::new()
    };
    let listed: Vec<&str> = sorted.iter().take(LISTED).map(|(_, name)| name.as_str()).collect();
    let more = names.len() - listed.len();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    let verb = if names.len() == 1 { "there is" } else { "there are" };
    format!("{guess}{verb} {}{rest}", listed.join(", "))
}

/// Returns how many letters must be added, removed or replaced to make one name of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for place in 0..other.len() {
            let replaced = diagonal + usize::from(other[place] != letter);
            diagonal = row[place + 1];
            row[place + 1] = replaced.min(diagonal + 1).min(row[place] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_letters() {
        for (one, other, expected) in
            [("", "abc", 3), ("fix-270", "fix-270", 0), ("fix-27", "fix-270", 1), ("ab", "ba", 2)]
        {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn the_nearest_name_is_proposed() {
        let names = ["demo", "fix-270", "fix-271"].map(str::to_owned);
        assert_eq!(instead("fix-27o", &names), "did you mean fix-270? there are fix-270, fix-271, demo");
        assert_eq!(instead("something-else", &names[..1]), "there is demo");
        assert_eq!(instead("x", &[]), "there is none");
        let many: Vec<String> = (0..12).map(|number| format!("order-{number}")).collect();
        assert!(instead("unrelated-name", &many).ends_with(" and 4 more"));
    }
}
