//! Shell completion: the candidates for the last word of a command line. kubectl asks for them through
//! `kubectl_complete-worlds`.

use std::fmt::Write;

use clap::{Arg, Command, CommandFactory};

use crate::arguments::Arguments;

/// The candidates for a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Candidates {
    /// These words, each with a description.
    Words(Vec<(String, String)>),
    /// Names of WorkOrders.
    Orders,
    /// Names of the Worlds of a WorkOrder.
    Worlds(String),
    /// Names of files.
    File,
    /// No candidates.
    Nothing,
}

/// Returns the candidates for the last word.
///
/// - **Shape:** `words` follow `kubectl worlds`; the last one may be empty.
pub fn candidates(words: &[String]) -> Candidates {
    let command = Arguments::command();
    let Some((last, before)) = words.split_last() else { return subcommands(&command, "") };
    let parsed = ParsedWords::of(&command, before);
    if let Some(option) = parsed.pending_option {
        return value_of(option, &parsed);
    }
    let Some(subcommand) = parsed.subcommand else {
        return if last.starts_with('-') { options(&command, &command, last) } else { subcommands(&command, last) };
    };
    if last.starts_with('-') {
        return options(&command, subcommand, last);
    }
    let position = parsed.positionals.len();
    let positional = subcommand.get_positionals().nth(position).or_else(|| {
        // The last positional may be repeated.
        subcommand
            .get_positionals()
            .last()
            .filter(|argument| argument.get_num_args().is_some_and(|count| count.max_values() > 1))
    });
    positional.map_or(Candidates::Nothing, |argument| value_of(argument, &parsed))
}

/// Formats the reply that kubectl reads: one candidate a line with a description after a tab, then a directive for the shell.
pub fn reply(words: &[(String, String)], prefix: &str, files: FileCompletion) -> String {
    let mut text = String::new();
    for (word, meaning) in words.iter().filter(|(word, _)| word.starts_with(prefix)) {
        let _ = if meaning.is_empty() { writeln!(text, "{word}") } else { writeln!(text, "{word}\t{meaning}") };
    }
    let directive = match files {
        FileCompletion::Enabled => 0,
        FileCompletion::Disabled => 4,
    };
    let _ = writeln!(text, ":{directive}");
    text
}

/// Whether the shell completes file names too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileCompletion {
    /// File names are completed.
    Enabled,
    /// File names are not completed.
    Disabled,
}

/// The words before the one that is completed.
struct ParsedWords<'a> {
    subcommand: Option<&'a Command>,
    positionals: Vec<&'a str>,
    /// The option that the completed word is the value of.
    pending_option: Option<&'a Arg>,
}

impl<'a> ParsedWords<'a> {
    fn of(command: &'a Command, words: &'a [String]) -> Self {
        let mut parsed = Self { subcommand: None, positionals: Vec::new(), pending_option: None };
        for word in words {
            if parsed.pending_option.take().is_some() {
                continue;
            }
            if word.starts_with('-') {
                parsed.pending_option =
                    parsed.option(command, word).filter(|option| option.get_action().takes_values());
            } else if parsed.subcommand.is_none() {
                parsed.subcommand = command.find_subcommand(word);
            } else {
                parsed.positionals.push(word);
            }
        }
        parsed
    }

    fn option(&self, command: &'a Command, word: &str) -> Option<&'a Arg> {
        let found = |argument: &&Arg| match word.strip_prefix("--") {
            // `--option=value` is complete in one word.
            Some(long) => argument.get_long() == Some(long),
            None => word.len() == 2 && argument.get_short() == word.chars().nth(1),
        };
        self.subcommand.into_iter().chain([command]).flat_map(Command::get_arguments).find(found)
    }
}

fn subcommands(command: &Command, prefix: &str) -> Candidates {
    let shown = command.get_subcommands().filter(|one| !one.is_hide_set() && one.get_name().starts_with(prefix));
    Candidates::Words(shown.map(|one| (one.get_name().to_owned(), about(one.get_about()))).collect())
}

fn options(command: &Command, subcommand: &Command, prefix: &str) -> Candidates {
    let of_both = subcommand.get_arguments().chain(command.get_arguments().filter(|argument| argument.is_global_set()));
    let mut words: Vec<(String, String)> = of_both
        .filter_map(|argument| Some((format!("--{}", argument.get_long()?), about(argument.get_help()))))
        .filter(|(word, _)| word.starts_with(prefix))
        .collect();
    words.sort();
    words.dedup();
    Candidates::Words(words)
}

fn about(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(|text| text.to_string().lines().next().unwrap_or_default().to_owned()).unwrap_or_default()
}

fn value_of(argument: &Arg, parsed: &ParsedWords<'_>) -> Candidates {
    let possible: Vec<(String, String)> = argument
        .get_possible_values()
        .into_iter()
        .map(|value| (value.get_name().to_owned(), about(value.get_help())))
        .collect();
    if !possible.is_empty() {
        return Candidates::Words(possible);
    }
    match argument.get_id().as_str() {
        "order" | "orders" => Candidates::Orders,
        "world" => {
            parsed.positionals.first().map_or(Candidates::Nothing, |order| Candidates::Worlds((*order).to_owned()))
        }
        "file" | "output" | "kubeconfig" => Candidates::File,
        _ => Candidates::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(line: &str) -> Candidates {
        candidates(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    fn words(line: &str) -> Vec<String> {
        match after(line) {
            Candidates::Words(words) => words.into_iter().map(|(word, _)| word).collect(),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn commands_come_first() {
        assert_eq!(words("ca"), ["cancel"]);
        assert!(words("").contains(&"explain".to_owned()));
        assert!(!words("").iter().any(|word| word.starts_with('_')), "what is hidden stays so");
        assert_eq!(words("-n team re"), ["resume", "retry", "reevaluate"]);
    }

    #[test]
    fn names_come_from_the_cluster() {
        for line in ["explain ", "cancel one ", "logs -n team ", "logs --follow "] {
            assert_eq!(after(line), Candidates::Orders, "{line}");
        }
        assert_eq!(after("logs fix "), Candidates::Worlds("fix".to_owned()));
        assert_eq!(after("reevaluate fix --world "), Candidates::Worlds("fix".to_owned()));
        assert_eq!(after("patch fix --world "), Candidates::Worlds("fix".to_owned()));
        assert_eq!(after("explain fix "), Candidates::Nothing);
    }

    #[test]
    fn options_and_their_values_come_from_the_command() {
        assert_eq!(words("logs fix alpha --st"), ["--stage"]);
        assert!(words("logs fix alpha --").contains(&"--namespace".to_owned()));
        assert_eq!(words("logs fix alpha --stage "), ["prepare", "work", "evaluate"]);
        assert_eq!(words("list -o "), ["text", "wide", "json", "yaml"]);
        assert_eq!(after("run -f "), Candidates::File);
        assert_eq!(after("patch fix -o "), Candidates::File);
    }

    #[test]
    fn the_reply_is_as_kubectl_reads_it() {
        let words = [("alpha".to_owned(), String::new()), ("beta".to_owned(), "second".to_owned())];
        assert_eq!(reply(&words, "", FileCompletion::Disabled), "alpha\nbeta\tsecond\n:4\n");
        assert_eq!(reply(&words, "b", FileCompletion::Enabled), "beta\tsecond\n:0\n");
    }
}
