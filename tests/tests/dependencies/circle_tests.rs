//! What counts as a use between files, shown with crates of a few lines.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::circles::{circles, uses};

/// Writes a crate of these files, and returns the circles between them.
fn circles_of(files: &[(&str, &str)]) -> Vec<BTreeSet<String>> {
    let folder = TempDir::new().unwrap();
    for (name, source) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, source).unwrap();
    }
    let short = |file: PathBuf| file.strip_prefix(folder.path()).unwrap().display().to_string();
    let found = circles(&uses(&folder.path().join("lib.rs")));
    found.into_iter().map(|circle| circle.into_iter().map(short).collect()).collect()
}

fn one(files: [&str; 2]) -> Vec<BTreeSet<String>> {
    vec![files.map(str::to_owned).into()]
}

#[test]
fn two_files_that_use_each_other_are_a_circle() {
    let found = circles_of(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::B; pub struct A(B);"),
        ("b.rs", "pub struct B; fn f() -> super::a::A { todo!() }"),
    ]);
    assert_eq!(found, one(["a.rs", "b.rs"]));
}

#[test]
fn a_parent_and_its_child_are_a_circle_when_each_uses_items_of_the_other() {
    let child = ("a/child.rs", "use super::Shared; pub fn child(_: Shared) {}");
    let using =
        [("lib.rs", "mod a;"), ("a/mod.rs", "mod child; pub struct Shared; fn f() { child::child(Shared) }"), child];
    assert_eq!(circles_of(&using), one(["a/child.rs", "a/mod.rs"]));
    let declaring = [("lib.rs", "mod a;"), ("a/mod.rs", "mod child; pub struct Shared;"), child];
    assert_eq!(circles_of(&declaring), [], "to declare a module is not to use it");
}

#[test]
fn a_re_export_is_followed_to_the_definition() {
    let files = |in_b| {
        circles_of(&[
            ("lib.rs", "mod a; mod b; pub use a::A;"),
            ("a.rs", "use crate::b::b; pub struct A; fn f() { b() }"),
            ("b.rs", in_b),
        ])
    };
    assert_eq!(files("use crate::A as Other; pub fn b() { let _: Other; }"), one(["a.rs", "b.rs"]));
    assert_eq!(files("pub fn b() {}"), []);
}

#[test]
fn paths_in_macros_attributes_and_functions_count() {
    for in_b in
        ["f(format!(\"{}\", crate::a::A))", "#[serde(with = \"crate::a::A\")] let x = 1;", "use crate::a; a::A;"]
    {
        let b = format!("pub struct B; fn b() {{ {in_b} }}");
        let found =
            circles_of(&[("lib.rs", "mod a; mod b;"), ("a.rs", "pub struct A; type T = crate::b::B;"), ("b.rs", &b)]);
        assert_eq!(found, one(["a.rs", "b.rs"]), "{in_b}");
    }
}

#[test]
fn what_is_only_for_tests_does_not_count() {
    let found = circles_of(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::B; pub struct A(B); #[cfg(test)] mod tests { use crate::b::C; }"),
        ("b.rs", "pub struct B; #[cfg(test)] use crate::a::A; impl B { #[cfg(test)] fn f(_: crate::a::A) {} }"),
    ]);
    assert_eq!(found, []);
}

#[test]
fn a_name_that_is_a_module_and_a_function_is_both() {
    let found = circles_of(&[
        ("lib.rs", "mod a; mod run; use run::run; fn f() { run() }"),
        ("a.rs", "pub struct A; fn f() { crate::run::run() }"),
        ("run.rs", "use serde::serde; pub fn run() { crate::a::A; serde() }"),
    ]);
    assert_eq!(found, one(["a.rs", "run.rs"]));
}
