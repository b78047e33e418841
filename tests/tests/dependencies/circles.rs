//! Finds the files of a crate that use each other in a circle.
//!
//! A file uses another one when a path in it leads to an item that the other file defines. Re-exports are followed to the
//! definition, and `mod x;` alone is no use. Calls of methods are not seen: their types are not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::sources::{Meaning, Modules, Names, modules};

/// The items that each file uses of each other one.
pub type Uses = BTreeMap<PathBuf, BTreeMap<PathBuf, BTreeSet<String>>>;

/// Returns which file uses which other one in the crate whose first file is `root`.
pub fn uses(root: &Path) -> Uses {
    let modules = modules(root);
    let mut uses = Uses::new();
    for (path, module) in &modules {
        let of_file = uses.entry(module.file.clone()).or_default();
        for names in module.paths.iter().chain(&module.globs) {
            let mut items = BTreeSet::new();
            resolve(&modules, path, names, &mut BTreeSet::new(), &mut items);
            for (file, item) in items.into_iter().filter(|(file, _)| *file != module.file) {
                of_file.entry(file).or_default().insert(item);
            }
        }
    }
    uses
}

/// Finds the items that the path `names` leads to from the module `from`, each with the file that defines it.
///
/// `followed` has the imports that led here, as module and name. None is followed twice: in `use x::x` the first `x` is
/// another crate or a module, never the import itself.
fn resolve(
    modules: &Modules,
    from: &Names,
    names: &[String],
    followed: &mut BTreeSet<(Names, String)>,
    found: &mut BTreeSet<(PathBuf, String)>,
) {
    let Some((first, rest)) = names.split_first() else { return };
    match first.as_str() {
        "crate" => return resolve(modules, &Names::new(), rest, followed, found),
        "self" => return resolve(modules, from, rest, followed, found),
        "super" => return resolve(modules, &from[..from.len().saturating_sub(1)].to_owned(), rest, followed, found),
        _ => {}
    }
    let module = &modules[from];
    let Some(meanings) = module.names.get(first) else {
        for glob in &module.globs {
            resolve(modules, from, &[glob, names].concat(), followed, found);
        }
        return;
    };
    let is_module = !rest.is_empty() && meanings.iter().any(|meaning| matches!(meaning, Meaning::Module));
    for meaning in meanings {
        match meaning {
            Meaning::Item => _ = found.insert((module.file.clone(), first.clone())),
            Meaning::Import(_) if is_module => {}
            Meaning::Import(path) if followed.insert((from.clone(), first.clone())) => {
                resolve(modules, from, &[path, rest].concat(), followed, found);
            }
            Meaning::Import(_) => {}
            Meaning::Module => {
                let inside = [&from[..], std::slice::from_ref(first)].concat();
                resolve(modules, &inside, rest, followed, found);
            }
        }
    }
}

/// Returns the circles: each is the largest set of files in which every file leads to every other one.
pub fn circles(uses: &Uses) -> Vec<BTreeSet<PathBuf>> {
    let reached: BTreeMap<_, _> = uses.keys().map(|file| (file, reached_from(uses, file))).collect();
    let circle = |file: &PathBuf| -> BTreeSet<PathBuf> {
        reached[file].iter().filter(|other| reached[*other].contains(file)).cloned().collect()
    };
    let circles: BTreeSet<_> = uses.keys().map(circle).filter(|circle| circle.len() > 1).collect();
    circles.into_iter().collect()
}

fn reached_from(uses: &Uses, file: &PathBuf) -> BTreeSet<PathBuf> {
    let mut reached = BTreeSet::new();
    let mut next = vec![file];
    while let Some(file) = next.pop() {
        next.extend(uses[file].keys().filter(|used| reached.insert((*used).clone())));
    }
    reached
}

/// Returns a text with the files of a circle, and the items of the others that each of them uses.
pub fn describe(uses: &Uses, circle: &BTreeSet<PathBuf>, folder: &Path) -> String {
    let short = |file: &Path| file.strip_prefix(folder).unwrap_or(file).display().to_string();
    let mut text = format!("a circle of {} files:\n", circle.len());
    for file in circle {
        for (used, names) in uses[file].iter().filter(|(used, _)| circle.contains(*used)) {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            writeln!(text, "  {} uses {}: {}", short(file), short(used), names.join(", ")).unwrap();
        }
    }
    text
}
