//! The rules on what each crate may depend on, and on the size of files. They keep decisions apart from effects: a crate
//! that cannot reach a clock or a client cannot be tempted to use one. Inside a crate, files that use each other in a circle
//! can only be read, tested and moved together.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails as the test does")]

#[path = "dependencies/circle_tests.rs"]
mod circle_tests;
#[path = "dependencies/circles.rs"]
mod circles;
#[path = "dependencies/sources.rs"]
mod sources;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// The most lines of code in a file: lines that are neither empty nor only a comment.
const MOST_LINES: usize = 400;

/// What a crate that decides must not even name: time, chance and the environment are its arguments.
const IMPURE: [&str; 12] = [
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "std::env",
    "env::var",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::io",
    "RandomState",
];

/// Crates that draw random numbers.
const CHANCE: [&str; 5] = ["rand", "getrandom", "fastrand", "oorandom", "ahash"];

/// Crates that do I/O or run what does.
const EFFECTS: [&str; 9] =
    ["tokio", "kube_client", "kube_runtime", "hyper", "reqwest", "sqlx", "rusqlite", "mio", "async_std"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn metadata() -> Metadata {
    let manifest = root().join("Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap()
}

fn package<'a>(metadata: &'a Metadata, name: &str) -> &'a Package {
    metadata.workspace_packages().into_iter().find(|package| package.name.as_str() == name).unwrap()
}

/// Returns the members of the workspace that a member depends on directly, other than for its tests.
fn members_used_by(metadata: &Metadata, name: &str) -> BTreeSet<String> {
    let members: BTreeSet<_> = metadata.workspace_packages().iter().map(|member| member.name.to_string()).collect();
    package(metadata, name)
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind != DependencyKind::Development)
        .map(|dependency| dependency.name.clone())
        .filter(|dependency| members.contains(dependency))
        .collect()
}

/// Returns everything that is compiled into a crate when it is built alone.
///
/// `cargo metadata` joins the features that all members ask for, so it would see the client that the operator asks of
/// `kube` in every crate that uses `kube` for its derive macro. `cargo tree` resolves one crate at a time.
fn compiled_into(name: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["tree", "--offline", "--package", name, "--edges", "normal", "--prefix", "none"])
        .args(["--format", "{lib}"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let crates = String::from_utf8(output.stdout).unwrap();
    let crates: BTreeSet<_> =
        crates.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).filter(|line| !line.is_empty()).collect();
    assert!(crates.len() > 1, "cargo tree says that {name} has no dependencies");
    crates
}

#[track_caller]
fn assert_never(name: &str, forbidden: &[&str]) {
    let compiled = compiled_into(name);
    let found: Vec<_> = forbidden.iter().filter(|crate_name| compiled.contains(**crate_name)).collect();
    assert!(found.is_empty(), "{name} must never depend on {found:?}");
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Returns the lines of a source that are neither empty nor only a comment.
fn code(source: &str) -> impl Iterator<Item = &str> {
    source.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"))
}

#[test]
fn the_api_has_no_client_no_runtime_and_no_other_member() {
    assert_never("manyworlds-api", &["kube_client", "kube_runtime", "tokio", "hyper", "reqwest", "sqlx"]);
    assert_eq!(members_used_by(&metadata(), "manyworlds-api"), BTreeSet::new());
}

#[test]
fn the_planner_has_no_client_no_runtime_and_no_chance() {
    assert_never("manyworlds-planner", &[&CHANCE[..], &EFFECTS[..]].concat());
    let members = members_used_by(&metadata(), "manyworlds-planner");
    assert_eq!(members, ["manyworlds-api", "manyworlds-metering"].map(str::to_owned).into());
}

#[test]
fn metering_has_no_client_no_runtime_and_no_chance() {
    assert_never("manyworlds-metering", &[&CHANCE[..], &EFFECTS[..]].concat());
    assert_eq!(members_used_by(&metadata(), "manyworlds-metering"), ["manyworlds-api".to_owned()].into());
}

#[test]
fn nothing_outside_the_operator_depends_on_something_inside_it() {
    let metadata = metadata();
    let is_inside = |package: &Package| package.manifest_path.starts_with(root().join("operator").to_str().unwrap());
    let inside: BTreeSet<_> = metadata
        .workspace_packages()
        .into_iter()
        .filter(|package| is_inside(package))
        .map(|package| package.name.to_string())
        .collect();
    assert!(inside.contains("manyworlds-operator") && inside.contains("manyworlds-planner"), "{inside:?}");
    for package in metadata.workspace_packages().into_iter().filter(|package| !is_inside(package)) {
        let used: Vec<_> = package.dependencies.iter().filter(|used| inside.contains(&used.name)).collect();
        assert!(used.is_empty(), "{} depends on {used:?}", package.name);
    }
}

#[test]
fn what_decides_reads_no_clock_no_environment_and_no_file() {
    let mut files = Vec::new();
    sources(&root().join("operator/planner/src"), &mut files);
    sources(&root().join("metering/src"), &mut files);
    assert!(!files.is_empty());
    for file in files {
        let source = fs::read_to_string(&file).unwrap();
        for line in code(&source) {
            let found: Vec<_> = IMPURE.iter().filter(|word| line.contains(**word)).collect();
            assert!(found.is_empty(), "{}: {found:?} in: {line}", file.display());
        }
    }
}

#[test]
fn telemetry_has_no_other_member() {
    assert_eq!(members_used_by(&metadata(), "manyworlds-telemetry"), BTreeSet::new());
}

#[test]
fn masking_has_no_other_member_and_does_nothing_but_mask() {
    assert_eq!(members_used_by(&metadata(), "manyworlds-masking"), BTreeSet::new());
    assert_never("manyworlds-masking", &["tokio", "tracing", "reqwest", "hyper", "sqlx"]);
}

#[test]
fn the_listener_knows_nothing_of_what_it_serves() {
    let used = members_used_by(&metadata(), "manyworlds-listener");
    assert!(used.is_empty(), "{used:?}");
}

#[test]
fn what_all_tests_share_has_no_other_member() {
    let metadata = metadata();
    let used = &package(&metadata, "manyworlds-test-support").dependencies;
    assert!(used.iter().all(|used| used.path.is_none()), "{used:?}");
}

#[test]
fn tests_see_the_operator_only_from_outside() {
    let metadata = metadata();
    for name in ["manyworlds-tests", "manyworlds-bench"] {
        let used = members_used_by(&metadata, name);
        let inner: Vec<_> = ["manyworlds-operator", "manyworlds-planner", "manyworlds-telemetry", "manyworlds-runner"]
            .into_iter()
            .filter(|member| used.contains(*member))
            .collect();
        assert!(inner.is_empty(), "{name} depends on {inner:?}");
    }
}

#[test]
fn the_runner_has_no_client() {
    assert_never("manyworlds-runner", &["kube_client", "kube_runtime"]);
}

#[test]
fn the_gateway_knows_no_kubernetes() {
    assert_never("manyworlds-gateway", &["kube_client", "kube_runtime"]);
}

#[test]
fn the_ledger_knows_no_kubernetes_and_calls_nobody() {
    assert_never("manyworlds-ledger", &["kube_client", "kube_runtime", "reqwest", "hyper", "axum"]);
}

/// A panic in one call is to end no other (docs/decisions/0011), so what is released must unwind as the tests do.
#[test]
fn what_is_released_unwinds() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let (_, release) = manifest.split_once("[profile.release]").unwrap();
    assert!(release.lines().any(|line| line == "panic = \"unwind\""), "{release}");
}

#[test]
fn no_file_is_longer_than_a_person_can_hold_in_mind() {
    let mut files = Vec::new();
    sources(&root(), &mut files);
    assert!(files.iter().any(|file| file.ends_with("tests/tests/dependencies.rs")), "this file was not looked at");
    let long: Vec<_> = files
        .into_iter()
        .map(|file| (code(&fs::read_to_string(&file).unwrap()).count(), file))
        .filter(|(lines, _)| *lines > MOST_LINES)
        .collect();
    assert!(long.is_empty(), "divide what has more than {MOST_LINES} lines of code: {long:#?}");
}

/// Describes the circles between the files of a crate.
fn circles_of(package: &Package) -> Vec<String> {
    let folder = package.manifest_path.parent().unwrap().as_std_path();
    let programs = package.targets.iter().filter(|target| target.is_lib() || target.is_bin());
    programs
        .flat_map(|target| {
            let uses = circles::uses(target.src_path.as_std_path());
            let found = circles::circles(&uses);
            found.into_iter().map(move |circle| circles::describe(&uses, &circle, folder)).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn no_files_of_a_crate_use_each_other_in_a_circle() {
    for package in metadata().workspace_packages() {
        let (name, found) = (package.name.as_str(), circles_of(package));
        assert!(found.is_empty(), "{name} has {}", found.join("\nand "));
    }
}
