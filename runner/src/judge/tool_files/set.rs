//! Decides which files of a change are tool files, and how much of each is held.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use globset::{GlobSet, GlobSetBuilder};
use manyworlds_api::conditions::Reason;
use manyworlds_api::result::FailureClass;
use manyworlds_api::work_order::Gate;

use super::names::{
    ENVIRONMENTS, INSTALLED, MAY_BE_BUILT, MODULE_ENDINGS, NEVER_BUILT, PLUGIN_PREFIX, STANDARD_MODULES, TOOL_MODULES,
};
use super::programs;
use super::steering::Mixed;
use crate::judge::inspection::RawChange;
use crate::judge::patterns::{Letters, glob};
use crate::stage::StageError;

/// Words in lines of Maven's files that steer tests.
const MAVEN_WORDS: &[&str] = &[
    "skip",
    "skipTests",
    "skipITs",
    "surefire",
    "failsafe",
    "testFailureIgnore",
    "exclude",
    "excludes",
    "include",
    "includes",
    "groups",
    "excludedGroups",
    "testSourceDirectory",
];
/// Words in lines of Gradle's files that steer tests.
const GRADLE_WORDS: &[&str] = &[
    "test",
    "Test",
    "exclude",
    "excludes",
    "excludeTags",
    "excludeTestsMatching",
    "filter",
    "ignoreFailures",
    "enabled",
    "onlyIf",
    "useJUnitPlatform",
];
/// Words in lines of `setup.py` that steer tests.
const SETUP_WORDS: &[&str] = &["pytest11", "cmdclass", "test_suite", "aliases"];
/// Words in lines of `go.mod` that steer tests: a module in the place of another.
const GO_WORDS: &[&str] = &["=>", "toolchain"];
/// Words in lines of TypeScript's settings that steer tests.
const TYPESCRIPT_WORDS: &[&str] = &["exclude", "include", "files", "paths", "baseUrl"];

/// The tool files of an order.
#[derive(Clone, Debug)]
pub(in crate::judge) struct ToolFileSet {
    whole: GlobSet,
    never_built: GlobSet,
    /// Files that gates run, each with the name of its gate.
    programs: Vec<(String, PathBuf)>,
    /// Folders in which gates start programs.
    starts: HashSet<PathBuf>,
    /// Every file of the base.
    base: BTreeSet<PathBuf>,
}

/// What is held of a changed file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Hold<'a> {
    /// All of it.
    Whole,
    /// The parts that steer tests.
    Parts(Mixed),
    /// Nothing: the base has no such file, and this gate runs it.
    ProgramOf(&'a str),
}

impl ToolFileSet {
    /// Makes the set for gates and the files of their base.
    pub(in crate::judge) fn new(gates: &[Gate], base: BTreeSet<PathBuf>) -> Result<Self, StageError> {
        let mut programs = Vec::new();
        // The checkout itself is one: gates start in it.
        let mut starts = HashSet::from([PathBuf::new()]);
        for gate in gates {
            let named = programs::named(&gate.command);
            programs.extend(named.files.into_iter().map(|file| (gate.name.clone(), file)));
            starts.extend(named.folders);
        }
        let whole = globs(NEVER_BUILT.iter().chain(MAY_BE_BUILT))?;
        Ok(Self { whole, never_built: globs(NEVER_BUILT)?, programs, starts, base })
    }

    /// Returns whether a file of the base is held whole.
    pub(in crate::judge) fn holds_whole(&self, path: &Path) -> bool {
        self.whole.is_match(path) || self.is_program(path) || self.is_build_script(path)
    }

    /// Returns whether a file steers the gates that come after the one that adds it.
    pub(in crate::judge) fn steers_once_added(&self, path: &Path) -> bool {
        let is_installed = path.iter().any(|name| INSTALLED.iter().any(|folder| name == OsStr::new(folder)));
        !is_installed && !self.base.contains(path) && (self.never_built.is_match(path) || self.shadows(path))
    }

    /// Decides about a changed file.
    pub(super) fn hold(&self, change: &RawChange) -> Option<Hold<'_>> {
        let path = &change.path;
        let is_new = !change.before.is_there();
        // A link may have the name of a module as the folder that it leads to does.
        let is_in_front = self.shadows(path) || change.after.is_link() && self.shadows(&path.join("__init__.py"));
        if self.holds_whole(path) || is_new && (is_in_front || self.is_environment(path)) {
            return Some(Hold::Whole);
        }
        if let Some((gate, _)) = self.programs.iter().find(|(_, program)| is_new && program == path) {
            return Some(Hold::ProgramOf(gate));
        }
        mixed(path, is_new).map(Hold::Parts)
    }

    /// Returns whether a gate runs a file that the base has.
    fn is_program(&self, path: &Path) -> bool {
        self.programs.iter().any(|(_, program)| program == path) && self.base.contains(path)
    }

    /// Returns whether cargo runs a file while it builds a package of the base.
    fn is_build_script(&self, path: &Path) -> bool {
        path.file_name() == Some(OsStr::new("build.rs")) && self.base.contains(&path.with_file_name("Cargo.toml"))
    }

    /// Returns whether a new file stands in front of a module of the tools, where gates start Python.
    fn shadows(&self, path: &Path) -> bool {
        self.starts.iter().filter_map(|start| path.strip_prefix(start).ok()).any(is_module_of_tools)
    }

    /// Returns whether a file lies in an environment that the base does not have.
    fn is_environment(&self, path: &Path) -> bool {
        let first =
            path.iter().next().map(Path::new).filter(|first| ENVIRONMENTS.iter().any(|name| *first == Path::new(name)));
        first.is_some_and(|first| {
            let mut beside = self.base.range::<Path, _>((Bound::Included(first), Bound::Unbounded));
            beside.next().is_none_or(|file| !file.starts_with(first))
        })
    }
}

/// Returns whether a path in the folder that Python starts in is that of a module of the tools or the standard library.
fn is_module_of_tools(path: &Path) -> bool {
    let parts: Option<Vec<&str>> = path.iter().map(OsStr::to_str).collect();
    let (module, file) = match parts.as_deref() {
        Some([file]) => (file.split('.').next().unwrap_or(file), *file),
        Some([module, file]) if file.starts_with("__init__.") => (*module, *file),
        _ => return false,
    };
    let is_module = file.rsplit_once('.').is_some_and(|(_, ending)| MODULE_ENDINGS.contains(&ending));
    let is_of_tools = TOOL_MODULES.contains(&module) || STANDARD_MODULES.split_whitespace().any(|name| name == module);
    is_module && (is_of_tools || module.starts_with(PLUGIN_PREFIX))
}

/// Returns the kind of a file of which only parts steer tests.
fn mixed(path: &Path, is_new: bool) -> Option<Mixed> {
    let is_inside = path.parent().is_some_and(|folder| !folder.as_os_str().is_empty());
    match path.file_name()?.to_str()? {
        "package.json" if is_new && is_inside => Some(Mixed::NewPackage),
        "package.json" => Some(Mixed::Package),
        "pyproject.toml" => Some(Mixed::PyProject),
        "setup.cfg" => Some(Mixed::SetupCfg),
        "Cargo.toml" => Some(Mixed::Cargo),
        "pom.xml" => Some(Mixed::Lines(MAVEN_WORDS)),
        "build.gradle" | "build.gradle.kts" => Some(Mixed::Lines(GRADLE_WORDS)),
        "setup.py" => Some(Mixed::Lines(SETUP_WORDS)),
        "go.mod" => Some(Mixed::Lines(GO_WORDS)),
        "tsconfig.json" => Some(Mixed::Lines(TYPESCRIPT_WORDS)),
        _ => None,
    }
}

fn globs<'a>(patterns: impl IntoIterator<Item = &'a &'a str>) -> Result<GlobSet, StageError> {
    let refused = |error: globset::Error| {
        let message = format!("the patterns of tool files cannot be read: {error}");
        StageError::new(FailureClass::Infrastructure, Reason::Unexpected, message)
    };
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(glob(pattern, Letters::Alike).map_err(refused)?);
    }
    set.build().map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::inspection::raw_changes;

    const BASE: &[&str] = &["Cargo.toml", "build.rs", "ci/check.sh", "queue.py", "src/build.rs", "f.py"];

    fn set() -> ToolFileSet {
        let gate: Gate = serde_json::from_value(serde_json::json!({
            "name": "look", "kind": "Custom", "points": 100, "command": ["sh", "-c", "sh ci/check.sh && cd app && ./added"],
        }))
        .unwrap();
        ToolFileSet::new(&[gate], BASE.iter().map(PathBuf::from).collect()).unwrap()
    }

    fn change(path: &str, mode: &str) -> RawChange {
        let before = if BASE.contains(&path) { "100644" } else { "000000" };
        let raw = format!(":{before} {mode} {} {} M\0{path}\0", "1".repeat(40), "2".repeat(40));
        raw_changes(raw.as_bytes()).remove(0)
    }

    #[test]
    fn each_way_to_steer_the_tools_is_held() {
        let set = set();
        for path in [
            "conftest.py",
            "tests/deep/conftest.py",
            "pytest.ini",
            "sub/tox.ini",
            "sitecustomize.py",
            "x.pth",
            "build.rs",
            ".cargo/config.toml",
            "sub/.cargo/config",
            "rust-toolchain",
            ".npmrc",
            ".yarnrc.yml",
            "jest.config.ts",
            "web/vite.config.js",
            "Makefile",
            "makefile",
            "sub/GNUmakefile",
            "justfile",
            ".github/workflows/a.yml",
            "gradlew.bat",
            "gradle/wrapper/gradle-wrapper.jar",
            ".mvn/extensions.xml",
            "ci/check.sh",
            "pytest.py",
            "pytest/__init__.py",
            "_pytest/__init__.pyc",
            "pluggy.cpython-313-x86_64-linux-gnu.so",
            "app/pytest.py",
            "unittest/__init__.py",
            "json.py",
            "pytest_evil.py",
            "node_modules/jest/index.js",
            ".venv/bin/pytest",
            "a/node_modules/.bin/jest",
        ] {
            assert_eq!(set.hold(&change(path, "100644")), Some(Hold::Whole), "{path}");
        }
        assert_eq!(set.hold(&change("pytest", "120000")), Some(Hold::Whole));
        assert_eq!(set.hold(&change("app/added", "100755")), Some(Hold::ProgramOf("look")));
        for (path, kind) in [
            ("package.json", Mixed::Package),
            ("new/package.json", Mixed::NewPackage),
            ("Cargo.toml", Mixed::Cargo),
            ("sub/pom.xml", Mixed::Lines(MAVEN_WORDS)),
        ] {
            assert_eq!(set.hold(&change(path, "100644")), Some(Hold::Parts(kind)), "{path}");
        }
    }

    #[test]
    fn what_steers_no_tool_is_the_changes() {
        let set = set();
        for path in [
            "f.py",
            "queue.py",
            "src/build.rs",
            "src/json.py",
            "tests/test_x.py",
            "test/__init__.py",
            "operator/main.go",
            "pytest/readme.md",
            "docs/Makefile.md",
            "ci/other.sh",
            "README.md",
            "package-lock.json",
            "tests/unittest/a.py",
        ] {
            assert_eq!(set.hold(&change(path, "100644")), None, "{path}");
        }
    }

    #[test]
    fn what_a_gate_builds_stays_and_what_would_steer_the_next_gate_does_not() {
        let set = set();
        for (path, steers) in [
            ("conftest.py", true),
            ("pytest.py", true),
            ("queue.py", false),
            ("Makefile", false),
            ("venv/lib/python3/site-packages/numpy/conftest.py", false),
            ("node_modules/a/babel.config.js", false),
        ] {
            assert_eq!(set.steers_once_added(Path::new(path)), steers, "{path}");
        }
    }
}
