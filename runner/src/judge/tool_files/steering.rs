//! The parts of a file that steer tests, held to the base while the rest of the file is the change's.
//!
//! A manifest names dependencies too, and a change may need a new one; so it is not put back whole.

use std::collections::BTreeSet;

use serde_json::Value;

use super::document::Document;
use super::ini::Ini;
use super::json::Json;
use super::lines::words_that_differ;
use super::toml::Toml;

/// A kind of file of which only parts steer tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mixed {
    /// `package.json`.
    Package,
    /// `package.json` of a package that the base does not have. Its scripts are nobody's yet.
    NewPackage,
    /// `pyproject.toml`.
    PyProject,
    /// `setup.cfg`.
    SetupCfg,
    /// `Cargo.toml`.
    Cargo,
    /// A file whose lines with these words may steer tests. It is left as it is, and a person decides.
    Lines(&'static [&'static str]),
}

/// What was done about a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// It steers tests as the base does.
    Unchanged,
    /// It is the change's but for these parts, which are the base's.
    Restored { text: String, parts: Vec<String> },
    /// It may steer tests otherwise, in these parts, and was left so.
    Noticed { parts: Vec<&'static str> },
    /// It cannot be held in parts.
    Unreadable,
}

/// A part of a file.
struct Part {
    /// The names that lead to it. A last one that ends with `*` stands for all that begin so.
    path: &'static [&'static str],
    rule: Rule,
}

/// What a part has to be.
#[derive(Clone, Copy)]
enum Rule {
    /// What it is in the base.
    Same,
    /// A list that has every entry of the base's. More entries mean more tests; one with `!` takes some away.
    Grows,
    /// A list of tables, of which these fields are what they are in the base.
    Fields(&'static [&'static str]),
}

const fn same(path: &'static [&'static str]) -> Part {
    Part { path, rule: Rule::Same }
}

/// The parts of `package.json` that steer how files beside it are read, whoever starts the tests.
const NEW_PACKAGE: &[Part] = &[
    same(&["jest"]),
    same(&["vitest"]),
    same(&["mocha"]),
    same(&["ava"]),
    same(&["tap"]),
    same(&["babel"]),
    same(&["nyc"]),
];

/// The further parts of a `package.json` that the base has.
const PACKAGE: &[Part] =
    &[same(&["scripts"]), same(&["packageManager"]), Part { path: &["workspaces"], rule: Rule::Grows }, same(&["c8"])];

/// The parts of `pyproject.toml`.
const PYPROJECT: &[Part] = &[
    same(&["tool", "pytest*"]),
    same(&["tool", "tox"]),
    same(&["tool", "nox"]),
    same(&["tool", "coverage"]),
    same(&["tool", "poe"]),
    same(&["tool", "taskipy"]),
    same(&["tool", "hatch", "envs"]),
    same(&["tool", "pdm", "scripts"]),
    same(&["tool", "poetry", "plugins", "pytest11"]),
    same(&["project", "entry-points", "pytest11"]),
];

/// The parts of `setup.cfg`.
const SETUP_CFG: &[Part] = &[
    same(&["tool:pytest*"]),
    same(&["pytest*"]),
    same(&["tox*"]),
    same(&["coverage:*"]),
    same(&["aliases"]),
    same(&["options.entry_points", "pytest11"]),
];

/// Fields of a target of cargo that decide whether and how it is tested.
const TARGET_FIELDS: &[&str] = &["test", "harness", "doctest"];

/// The parts of `Cargo.toml`.
const CARGO: &[Part] = &[
    same(&["profile"]),
    same(&["patch"]),
    same(&["replace"]),
    same(&["test"]),
    same(&["package", "build"]),
    same(&["package", "autotests"]),
    same(&["lib", "test"]),
    same(&["lib", "harness"]),
    same(&["lib", "doctest"]),
    Part { path: &["bin"], rule: Rule::Fields(TARGET_FIELDS) },
    Part { path: &["workspace", "members"], rule: Rule::Grows },
    same(&["workspace", "exclude"]),
    same(&["workspace", "default-members"]),
];

/// Decides about a file of parts.
///
/// - **Guarantees:** what is restored steers tests as the base does: it is read again before it is handed out.
pub(super) fn steering_parts_restored(kind: Mixed, base: &[u8], candidate: &[u8]) -> Held {
    let (Ok(base), Ok(candidate)) = (str::from_utf8(base), str::from_utf8(candidate)) else { return Held::Unreadable };
    match kind {
        Mixed::Package => held::<Json>(&[PACKAGE, NEW_PACKAGE], object(base), object(candidate)),
        Mixed::NewPackage => held::<Json>(&[NEW_PACKAGE], object(base), object(candidate)),
        Mixed::PyProject => held::<Toml>(&[PYPROJECT], base, candidate),
        Mixed::SetupCfg => held::<Ini>(&[SETUP_CFG], base, candidate),
        Mixed::Cargo => held::<Toml>(&[CARGO], base, candidate),
        Mixed::Lines(words) => match words_that_differ(words, base, candidate) {
            parts if parts.is_empty() => Held::Unchanged,
            parts => Held::Noticed { parts },
        },
    }
}

/// A file that is not there steers nothing; as JSON it is an object without members.
fn object(text: &str) -> &str {
    if text.is_empty() { "{}" } else { text }
}

fn held<D: Document>(parts: &[&[Part]], base: &str, candidate: &str) -> Held {
    let (Some(base), Some(mut file)) = (D::read(base), D::read(candidate)) else { return Held::Unreadable };
    let broken = differing(parts, &base.value(), &file.value());
    if broken.is_empty() {
        return Held::Unchanged;
    }
    for path in &broken {
        file.take(path, &base);
    }
    let text = file.text();
    let is_held = D::read(&text).is_some_and(|read| differing(parts, &base.value(), &read.value()).is_empty());
    if is_held {
        Held::Restored { text, parts: broken.iter().map(|path| path.join(".")).collect() }
    } else {
        Held::Unreadable
    }
}

/// Returns the paths of the parts that are not what they have to be.
fn differing(parts: &[&[Part]], base: &Value, candidate: &Value) -> Vec<Vec<String>> {
    parts
        .iter()
        .copied()
        .flatten()
        .flat_map(|part| paths(part.path, base, candidate).into_iter().map(move |path| (path, part.rule)))
        .filter(|(path, rule)| rule_is_broken(*rule, at(base, path), at(candidate, path)))
        .map(|(path, _)| path)
        .collect()
}

/// Returns the paths that a part stands for in two files.
fn paths(path: &[&str], base: &Value, candidate: &Value) -> Vec<Vec<String>> {
    let Some((last, parents)) = path.split_last() else { return Vec::new() };
    let parents: Vec<String> = parents.iter().map(|name| (*name).to_owned()).collect();
    let names: BTreeSet<String> = match last.strip_suffix('*') {
        Some(beginning) => {
            let tables = [base, candidate].into_iter().filter_map(|file| at(file, &parents)?.as_object());
            tables.flat_map(serde_json::Map::keys).filter(|name| name.starts_with(beginning)).cloned().collect()
        }
        None => BTreeSet::from([(*last).to_owned()]),
    };
    names.into_iter().map(|name| [parents.clone(), vec![name]].concat()).collect()
}

fn at<'a>(file: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(file, |value, name| value.get(name))
}

fn rule_is_broken(rule: Rule, base: Option<&Value>, candidate: Option<&Value>) -> bool {
    match rule {
        Rule::Same => base != candidate,
        Rule::Grows => match (entries(base), entries(candidate)) {
            (Some(base), Some(candidate)) => {
                let takes_away = |entry: &&Value| entry.as_str().is_some_and(|pattern| pattern.starts_with('!'));
                base.iter().any(|entry| !candidate.contains(entry))
                    || candidate.iter().filter(takes_away).any(|entry| !base.contains(entry))
            }
            _ => base != candidate,
        },
        Rule::Fields(fields) => fields_of(fields, base) != fields_of(fields, candidate),
    }
}

/// Returns the entries of a list; none for a list that is not there, and nothing for what is no list.
fn entries(value: Option<&Value>) -> Option<&[Value]> {
    match value {
        None => Some(&[]),
        Some(value) => value.as_array().map(Vec::as_slice),
    }
}

/// Returns the entries of a list that have one of the fields, with their names and those fields.
fn fields_of<'a>(fields: &[&str], value: Option<&'a Value>) -> Vec<Vec<Option<&'a Value>>> {
    let entries = value.and_then(Value::as_array).into_iter().flatten();
    let with_fields = entries.filter(|entry| fields.iter().any(|field| entry.get(field).is_some()));
    with_fields.map(|entry| std::iter::once(&"name").chain(fields).map(|field| entry.get(field)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asserts what becomes of a file, and that what is restored is not touched again.
    #[track_caller]
    fn restored(kind: Mixed, base: &str, candidate: &str) -> (String, Vec<String>) {
        let held = steering_parts_restored(kind, base.as_bytes(), candidate.as_bytes());
        let Held::Restored { text, parts } = held else { panic!("{held:?}") };
        let again = steering_parts_restored(kind, base.as_bytes(), text.as_bytes());
        assert_eq!(again, Held::Unchanged, "{text}");
        (text, parts)
    }

    #[test]
    fn a_new_dependency_leaves_the_file_as_it_is() {
        for (kind, base, candidate) in [
            (
                Mixed::Package,
                r#"{"scripts": {"test": "jest"}, "workspaces": ["a"]}"#,
                "{\"workspaces\":[\"a\",\"b\"],\n\t\"scripts\":{\"test\":\"jest\"},\"dependencies\":{\"x\":\"1\"}}",
            ),
            (
                Mixed::PyProject,
                "[project]\ndependencies = []\n[tool.pytest.ini_options]\naddopts = '-q'\n",
                "[project]\ndependencies = ['x']  # new\n[tool]\npytest = {ini_options = {addopts = \"-q\"}}\n",
            ),
            (
                Mixed::Cargo,
                "[package]\nname = 'x'\n[workspace]\nmembers = ['a']\n[[bin]]\nname = 'x'\ntest = false\n",
                "[package]\nname='x'\nversion='2'\n[workspace]\nmembers=['a','b']\n[[bin]]\nname='x'\ntest=false\n[[bin]]\nname='y'\n[dependencies]\ny='1'\n",
            ),
            (
                Mixed::SetupCfg,
                "[options]\ninstall_requires =\n  a\n[tool:pytest]\naddopts = -q\n",
                "[tool:pytest]\n# why\naddopts = -q\n\n[options]\ninstall_requires =\n  a\n  b\n",
            ),
            (Mixed::NewPackage, "", r#"{"name": "b", "scripts": {"test": "jest"}}"#),
            (Mixed::Lines(&["surefire"]), "<a/>", "<dependency>junit</dependency>"),
        ] {
            let held = steering_parts_restored(kind, base.as_bytes(), candidate.as_bytes());
            assert_eq!(held, Held::Unchanged, "{kind:?}");
        }
    }

    #[test]
    fn parts_that_steer_tests_are_the_bases_and_the_rest_is_the_changes() {
        let package = r#"{"scripts": {"test": "jest"}, "workspaces": ["a", "b"]}"#;
        let cargo = "[package]\nname = 'x'\n";
        for (kind, base, candidate, part, kept) in [
            (
                Mixed::Package,
                package,
                r#"{"scripts": {"test": "true"}, "workspaces": ["a", "b"], "x": 1}"#,
                "scripts",
                "\"x\": 1",
            ),
            (
                Mixed::Package,
                package,
                r#"{"scripts": {"test": "jest a"}, "workspaces": ["a", "b"]}"#,
                "scripts",
                "workspaces",
            ),
            (Mixed::Package, package, r#"{"workspaces": ["a"], "scripts": {"test": "jest"}}"#, "workspaces", "scripts"),
            (
                Mixed::Package,
                package,
                r#"{"workspaces": ["a", "b", "!b"], "scripts": {"test": "jest"}}"#,
                "workspaces",
                "",
            ),
            (Mixed::Package, "{}", r#"{"jest": {"testMatch": []}, "y": 2}"#, "jest", "\"y\": 2"),
            (Mixed::NewPackage, "", r#"{"scripts": {"a": "b"}, "jest": {"rootDir": "x"}}"#, "jest", "scripts"),
            (
                Mixed::PyProject,
                "",
                "[tool.pytest.ini_options]\naddopts = '--co'\n[project]\nname = 'x'\n",
                "tool.pytest",
                "name = 'x'",
            ),
            (Mixed::PyProject, "", "[project.entry-points.pytest11]\nx = 'x'\n", "project.entry-points.pytest11", ""),
            (Mixed::PyProject, "[tool.tox]\na = 1\n", "[project]\nname = 'x'\n", "tool.tox", "name = 'x'"),
            (Mixed::SetupCfg, "", "[aliases]\ntest = x\n[options]\nzip_safe = no\n", "aliases", "zip_safe"),
            (Mixed::Cargo, cargo, "[package]\nname = 'x'\nautotests = false\n", "package.autotests", "name = 'x'"),
            (Mixed::Cargo, cargo, "[package]\nname = 'x'\nbuild = 'b.rs'\n", "package.build", "name = 'x'"),
            (Mixed::Cargo, cargo, "[package]\nname = 'x'\n[lib]\ntest = false\n", "lib.test", "[lib]"),
            (Mixed::Cargo, cargo, "[package]\nname = 'x'\n[[bin]]\nname = 'x'\nharness = false\n", "bin", "name = 'x'"),
            (
                Mixed::Cargo,
                cargo,
                "[package]\nname = 'x'\n[[test]]\nname = 't'\npath = 'none.rs'\n",
                "test",
                "name = 'x'",
            ),
            (Mixed::Cargo, cargo, "[package]\nname = 'x'\n[profile.test]\npanic = 'abort'\n", "profile", "name = 'x'"),
            (
                Mixed::Cargo,
                cargo,
                "[package]\nname = 'x'\n[patch.crates-io]\na = {path = 'a'}\n",
                "patch",
                "name = 'x'",
            ),
            (
                Mixed::Cargo,
                "[workspace]\nmembers = ['a', 'b']\n",
                "[workspace]\nmembers = ['a']\n",
                "workspace.members",
                "",
            ),
        ] {
            let (text, parts) = restored(kind, base, candidate);
            assert_eq!(parts, [part], "{candidate}");
            assert!(text.contains(kept), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_and_what_cannot_be_put_back_is_noticed() {
        for (kind, base, candidate) in [
            (Mixed::Package, "{}", "{"),
            (Mixed::Package, "// a\n{}", "{}"),
            (Mixed::Cargo, "", "[package"),
            (Mixed::SetupCfg, "", "[a]\nb =\n  [tool:pytest]\n"),
        ] {
            let held = steering_parts_restored(kind, base.as_bytes(), candidate.as_bytes());
            assert_eq!(held, Held::Unreadable, "{candidate}");
        }
        assert_eq!(steering_parts_restored(Mixed::Cargo, b"", b"\xff"), Held::Unreadable);
        let pom = steering_parts_restored(Mixed::Lines(&["skip", "surefire"]), b"", b"<skip>true</skip>");
        assert_eq!(pom, Held::Noticed { parts: vec!["skip"] });
    }
}
