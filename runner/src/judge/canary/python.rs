//! Canaries for `pytest` and `python -m unittest`.

use serde_json::Value;

use super::arguments::{Arguments, Options};
use super::imports;
use super::invocation::Invocation;
use super::names::Names;
use super::plan::{Format, Ground, Plan, among_most, folder_of, is_in, join, name_of, plain};

const PYTEST: Options = Options {
    // What a run before this one has left in its cache chooses no tests here.
    dropped: &["--lf", "--last-failed", "--ff", "--failed-first", "--nf", "--new-first", "--sw", "--stepwise"],
    dropped_with_word: &["-k", "-m", "--deselect", "--junit-xml", "--junitxml", "--maxfail"],
    kept_with_word: &[
        "-c",
        "-n",
        "-o",
        "-p",
        "-r",
        "-W",
        "--assert",
        "--basetemp",
        "--capture",
        "--color",
        "--config-file",
        "--confcutdir",
        "--cov-config",
        "--cov-report",
        "--cov-fail-under",
        "--dist",
        "--ds",
        "--durations",
        "--ignore",
        "--ignore-glob",
        "--import-mode",
        "--log-cli-level",
        "--log-file",
        "--log-level",
        "--numprocesses",
        "--override-ini",
        "--pythonwarnings",
        "--reruns",
        "--rootdir",
        "--show-capture",
        "--tb",
        "--timeout",
        "--timeout-method",
        "--verbosity",
    ],
    other_work: &[
        "--co",
        "--collect-only",
        "--fixtures",
        "--funcargs",
        "--help",
        "--markers",
        "--pyargs",
        "--setup-only",
        "--setup-plan",
        "--suppress-no-test-exit-code",
        "--suppress-tests-failed-exit-code",
        "--version",
        "-h",
    ],
};

const UNITTEST: Options = Options {
    dropped: &["-f", "--failfast", "-q", "--quiet"],
    dropped_with_word: &["-k", "-p", "--pattern"],
    kept_with_word: &["-s", "--start-directory", "-t", "--top-level-directory", "--durations"],
    other_work: &["-h", "--help"],
};

/// Plans a canary for `pytest`.
pub(super) fn pytest(invocation: &Invocation, ground: &Ground) -> Option<Plan> {
    let Arguments { mut options, tests } = Arguments::new(&invocation.arguments, &PYTEST)?;
    let asked: Vec<&str> = tests.iter().map(|test| plain(test.split("::").next().unwrap_or(test))).collect();
    let is_asked = |file: &&String| {
        asked.contains(&file.as_str())
            || (is_test(file) && (asked.is_empty() || asked.iter().any(|folder| is_in(file, folder))))
    };
    let neighbour = among_most(&ground.files.iter().filter(is_asked).collect::<Vec<_>>())?;
    let folder = folder_of(neighbour);
    let path = join(folder, &file_name(neighbour, ground.names));
    // The last of each option counts, so these hold against the settings of the repository too.
    options.extend(["--maxfail=0", "-k", "", "-m", ""].map(str::to_owned));
    options.extend([format!("--junit-xml={}", ground.report), path.clone()]);
    let text = format!("{}\n{}", loads(ground, folder), pytest_cases(ground.names));
    Some(Plan { path, text, command: invocation.with_arguments(options), format: Format::Junit })
}

/// Plans a canary for `python -m unittest`.
pub(super) fn unittest(invocation: &Invocation, ground: &Ground) -> Option<Plan> {
    let Arguments { options, tests } = Arguments::new(&invocation.arguments, &UNITTEST)?;
    let (folder, arguments, name) = match tests.first() {
        Some(test) if test != "discover" => {
            let folder = folder_of_test(test, ground)?;
            let name = format!("test_{}.py", ground.names.file);
            let module = join(&folder, name.trim_end_matches(".py")).replace('/', ".");
            (folder, [options, vec![module]].concat(), name)
        }
        _ => {
            let positions = tests.get(1..).unwrap_or_default();
            let neighbour = discovered(&options, positions, ground)?;
            let name = file_name(&neighbour, ground.names);
            let words = discovery(options, positions, &name);
            (folder_of(&neighbour).to_owned(), words, name)
        }
    };
    let path = join(&folder, &name);
    let text = format!("{}\n{}", loads(ground, &folder), unittest_cases(ground.names));
    let command = invocation.with_arguments([arguments, vec!["-v".to_owned()]].concat());
    Some(Plan { path, text, command, format: Format::Unittest })
}

/// Returns whether a file is one that both programs take for tests by themselves.
fn is_test(file: &str) -> bool {
    let name = name_of(file);
    name.strip_suffix(".py").is_some_and(|stem| stem.starts_with("test") || stem.ends_with("_test"))
}

/// Returns a name like that of a neighbour.
fn file_name(neighbour: &str, names: &Names) -> String {
    if name_of(neighbour).ends_with("_test.py") {
        format!("{}_test.py", names.file)
    } else {
        format!("test_{}.py", names.file)
    }
}

/// Returns the folder of a test that is named by its file, or by module, class and method.
fn folder_of_test(test: &str, ground: &Ground) -> Option<String> {
    if ground.files.contains(plain(test)) {
        return Some(folder_of(plain(test)).to_owned());
    }
    let parts: Vec<&str> = test.split('.').collect();
    let path = |count: usize| parts[..count].join("/");
    (1..=parts.len()).rev().map(path).find_map(|path| {
        if ground.files.contains(&format!("{path}.py")) {
            return Some(folder_of(&path).to_owned());
        }
        ground.files.contains(&format!("{path}/__init__.py")).then_some(path)
    })
}

/// Returns the test file that discovery finds and that a canary is laid beside.
fn discovered(options: &[String], positions: &[String], ground: &Ground) -> Option<String> {
    let is_joined = |word: &String| word.len() > 2 && (word.starts_with("-s") || word.starts_with("-t"));
    if options.iter().any(is_joined) {
        return None;
    }
    let behind = |names: [&str; 2]| {
        let place = options.iter().position(|word| names.contains(&word.split('=').next().unwrap_or(word)))?;
        options[place].split_once('=').map(|(_, value)| value).or_else(|| options.get(place + 1).map(String::as_str))
    };
    let start = behind(["-s", "--start-directory"]).or_else(|| positions.first().map(String::as_str)).unwrap_or(".");
    let start =
        [plain(start).to_owned(), start.replace('.', "/")].into_iter().find(|start| ground.has_folder(start))?;
    // Discovery goes into packages alone.
    let is_package = |folder: &str| ground.files.contains(&join(folder, "__init__.py"));
    let is_found = |file: &&String| {
        let mut folder = folder_of(file);
        while folder != start && is_in(folder, &start) && is_package(folder) {
            folder = folder_of(folder);
        }
        is_test(file) && folder == start
    };
    let found = among_most(&ground.files.iter().filter(is_found).collect::<Vec<_>>())?;
    // A package may say by itself which tests it has.
    let mut folder = folder_of(found);
    loop {
        if ground.text(&join(folder, "__init__.py")).contains("load_tests") {
            return None;
        }
        if folder.is_empty() {
            return Some(found.clone());
        }
        folder = folder_of(folder);
    }
}

/// Returns the arguments with which discovery finds one file.
fn discovery(options: Vec<String>, positions: &[String], name: &str) -> Vec<String> {
    let mut words = vec!["discover".to_owned()];
    words.extend(options);
    for (option, place) in [("-s", 0), ("-t", 2)] {
        if let Some(value) = positions.get(place) {
            words.extend([option.to_owned(), value.clone()]);
        }
    }
    words.extend(["-p".to_owned(), name.to_owned()]);
    words
}

/// Returns lines that load what the tests of a folder load. What cannot be loaded is no matter of the canary.
fn loads(ground: &Ground, folder: &str) -> String {
    let lines = Value::from(imports::of_python(&ground.texts_in(folder, is_test)));
    format!(
        "import unittest\n\nfor _line in {lines}:\n    try:\n        exec(_line, {{\"__name__\": __name__, \
         \"__package__\": __package__}})\n    except BaseException:\n        pass\n"
    )
}

fn pytest_cases(names: &Names) -> String {
    let (number, other) = (names.number, names.other());
    let Names { passing, failing, .. } = names;
    // An interpreter that optimizes leaves out every assertion.
    format!(
        "\ndef test_{passing}():\n    left, right = {number}, {number}\n    assert left == right\n\n\n\
         def test_{failing}():\n    left, right = {number}, {other}\n    if not __debug__:\n        \
         raise AssertionError(\"the numbers differ\")\n    assert left == right\n"
    )
}

fn unittest_cases(names: &Names) -> String {
    let (number, other) = (names.number, names.other());
    let Names { passing, failing, file, .. } = names;
    format!(
        "\nclass Test_{file}(unittest.TestCase):\n    def test_{passing}(self):\n        \
         self.assertEqual({number}, {number})\n\n    def test_{failing}(self):\n        \
         self.assertEqual({number}, {other})\n"
    )
}
