//! Finds the files of a tree that a gate's command runs, or that it names as the settings of a test tool.
//!
//! A file that a command merely reads, such as that of `grep -q done notes`, is not among them: it may be the very work.

use std::path::{Component, Path, PathBuf};

/// Shells, which run the text behind `-c`.
const SHELLS: &[&str] = &["sh", "bash", "dash", "ash", "zsh", "ksh"];
/// Programs that run the first file among their words. One with a version behind its name is the same.
const INTERPRETERS: &[&str] =
    &["python", "pypy", "node", "deno", "bun", "ruby", "perl", "php", "lua", "Rscript", "tsx", "ts-node", "pwsh"];
/// Words before a command that are not the command.
const BEFORE: &[&str] = &[
    "env", "exec", "time", "nice", "nohup", "timeout", "sudo", "command", "xvfb-run", "!", "{", "if", "then", "elif",
    "else", "do", "while", "until",
];
/// Test tools whose settings a word may name.
const TOOLS: &[&str] =
    &["make", "gmake", "just", "pytest", "py.test", "tox", "nox", "jest", "vitest", "mocha", "karma", "playwright"];
/// Options behind which such a tool has the name of its settings.
const SETTINGS: &[&str] = &["-c", "-f", "--config", "--file", "--makefile", "--justfile", "--config-file"];
/// Options of interpreters behind which no file is run.
const NO_FILE: &[&str] = &["-m", "-c", "-e", "-p", "--eval", "--print"];
/// Options of interpreters that take a word of their own.
const WITH_WORD: &[&str] = &["-X", "-W", "-r", "--require", "--import", "--loader"];

/// What a command names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// Files that it runs, relative to the checkout. Whether they are there is not known here.
    pub(super) files: Vec<PathBuf>,
    /// Folders that it goes into.
    pub(super) folders: Vec<PathBuf>,
}

impl Named {
    /// Adds a file, as it is named in a folder and as it is named in the root: whether the command is still in the folder
    /// is not always known.
    fn add(&mut self, folder: &Path, word: &str) {
        for place in [folder, Path::new("")] {
            let path = joined(place, word).filter(|path| !path.as_os_str().is_empty() && !self.files.contains(path));
            self.files.extend(path);
        }
    }

    fn add_all<'a>(&mut self, folder: &Path, words: impl IntoIterator<Item = &'a str>) {
        for word in words {
            self.add(folder, word);
        }
    }
}

/// Returns what a gate's command names.
pub(super) fn named(command: &[String]) -> Named {
    let mut found = Named::default();
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    look(&words, &mut PathBuf::new(), &mut found);
    found
}

/// Looks at one command, which may be a shell with a text of more.
fn look(words: &[&str], folder: &mut PathBuf, found: &mut Named) {
    let words = without_prefixes(words);
    let Some((program, rest)) = words.split_first() else { return };
    let name = file_name(program);
    if program.contains('/') {
        found.add(folder, program);
    }
    match name {
        "cd" | "pushd" => go(rest, folder, found),
        "." | "source" => found.add_all(folder, rest.first().copied()),
        _ if SHELLS.contains(&name) => look_in_shell(rest, folder, found),
        _ if is_interpreter(name) => found.add_all(folder, script_of(rest)),
        _ => {}
    }
    if words.iter().any(|word| TOOLS.contains(&file_name(word))) {
        found.add_all(folder, settings_of(rest));
    }
}

fn go(rest: &[&str], folder: &mut PathBuf, found: &mut Named) {
    let to = rest.iter().find(|word| !word.starts_with('-')).and_then(|to| joined(folder, to));
    if let Some(to) = to {
        found.folders.push(to.clone());
        *folder = to;
    }
}

fn look_in_shell(rest: &[&str], folder: &Path, found: &mut Named) {
    let options = rest.iter().take_while(|word| word.starts_with('-') || word.starts_with('+')).count();
    let (options, behind) = rest.split_at(options);
    let Some(first) = behind.first() else { return };
    if options.iter().any(|option| !option.starts_with("--") && option.contains('c')) {
        // A shell inside goes back to where the outer one is.
        let mut inside = folder.to_owned();
        for command in commands(first) {
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            look(&words, &mut inside, found);
        }
    } else {
        found.add(folder, first);
    }
}

/// Returns the words of a command without what stands before it: variables, and programs that start another.
fn without_prefixes<'a, 'b>(words: &'b [&'a str]) -> &'b [&'a str] {
    let mut left = words;
    let mut is_behind_one = false;
    while let Some((first, rest)) = left.split_first() {
        let is_option = is_behind_one && (first.starts_with('-') || first.starts_with(|c: char| c.is_ascii_digit()));
        let is_one = BEFORE.contains(&file_name(first));
        if !is_one && !is_option && !is_assignment(first) {
            return left;
        }
        is_behind_one |= is_one;
        left = rest;
    }
    left
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
    })
}

fn is_interpreter(name: &str) -> bool {
    let plain = name.trim_end_matches(|character: char| character.is_ascii_digit() || character == '.');
    INTERPRETERS.contains(&plain)
}

/// Returns the file that an interpreter runs.
fn script_of<'a>(words: &[&'a str]) -> Option<&'a str> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if NO_FILE.contains(word) {
            return None;
        }
        if WITH_WORD.contains(word) {
            words.next();
        } else if !word.starts_with('-') && *word != "run" {
            return Some(*word);
        }
    }
    None
}

/// Returns the files that a test tool reads its settings from.
fn settings_of<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let mut found = Vec::new();
    for (index, word) in words.iter().enumerate() {
        if SETTINGS.contains(word) {
            found.extend(words.get(index + 1));
        } else if let Some((option, file)) = word.split_once('=')
            && SETTINGS.contains(&option)
        {
            found.push(file);
        }
    }
    found
}

fn file_name(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// Returns the path that a word means in a folder of the checkout. One that leads out of it is none.
fn joined(folder: &Path, word: &str) -> Option<PathBuf> {
    let mut path = folder.to_owned();
    for component in Path::new(word).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

/// Returns the commands of a shell's text, as far as their words stand there as they are.
fn commands(text: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(characters.next()),
            (None, ';' | '&' | '|' | '\n' | '(' | ')' | '`') => {
                end_word(&mut word, &mut commands);
                commands.push(Vec::new());
            }
            (None, _) if character.is_whitespace() => end_word(&mut word, &mut commands),
            _ => word.get_or_insert_default().push(character),
        }
    }
    end_word(&mut word, &mut commands);
    commands.retain(|command| !command.is_empty());
    commands
}

fn end_word(word: &mut Option<String>, commands: &mut [Vec<String>]) {
    if let (Some(word), Some(command)) = (word.take(), commands.last_mut()) {
        command.push(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(command: &[&str]) -> Vec<String> {
        let words: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        named(&words).files.iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn what_a_command_runs_is_found_and_what_it_reads_is_not() {
        for (command, found) in [
            (&["sh", "ci/check.sh"][..], &["ci/check.sh"][..]),
            (&["./run-tests", "--all"], &["run-tests"]),
            (&["/usr/bin/python3.12", "-X", "dev", "tools/x.py", "src/f.py"], &["tools/x.py"]),
            (&["python3", "-m", "pytest", "tests"], &[]),
            (&["python3", "-m", "pytest", "-c", "ci/pytest.cfg"], &["ci/pytest.cfg"]),
            (&["make", "--file=ci/checks.mk", "test"], &["ci/checks.mk"]),
            (&["grep", "-q", "y", "file"], &[]),
            (&["grep", "-f", "file", "other"], &[]),
            (&["node", "--require", "./hook.js", "run.js"], &["run.js"]),
            (&["env", "A=1", "timeout", "-k", "5", "60", "./t"], &["t"]),
            (&["../out"], &[]),
            (&[], &[]),
        ] {
            assert_eq!(files(command), found, "{command:?}");
        }
    }

    #[test]
    fn the_text_of_a_shell_is_read() {
        for (text, found) in [
            ("echo y > file && sh ci/check.sh", &["ci/check.sh"][..]),
            ("cd app; ./test.sh | tee log", &["app/test.sh", "test.sh"]),
            ("(cd app && ./a); 'b/it s' x", &["app/a", "a", "app/b/it s", "b/it s"]),
            ("if ! ./t; then exit 1; fi", &["t"]),
            ("out=$(bash -ec \"cd x; . ./lib.sh\")", &["x/lib.sh", "lib.sh"]),
            ("test -f sub/other && grep -q y file", &[]),
            ("FOO=1 python3 run.py", &["run.py"]),
        ] {
            assert_eq!(files(&["sh", "-c", text]), found, "{text}");
        }
        assert_eq!(named(&["sh", "-c", "cd app/sub; true"].map(str::to_owned)).folders, [PathBuf::from("app/sub")]);
    }
}
