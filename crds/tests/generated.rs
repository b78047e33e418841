//! The generated files are what the types say.

use std::fs;
use std::path::Path;

use manyworlds_api::generate::{GeneratedFile, files};

const HOW: &str = "run `cargo run -p manyworlds-api --bin generate` and commit the result";

fn committed(path: &str) -> Option<String> {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).ok()
}

#[test]
fn the_committed_files_are_what_the_types_say() {
    for GeneratedFile { path, content } in files().unwrap() {
        let found = committed(path).unwrap_or_else(|| panic!("{path} is missing; {HOW}"));
        assert!(found == content, "{path} is not what the types say; {HOW}");
    }
}

#[test]
fn no_file_is_left_over_from_a_type_that_is_gone() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let expected: Vec<_> = files().unwrap().into_iter().map(|file| folder.join(file.path)).collect();
    for directory in [folder.to_owned(), folder.join("schemas")] {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let generated = path.extension().is_some_and(|extension| extension == "yaml" || extension == "json");
            assert!(!generated || expected.contains(&path), "{} is made by no type; remove it", path.display());
        }
    }
}
