//! Canaries for `jest`, `vitest` and `node --test`.

use serde_json::Value;

use super::arguments::{Arguments, Options};
use super::imports::{Loading, of_javascript};
use super::invocation::Invocation;
use super::names::Names;
use super::plan::{Format, Ground, Plan, among_most, folder_of, is_in, join, name_of, plain};

const JEST: Options = Options {
    dropped: &[
        "--bail",
        "--collectCoverage",
        "--coverage",
        "--findRelatedTests",
        "--json",
        "--lastCommit",
        "--onlyChanged",
        "--onlyFailures",
        "--passWithNoTests",
        "--runTestsByPath",
        "--silent",
        "-b",
        "-f",
        "-o",
    ],
    dropped_with_word: &[
        "--changedSince",
        "--outputFile",
        "--reporters",
        "--shard",
        "--testNamePattern",
        "--testPathPattern",
        "--testPathPatterns",
        "-t",
    ],
    kept_with_word: &[
        "--config",
        "--env",
        "--maxWorkers",
        "--rootDir",
        "--selectProjects",
        "--testTimeout",
        "-c",
        "-w",
    ],
    other_work: &["--help", "--init", "--listTests", "--showConfig", "--version", "--watch", "--watchAll", "-h"],
};

const VITEST: Options = Options {
    dropped: &["--coverage", "--passWithNoTests", "--silent", "--ui"],
    dropped_with_word: &["--bail", "--changed", "--outputFile", "--reporter", "--shard", "--testNamePattern", "-t"],
    kept_with_word: &["--config", "--dir", "--environment", "--mode", "--pool", "--project", "--root", "-c", "-r"],
    other_work: &["--help", "--version", "--watch", "-h", "-w"],
};

const NODE: Options = Options {
    dropped: &["--experimental-test-coverage", "--test-force-exit", "--test-only", "--watch"],
    dropped_with_word: &[
        "--test-name-pattern",
        "--test-reporter",
        "--test-reporter-destination",
        "--test-shard",
        "--test-skip-pattern",
    ],
    kept_with_word: &["--conditions", "--env-file", "--import", "--loader", "--require", "--test-timeout", "-C", "-r"],
    other_work: &["--check", "--eval", "--help", "--print", "--version", "-c", "-e", "-h", "-p"],
};

/// The words that ask `vitest` for one run of the tests.
const VITEST_RUNS: &[&str] = &["run", "dev", "watch"];

/// Plans a canary for `jest`.
pub(super) fn jest(invocation: &Invocation, ground: &Ground) -> Option<Plan> {
    let Arguments { mut options, tests } = Arguments::new(&invocation.arguments, &JEST)?;
    let neighbour = neighbour(&tests, ground, is_test)?;
    let path = join(folder_of(neighbour), &file_name(neighbour, ground.names));
    options.extend(["--passWithNoTests=false", "--coverage=false", "--json"].map(str::to_owned));
    options.extend([format!("--outputFile={}", ground.report), "--runTestsByPath".to_owned(), path.clone()]);
    let text = expecting_cases(ground, neighbour, "");
    Some(Plan { path, text, command: invocation.with_arguments(options), format: Format::Json })
}

/// Plans a canary for `vitest`.
pub(super) fn vitest(invocation: &Invocation, ground: &Ground) -> Option<Plan> {
    let Arguments { mut options, mut tests } = Arguments::new(&invocation.arguments, &VITEST)?;
    if ["bench", "init", "list", "related", "typecheck"]
        .iter()
        .any(|word| tests.first().is_some_and(|test| test == word))
    {
        return None;
    }
    if tests.first().is_some_and(|test| VITEST_RUNS.contains(&test.as_str())) {
        tests.remove(0);
    }
    let neighbour = neighbour(&tests, ground, is_test)?;
    let path = join(folder_of(neighbour), &file_name(neighbour, ground.names));
    options.insert(0, "run".to_owned());
    options.extend(["--no-passWithNoTests", "--coverage.enabled=false", "--reporter=json"].map(str::to_owned));
    options.extend([format!("--outputFile={}", ground.report), path.clone()]);
    let text = expecting_cases(ground, neighbour, "import { beforeAll, expect, test } from \"vitest\";\n");
    Some(Plan { path, text, command: invocation.with_arguments(options), format: Format::Json })
}

/// Plans a canary for `node --test`.
pub(super) fn node(invocation: &Invocation, ground: &Ground) -> Option<Plan> {
    let Arguments { mut options, tests } = Arguments::new(&invocation.arguments, &NODE)?;
    let neighbour = neighbour(&tests, ground, is_node_test)?;
    let path = join(folder_of(neighbour), &file_name(neighbour, ground.names));
    options.extend(["--test-reporter=tap".to_owned(), path.clone()]);
    let text = node_cases(ground, neighbour);
    Some(Plan { path, text, command: invocation.with_arguments(options), format: Format::Tap })
}

/// The ends of the names of scripts.
const SCRIPTS: &[&str] = &[".js", ".cjs", ".mjs", ".jsx", ".ts", ".cts", ".mts", ".tsx"];

fn is_script(file: &str) -> bool {
    SCRIPTS.iter().any(|end| file.ends_with(end))
}

fn is_below(file: &str, name: &str) -> bool {
    folder_of(file).split('/').any(|folder| folder == name)
}

/// Returns whether a file is one that `jest` or `vitest` takes for tests by itself.
fn is_test(file: &str) -> bool {
    let name = name_of(file);
    is_script(file) && (name.contains(".test.") || name.contains(".spec.") || is_below(file, "__tests__"))
}

/// Returns whether a file is one that `node` takes for tests by itself.
fn is_node_test(file: &str) -> bool {
    let stem = name_of(file).rsplit_once('.').map_or("", |(stem, _)| stem);
    let is_named = stem == "test"
        || stem.starts_with("test-")
        || [".test", "-test", "_test"].iter().any(|end| stem.ends_with(end));
    is_script(file) && (is_named || is_below(file, "test"))
}

/// Returns the test file that a canary is laid beside. The words name files, folders or parts of their names.
fn neighbour<'a>(tests: &[String], ground: &Ground<'a>, is_test: fn(&str) -> bool) -> Option<&'a String> {
    let asked: Vec<&str> = tests.iter().map(|test| plain(test)).collect();
    let is_asked = |file: &&String| {
        asked.contains(&file.as_str())
            || (is_test(file)
                && (asked.is_empty() || asked.iter().any(|part| is_in(file, part) || file.contains(part))))
    };
    among_most(&ground.files.iter().filter(is_asked).collect::<Vec<_>>())
}

/// Returns a name like that of a neighbour: what stands before its first dot is another.
fn file_name(neighbour: &str, names: &Names) -> String {
    let behind = name_of(neighbour).split_once('.').map_or("js", |(_, behind)| behind);
    format!("{}.{behind}", names.file)
}

/// Returns cases that use `test` and `expect`, as `jest` and `vitest` have them.
fn expecting_cases(ground: &Ground, neighbour: &str, head: &str) -> String {
    let Names { passing, failing, number, .. } = ground.names;
    let other = ground.names.other();
    let loads = of_javascript(&ground.texts_in(folder_of(neighbour), is_test)).into_iter().map(|(loading, module)| {
        let module = Value::from(module);
        match loading {
            Loading::Import => format!("  try {{ await import({module}); }} catch {{}}\n"),
            Loading::Require => format!("  try {{ require({module}); }} catch {{}}\n"),
        }
    });
    let loads = loads.collect::<Vec<_>>().concat();
    format!(
        "{head}\nbeforeAll(async () => {{\n{loads}}}, 60000);\n\ntest(\"{passing}\", () => {{\n  \
         expect({number}).toBe({number});\n}});\n\ntest(\"{failing}\", () => {{\n  expect({number}).toBe({other});\n}});\n"
    )
}

/// Returns cases for `node --test`, in the kind of module that the neighbour is.
fn node_cases(ground: &Ground, neighbour: &str) -> String {
    let Names { passing, failing, number, .. } = ground.names;
    let other = ground.names.other();
    let is_module = ground.text(neighbour).lines().any(|line| line.starts_with("import "));
    let head = if is_module {
        "import { test } from \"node:test\";\nimport assert from \"node:assert\";\n"
    } else {
        "const { test } = require(\"node:test\");\nconst assert = require(\"node:assert\");\n"
    };
    let loads = of_javascript(&ground.texts_in(folder_of(neighbour), is_node_test)).into_iter().map(|(_, module)| {
        let module = Value::from(module);
        if is_module {
            format!("try {{ await import({module}); }} catch {{}}\n")
        } else {
            format!("try {{ require({module}); }} catch {{}}\n")
        }
    });
    let loads = loads.collect::<Vec<_>>().concat();
    format!(
        "{head}\n{loads}\ntest(\"{passing}\", () => {{\n  assert.strictEqual({number}, {number});\n}});\n\n\
         test(\"{failing}\", () => {{\n  assert.strictEqual({number}, {other});\n}});\n"
    )
}
