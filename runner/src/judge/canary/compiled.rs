//! Canaries for `cargo test` and `go test`, whose tests are compiled.

use super::arguments::{Arguments, Options};
use super::invocation::Invocation;
use super::names::Names;
use super::plan::{Format, Ground, Plan, among_most, folder_of, is_in, join, name_of, plain};

const CARGO: Options = Options {
    dropped: &["--all-targets", "--benches", "--bins", "--doc", "--examples", "--lib", "--quiet", "--tests", "-q"],
    dropped_with_word: &["--bench", "--bin", "--example", "--test"],
    kept_with_word: &[
        "--color",
        "--config",
        "--exclude",
        "--features",
        "--jobs",
        "--message-format",
        "--profile",
        "--target",
        "--target-dir",
        "-F",
        "-Z",
        "-j",
    ],
    // Another package has another folder of tests.
    other_work: &["--help", "--manifest-path", "--no-run", "--package", "-C", "-h", "-p"],
};

const GO: Options = Options {
    dropped: &["-failfast", "-json", "-v", "-cover", "-benchmem"],
    dropped_with_word: &[
        "-bench",
        "-benchtime",
        "-blockprofile",
        "-count",
        "-coverprofile",
        "-cpuprofile",
        "-fuzz",
        "-memprofile",
        "-mutexprofile",
        "-outputdir",
        "-run",
        "-shuffle",
        "-skip",
        "-trace",
    ],
    kept_with_word: &[
        "-asmflags",
        "-covermode",
        "-coverpkg",
        "-cpu",
        "-exec",
        "-gcflags",
        "-ldflags",
        "-mod",
        "-modfile",
        "-p",
        "-parallel",
        "-tags",
        "-timeout",
    ],
    other_work: &["-C", "-args", "-c", "-h", "-list", "-n", "-o"],
};

/// Plans a canary for `cargo test`: a file in `tests` of the package in the root.
pub(super) fn cargo(invocation: &Invocation, ground: &Ground) -> Option<Plan> {
    let Arguments { mut options, tests: _ } = Arguments::new(&invocation.arguments, &CARGO)?;
    let manifest = ground.text("Cargo.toml");
    let package = value(&manifest, "package", "name")?;
    let keeps_to_itself = value(&manifest, "package", "autotests").is_some_and(|found| found == "false");
    if keeps_to_itself || !ground.has_folder("src") {
        return None;
    }
    let name = &ground.names.file;
    options.extend(["--test".to_owned(), name.clone()]);
    let library = value(&manifest, "lib", "name").unwrap_or(package).replace('-', "_");
    let has_library = ground.files.contains("src/lib.rs");
    let text = rust_cases(ground.names, has_library.then_some(library.as_str()));
    let path = format!("tests/{name}.rs");
    Some(Plan { path, text, command: invocation.with_arguments(options), format: Format::Libtest })
}

/// Returns a plain value of a table in TOML. One that is written in another way is not found, and there is no canary.
fn value<'a>(text: &'a str, table: &str, key: &str) -> Option<&'a str> {
    let head = format!("[{table}]");
    let lines = text.lines().map(str::trim).skip_while(|line| *line != head).skip(1);
    lines.take_while(|line| !line.starts_with('[')).find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == key).then(|| value.split('#').next().unwrap_or(value).trim().trim_matches(['"', '\'']))
    })
}

/// Returns a test program that is linked with the package's library.
fn rust_cases(names: &Names, library: Option<&str>) -> String {
    let Names { passing, failing, number, file } = names;
    let other = names.other();
    let library = library.map(|library| format!("extern crate {library} as _;\n\n")).unwrap_or_default();
    // A package may ask for a text on every crate.
    format!(
        "//! {file}.\n\n{library}#[test]\nfn {passing}() {{\n    assert_eq!({number}, {number});\n}}\n\n\
         #[test]\nfn {failing}() {{\n    assert_eq!({number}, {other});\n}}\n"
    )
}

/// Plans a canary for `go test`: a file in the package that has most tests.
pub(super) fn go(invocation: &Invocation, ground: &Ground) -> Option<Plan> {
    let Arguments { mut options, tests } = Arguments::new(&invocation.arguments, &GO)?;
    let asked: Vec<(&str, bool)> = tests.iter().map(|test| package(test)).collect();
    let is_asked = |file: &&String| {
        let folder = folder_of(file);
        let is_meant = |(asked, deep): &(&str, bool)| folder == *asked || (*deep && is_in(file, asked));
        is_test(file) && if asked.is_empty() { folder.is_empty() } else { asked.iter().any(is_meant) }
    };
    // A package whose tests have a `main` of their own may run none of them where something is missing.
    let has_main = |folder: &str| ground.texts_in(folder, is_test).iter().any(|text| text.contains("func TestMain("));
    let files: Vec<&String> = ground.files.iter().filter(is_asked).collect();
    let neighbour = among_most(&files).filter(|file| !has_main(folder_of(file)))?;
    let text = ground.text(neighbour);
    let package = text.lines().find_map(|line| line.strip_prefix("package "))?.split_whitespace().next()?;
    let folder = folder_of(neighbour);
    let [passing, failing] = [&ground.names.passing, &ground.names.failing].map(|name| test_name(name));
    let place = if folder.is_empty() { ".".to_owned() } else { format!("./{folder}") };
    options.extend(["-count=1", "-v", "-run"].map(str::to_owned));
    options.extend([format!("^({passing}|{failing})$"), place]);
    Some(Plan {
        path: join(folder, &format!("{}_test.go", ground.names.file)),
        text: go_cases(package, ground.names),
        command: invocation.with_arguments(options),
        format: Format::Go,
    })
}

fn is_test(file: &str) -> bool {
    // The tool leaves out what lies in folders of these names.
    let is_left_out = |folder: &str| folder == "testdata" || folder == "vendor" || folder.starts_with(['_', '.']);
    name_of(file).ends_with("_test.go") && !folder_of(file).split('/').any(is_left_out)
}

/// Returns the folder that a pattern of packages names, and whether it means the folders in it too.
fn package(pattern: &str) -> (&str, bool) {
    match pattern.strip_suffix("...") {
        Some(folder) => (plain(folder), true),
        None => (plain(pattern), false),
    }
}

/// Returns the name of a test in Go: `TestAdds_1f`.
pub(super) fn test_name(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    format!("Test{}{rest}", first.to_ascii_uppercase())
}

fn go_cases(package: &str, names: &Names) -> String {
    let (number, other) = (names.number, names.other());
    let case = |name: &str, right: u32| {
        let name = test_name(name);
        format!(
            "\nfunc {name}(t *testing.T) {{\n\tleft, right := {number}, {right}\n\tif left != right {{\n\t\t\
             t.Fatalf(\"got %d, want %d\", left, right)\n\t}}\n}}\n"
        )
    };
    format!("package {package}\n\nimport \"testing\"\n{}{}", case(&names.passing, number), case(&names.failing, other))
}
