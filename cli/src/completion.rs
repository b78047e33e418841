//! What could come next on the command line: for `kubectl_complete-worlds`, which kubectl asks when the tab key is pressed.

use std::fmt::Write;

use clap::{Arg, Command, CommandFactory};

use crate::arguments::Arguments;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// One of these words, with what each means.
    Words(Vec<(String, String)>),
    /// Names of WorkOrders.
    Orders,
    /// Names of the Worlds of a WorkOrder.
    Worlds(String),
    /// A file.
    File,
    /// Something that nobody can guess.
    Nothing,
}

/// Returns what the last of the words could be; the words are what follows `kubectl worlds`, and the last may be empty.
pub fn asked(words: &[String]) -> Asked {
    let command = Arguments::command();
    let Some((last, before)) = words.split_last() else { return subcommands(&command, "") };
    let scan = Scan::of(&command, before);
    if let Some(option) = scan.open {
        return value_of(option, &scan);
    }
    let Some(chosen) = scan.chosen else {
        return if last.starts_with('-') { options(&command, &command, last) } else { subcommands(&command, last) };
    };
    if last.starts_with('-') {
        return options(&command, chosen, last);
    }
    let place = scan.positionals.len();
    let positional = chosen.get_positionals().nth(place).or_else(|| {
        // The last one may be there several times.
        chosen
            .get_positionals()
            .last()
            .filter(|argument| argument.get_num_args().is_some_and(|count| count.max_values() > 1))
    });
    positional.map_or(Asked::Nothing, |argument| value_of(argument, &scan))
}

/// Writes what kubectl reads: a word a line, with what it means after a tab, and then what the shell is to do.
pub fn reply(words: &[(String, String)], prefix: &str, files: Files) -> String {
    let mut text = String::new();
    for (word, meaning) in words.iter().filter(|(word, _)| word.starts_with(prefix)) {
        let _ = if meaning.is_empty() { writeln!(text, "{word}") } else { writeln!(text, "{word}\t{meaning}") };
    }
    let directive = match files {
        Files::Offer => 0,
        Files::Keep => 4,
    };
    let _ = writeln!(text, ":{directive}");
    text
}

/// Whether the shell offers files besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// It does.
    Offer,
    /// It does not.
    Keep,
}

/// What stands before the word that is asked for.
struct Scan<'a> {
    chosen: Option<&'a Command>,
    positionals: Vec<&'a str>,
    /// The option whose value comes next.
    open: Option<&'a Arg>,
}

impl<'a> Scan<'a> {
    fn of(command: &'a Command, words: &'a [String]) -> Self {
        let mut scan = Self { chosen: None, positionals: Vec::new(), open: None };
        for word in words {
            if scan.open.take().is_some() {
                continue;
            }
            if word.starts_with('-') {
                scan.open = scan.option(command, word).filter(|option| option.get_action().takes_values());
            } else if scan.chosen.is_none() {
                scan.chosen = command.find_subcommand(word);
            } else {
                scan.positionals.push(word);
            }
        }
        scan
    }

    fn option(&self, command: &'a Command, word: &str) -> Option<&'a Arg> {
        let found = |argument: &&Arg| match word.strip_prefix("--") {
            // A value that stands in the same word is complete.
            Some(long) => argument.get_long() == Some(long),
            None => word.len() == 2 && argument.get_short() == word.chars().nth(1),
        };
        self.chosen.into_iter().chain([command]).flat_map(Command::get_arguments).find(found)
    }
}

fn subcommands(command: &Command, prefix: &str) -> Asked {
    let shown = command.get_subcommands().filter(|one| !one.is_hide_set() && one.get_name().starts_with(prefix));
    Asked::Words(shown.map(|one| (one.get_name().to_owned(), about(one.get_about()))).collect())
}

fn options(command: &Command, chosen: &Command, prefix: &str) -> Asked {
    let of_both = chosen.get_arguments().chain(command.get_arguments().filter(|argument| argument.is_global_set()));
    let mut words: Vec<(String, String)> = of_both
        .filter_map(|argument| Some((format!("--{}", argument.get_long()?), about(argument.get_help()))))
        .filter(|(word, _)| word.starts_with(prefix))
        .collect();
    words.sort();
    words.dedup();
    Asked::Words(words)
}

fn about(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(|text| text.to_string().lines().next().unwrap_or_default().to_owned()).unwrap_or_default()
}

fn value_of(argument: &Arg, scan: &Scan<'_>) -> Asked {
    let possible: Vec<(String, String)> = argument
        .get_possible_values()
        .into_iter()
        .map(|value| (value.get_name().to_owned(), about(value.get_help())))
        .collect();
    if !possible.is_empty() {
        return Asked::Words(possible);
    }
    match argument.get_id().as_str() {
        "order" | "orders" => Asked::Orders,
        "world" => scan.positionals.first().map_or(Asked::Nothing, |order| Asked::Worlds((*order).to_owned())),
        "file" | "output" | "kubeconfig" => Asked::File,
        _ => Asked::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(line: &str) -> Asked {
        asked(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    fn words(line: &str) -> Vec<String> {
        match after(line) {
            Asked::Words(words) => words.into_iter().map(|(word, _)| word).collect(),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn commands_come_first() {
        assert_eq!(words("ca"), ["cancel"]);
        assert!(words("").contains(&"explain".to_owned()));
        assert!(!words("").iter().any(|word| word.starts_with('_')), "what is hidden stays so");
        assert_eq!(words("-n team re"), ["resume", "retry"]);
    }

    #[test]
    fn names_come_from_the_cluster() {
        for line in ["explain ", "cancel one ", "logs -n team ", "logs --follow "] {
            assert_eq!(after(line), Asked::Orders, "{line}");
        }
        assert_eq!(after("logs fix "), Asked::Worlds("fix".to_owned()));
        assert_eq!(after("patch fix --world "), Asked::Worlds("fix".to_owned()));
        assert_eq!(after("explain fix "), Asked::Nothing);
    }

    #[test]
    fn options_and_their_values_come_from_the_command() {
        assert_eq!(words("logs fix alpha --st"), ["--stage"]);
        assert!(words("logs fix alpha --").contains(&"--namespace".to_owned()));
        assert_eq!(words("logs fix alpha --stage "), ["prepare", "work", "evaluate"]);
        assert_eq!(words("list -o "), ["text", "wide", "json", "yaml"]);
        assert_eq!(after("run -f "), Asked::File);
        assert_eq!(after("patch fix -o "), Asked::File);
    }

    #[test]
    fn the_reply_is_as_kubectl_reads_it() {
        let words = [("alpha".to_owned(), String::new()), ("beta".to_owned(), "second".to_owned())];
        assert_eq!(reply(&words, "", Files::Keep), "alpha\nbeta\tsecond\n:4\n");
        assert_eq!(reply(&words, "b", Files::Offer), "beta\tsecond\n:0\n");
    }
}
