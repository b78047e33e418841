//! Finds the test program in a gate's command.

use super::plan::name_of;
use super::words::{assignment, text_of, words_of};

/// Programs that run the words behind them as a command.
const WRAPPERS: &[&str] = &[
    "env", "exec", "command", "nice", "nohup", "time", "timeout", "xvfb-run", "uv", "uvx", "poetry", "pipenv", "pdm",
    "hatch", "rye", "npx", "pnpx", "bunx", "pnpm", "yarn",
];
/// Words of such programs that stand between them and the command.
const SUBCOMMANDS: &[&str] = &["run", "exec", "dlx", "tool"];
/// Options of such programs that have a word of their own behind them.
const WITH_WORD: &[&str] = &["--with", "--extra", "--group", "--python", "--from", "--package", "--env-file", "-u"];
/// Options of such programs that lead into another folder, in which the names of files mean something else.
const ELSEWHERE: &[&str] = &["--directory", "--project", "--cwd", "--dir", "--prefix", "-C", "--chdir"];
/// Options of `python` and of `coverage run` that have a word of their own behind them.
const INTERPRETER_WITH_WORD: &[&str] =
    &["-X", "-W", "--source", "--rcfile", "--include", "--omit", "--data-file", "--context", "--concurrency"];
/// Shells whose text can be taken apart.
const SHELLS: &[&str] = &["sh", "bash", "dash", "ash", "zsh"];

/// A test program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    /// `pytest`.
    Pytest,
    /// `python -m unittest`.
    Unittest,
    /// `cargo test`.
    Cargo,
    /// `go test`.
    Go,
    /// `jest`.
    Jest,
    /// `vitest`.
    Vitest,
    /// `node --test`.
    Node,
}

/// A command, taken apart around its test program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invocation {
    /// The test program.
    pub(super) tool: Tool,
    /// The words behind it.
    pub(super) arguments: Vec<String>,
    /// The words up to it.
    head: Vec<String>,
    /// The shell that runs them, where one does.
    shell: Option<Shell>,
}

/// A shell around a command.
#[derive(Debug, PartialEq, Eq)]
struct Shell {
    before: Vec<String>,
    behind: Vec<String>,
}

impl Invocation {
    /// Takes a command apart; nothing where no test program is known in it.
    pub(super) fn find(command: &[String]) -> Option<Self> {
        let (shell, words) = match in_shell(command) {
            Some((shell, text)) => (Some(shell), words_of(text)?),
            None => (None, command.to_vec()),
        };
        let (tool, index) = find_tool(&words)?;
        let arguments = words[index + 1..].to_vec();
        Some(Self { tool, arguments, head: words[..=index].to_vec(), shell })
    }

    /// Returns the command with other words behind the test program.
    pub(super) fn with_arguments(&self, arguments: Vec<String>) -> Vec<String> {
        let words = [self.head.clone(), arguments].concat();
        match &self.shell {
            Some(Shell { before, behind }) => [before.clone(), vec![text_of(&words)], behind.clone()].concat(),
            None => words,
        }
    }
}

/// Returns the text that a shell runs, and what stands around it.
fn in_shell(command: &[String]) -> Option<(Shell, &str)> {
    let (program, rest) = command.split_first()?;
    if !SHELLS.contains(&name_of(program)) {
        return None;
    }
    let takes_text = |word: &String| word.starts_with('-') && !word.starts_with("--") && word.contains('c');
    let place = rest.iter().take_while(|word| word.starts_with('-')).position(takes_text)? + 2;
    let text = command.get(place)?;
    let shell = Shell { before: command[..place].to_vec(), behind: command[place + 1..].to_vec() };
    Some((shell, text))
}

/// Returns the test program and its place among the words.
fn find_tool(words: &[String]) -> Option<(Tool, usize)> {
    let mut place = 0;
    // Options and numbers belong to a program that was seen before them.
    let mut is_wrapped = false;
    loop {
        let word = words.get(place)?.as_str();
        match name_of(word) {
            "pytest" | "py.test" => return Some((Tool::Pytest, place)),
            "jest" => return Some((Tool::Jest, place)),
            "vitest" => return Some((Tool::Vitest, place)),
            "cargo" => return subcommand(words, place, &["test", "t"]).map(|place| (Tool::Cargo, place)),
            "go" => return subcommand(words, place, &["test"]).map(|place| (Tool::Go, place)),
            "node" => return node_test(words, place).map(|place| (Tool::Node, place)),
            "coverage" if words.get(place + 1).is_some_and(|word| word == "run") => return module(words, place + 2),
            name if is_python(name) => return module(words, place + 1),
            name if WRAPPERS.contains(&name) => is_wrapped = true,
            _ if assignment(word).is_some() => {}
            _ if is_wrapped && ELSEWHERE.iter().any(|option| word.split('=').next() == Some(*option)) => return None,
            _ if is_wrapped && WITH_WORD.contains(&word) => place += 1,
            name if is_wrapped && SUBCOMMANDS.contains(&name) => {}
            _ if is_wrapped && word.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => {}
            _ => return None,
        }
        place += 1;
    }
}

fn is_python(name: &str) -> bool {
    name.strip_prefix("python").is_some_and(|version| version.chars().all(|part| part.is_ascii_digit() || part == '.'))
}

/// Returns the test program that is run as a module, from the words behind an interpreter.
fn module(words: &[String], start: usize) -> Option<(Tool, usize)> {
    let mut place = start;
    loop {
        let word = words.get(place)?.as_str();
        if word == "-m" {
            break;
        }
        if INTERPRETER_WITH_WORD.contains(&word) {
            place += 1;
        } else if !word.starts_with('-') {
            return None;
        }
        place += 1;
    }
    match words.get(place + 1)?.as_str() {
        "pytest" => Some((Tool::Pytest, place + 1)),
        "unittest" => Some((Tool::Unittest, place + 1)),
        "coverage" if words.get(place + 2)? == "run" => module(words, place + 3),
        _ => None,
    }
}

/// Returns the place of a subcommand, with nothing but options and a toolchain before it.
fn subcommand(words: &[String], program: usize, names: &[&str]) -> Option<usize> {
    let behind = words.get(program + 1..)?;
    let place = behind.iter().position(|word| !word.starts_with('-') && !word.starts_with('+'))?;
    names.contains(&behind[place].as_str()).then_some(program + 1 + place)
}

/// Returns the place of `node` where it is started as a test program.
fn node_test(words: &[String], program: usize) -> Option<usize> {
    words[program + 1..].iter().any(|word| word == "--test").then_some(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_test_program_is_found_behind_what_starts_it() {
        for (command, tool, arguments) in [
            ("pytest -q tests", Tool::Pytest, "-q tests"),
            ("/venv/bin/py.test", Tool::Pytest, ""),
            ("python3.12 -X dev -m pytest a.py", Tool::Pytest, "a.py"),
            ("python3 -m coverage run --source src -m pytest a.py", Tool::Pytest, "a.py"),
            ("coverage run -m unittest", Tool::Unittest, ""),
            ("env A=1 timeout -k 5 60 uv run --with pytest python -m unittest discover", Tool::Unittest, "discover"),
            ("poetry run pytest x", Tool::Pytest, "x"),
            ("npx --yes jest a", Tool::Jest, "a"),
            ("pnpm exec vitest run", Tool::Vitest, "run"),
            ("node --import tsx --test a.js", Tool::Node, "--import tsx --test a.js"),
            ("cargo +nightly --locked test --all", Tool::Cargo, "--all"),
            ("go test ./...", Tool::Go, "./..."),
        ] {
            let found = Invocation::find(&words(command)).unwrap();
            assert_eq!((found.tool, found.arguments.join(" ").as_str()), (tool, arguments), "{command}");
            assert_eq!(found.with_arguments(found.arguments.clone()), words(command), "{command}");
        }
    }

    #[test]
    fn what_is_no_known_test_program_is_left_alone() {
        for command in [
            "make test",
            "npm test",
            "echo pytest",
            "docker run image pytest",
            "python3 pytest.py",
            "python3 -m build",
            "node run.js",
            "cargo build",
            "go vet ./...",
            "go -C app test ./...",
            "uv run --directory app pytest",
            "env",
        ] {
            assert_eq!(Invocation::find(&words(command)), None, "{command}");
        }
    }

    #[test]
    fn the_shell_around_a_command_stays() {
        let command = ["bash", "-ec", "A='x y' pytest -q tests", "name"].map(str::to_owned);
        let found = Invocation::find(&command).unwrap();
        assert_eq!((found.tool, &found.arguments[..]), (Tool::Pytest, &["-q", "tests"].map(str::to_owned)[..]));
        let changed = found.with_arguments(vec!["-k".to_owned(), String::new(), "a b.py".to_owned()]);
        assert_eq!(changed, ["bash", "-ec", "A='x y' pytest -k '' 'a b.py'", "name"]);
        let several = ["sh", "-c", "cd app && pytest"].map(str::to_owned);
        assert_eq!(Invocation::find(&several), None);
    }
}
