//! The history behind the Worlds: the base commit with all that leads to it, and the tags that point into it. It travels
//! from the pod that fetched it to those that judge as a bundle of git.

use std::path::Path;

use manyworlds_api::conditions::Reason;
use manyworlds_api::result::FailureClass;

use crate::git::{Git, GitError, SHALLOW_FILE, input, make_repository};
use crate::stage::StageError;

/// Name under which a mirror keeps the base.
pub(crate) const BASE: &str = "refs/manyworlds/base";
/// Name under which a bundle carries the file that says where an incomplete history begins. A bundle has no other place for it.
const BEGINNING: &str = "refs/manyworlds/shallow";

/// Keeps the tags of the base's history alone: a fetch of something newer may have brought others, and all Worlds of an
/// order see the same.
pub(crate) fn keep_tags(mirror: &Path, base: &str) -> Result<(), StageError> {
    let others = format!("--no-merged={base}");
    let deletions = Git::new(mirror, ["for-each-ref", &others, "--format=delete %(refname)", "refs/tags"]).run()?;
    update_references(mirror, &deletions)
}

/// Gives a repository that has the mirror behind it the mirror's tags.
pub(crate) fn copy_tags(mirror: &Path, repository: &Path) -> Result<(), StageError> {
    let format = "--format=update %(refname) %(objectname)";
    let updates = Git::new(mirror, ["for-each-ref", format, "refs/tags"]).run()?;
    update_references(repository, &updates)
}

/// Makes all of the changes that git reads from its input, or none.
fn update_references(repository: &Path, changes: &[u8]) -> Result<(), StageError> {
    if changes.is_empty() {
        return Ok(());
    }
    // One call for all of them: a repository may have thousands of tags.
    Git::new(repository, ["update-ref", "--stdin"]).with_input(input(repository, changes)?).run()?;
    Ok(())
}

/// Writes the base of a mirror, its history and its tags into a file.
pub(crate) fn bundle(mirror: &Path, base: &str, file: &Path) -> Result<(), StageError> {
    // What was fetched under this name may be a tag, and not the commit itself.
    Git::new(mirror, ["update-ref", BASE, base]).run()?;
    let file = file.display().to_string();
    let mut words = vec!["bundle", "create", "--quiet", &file, BASE, "--tags"];
    if mirror.join(SHALLOW_FILE).exists() {
        let object = Git::new(mirror, ["hash-object", "-w", "--no-filters", SHALLOW_FILE]).line()?;
        Git::new(mirror, ["update-ref", BEGINNING, &object]).run()?;
        words.push(BEGINNING);
    }
    Git::new(mirror, words).run()?;
    Ok(())
}

/// Makes a mirror from the file that [`bundle`] has written.
///
/// - **Guarantees:** the mirror's base is the given commit. Names of objects are their digests, so everything in its
///   history is what it was.
///
/// # Errors
///
/// [`StageError`] with class `Evaluation` when the file is no bundle or has another base: every try would find the same.
pub(crate) fn unbundle(mirror: &Path, file: &Path, base: &str) -> Result<(), StageError> {
    make_repository(mirror, mirror, mirror, ["--bare", "."])?;
    let file = file.display().to_string();
    let fetch = |references: &[&str]| {
        let words = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--end-of-options", file.as_str()];
        Git::new(mirror, words.iter().chain(references)).run().map_err(unreadable)
    };
    let beginning = Git::new(mirror, ["bundle", "list-heads", &file, BEGINNING]).run().map_err(unreadable)?;
    if !beginning.is_empty() {
        // It has to be known before the rest: git asks what it fetches for its whole history.
        let reference = format!("+{BEGINNING}:{BEGINNING}");
        fetch(&[reference.as_str()])?;
        let beginning = Git::new(mirror, ["cat-file", "blob", BEGINNING]).run()?;
        let path = mirror.join(SHALLOW_FILE);
        std::fs::write(&path, beginning).map_err(|error| StageError::file(&path, &error))?;
    }
    let reference = format!("+{BASE}:{BASE}");
    fetch(&[reference.as_str(), "+refs/tags/*:refs/tags/*"])?;
    let commit = format!("{BASE}^{{commit}}");
    let found = Git::new(mirror, ["rev-parse", "--verify", "--end-of-options", &commit]).line().map_err(unreadable)?;
    if found == base { Ok(()) } else { Err(faulty(&format!("it holds {found}, and the Worlds started from {base}"))) }
}

fn unreadable(error: GitError) -> StageError {
    match error {
        GitError::NotRun(error) => error,
        GitError::Failed { said, .. } => faulty(&said),
    }
}

fn faulty(why: &str) -> StageError {
    let message = format!("the base that was stored for the order cannot be used: {why}; make the order anew");
    StageError::new(FailureClass::Evaluation, Reason::EvaluationFailed, message)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    /// Makes a repository with commits `1`, `2` and `3`, an annotated tag of each, and a commit beside them with a tag, too.
    fn repository() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str]| Git::new(folder.path(), arguments).run().unwrap();
        git(&["init", "--quiet", "--initial-branch=main", "."]);
        for number in ["1", "2", "3"] {
            git(&["commit", "--quiet", "--allow-empty", "-m", number]);
            git(&["tag", "-a", "-m", number, &format!("v{number}")]);
        }
        git(&["checkout", "--quiet", "-b", "beside", "main~1"]);
        git(&["commit", "--quiet", "--allow-empty", "-m", "beside"]);
        git(&["tag", "-a", "-m", "beside", "foreign"]);
        folder
    }

    fn line(folder: &Path, arguments: &[&str]) -> String {
        Git::new(folder, arguments).line().unwrap()
    }

    /// Returns a mirror of everything that a repository has.
    fn mirror(repository: &Path) -> TempDir {
        let mirror = tempfile::tempdir().unwrap();
        let path = mirror.path();
        make_repository(path, path, path, ["--bare", "."]).unwrap();
        let url = format!("file://{}", repository.display());
        let words =
            ["fetch", "--quiet", "--update-shallow", &url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
        Git::new(path, words).run().unwrap();
        mirror
    }

    /// Carries the base of a mirror over to another.
    fn carried(from: &Path, base: &str) -> TempDir {
        let (folder, file) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
        bundle(from, base, file.path()).unwrap();
        unbundle(folder.path(), file.path(), base).unwrap();
        folder
    }

    #[test]
    fn the_base_comes_with_its_history_and_its_tags_and_no_others() {
        let repository = repository();
        let from = mirror(repository.path());
        let base = line(from.path(), &["rev-parse", "main~1"]);
        keep_tags(from.path(), &base).unwrap();
        let to = carried(from.path(), &base);
        assert_eq!(line(to.path(), &["rev-list", "--count", BASE]), "2");
        assert_eq!(
            line(to.path(), &["for-each-ref", "--format=%(refname)", "refs/tags"]),
            "refs/tags/v1\nrefs/tags/v2"
        );
        let own = tempfile::tempdir().unwrap();
        make_repository(own.path(), to.path(), &own.path().join(".git"), ["."]).unwrap();
        copy_tags(to.path(), own.path()).unwrap();
        assert_eq!(line(own.path(), &["describe", "--tags", &base]), "v2");
    }

    #[test]
    fn a_history_that_begins_in_its_middle_is_carried_as_it_is() {
        let repository = repository();
        let shallow = tempfile::tempdir().unwrap();
        let url = format!("file://{}", repository.path().display());
        Git::new(shallow.path(), ["clone", "--quiet", "--depth=2", "--branch=main", &url, "."]).run().unwrap();
        let from = mirror(shallow.path());
        let base = line(from.path(), &["rev-parse", "main"]);
        let to = carried(from.path(), &base);
        assert_eq!(line(to.path(), &["rev-list", "--count", BASE]), "2");
        let own = tempfile::tempdir().unwrap();
        make_repository(own.path(), to.path(), &own.path().join(".git"), ["."]).unwrap();
        assert_eq!(line(own.path(), &["rev-list", "--count", &base]), "2");
    }

    #[test]
    fn a_bundle_with_another_commit_and_a_file_that_is_none_are_refused() {
        let from = mirror(repository().path());
        let (base, other) = (line(from.path(), &["rev-parse", "main"]), line(from.path(), &["rev-parse", "beside"]));
        let file = tempfile::NamedTempFile::new().unwrap();
        bundle(from.path(), &other, file.path()).unwrap();
        let refusal = |words: &str| {
            let error = unbundle(tempfile::tempdir().unwrap().path(), file.path(), &base).unwrap_err();
            assert_eq!(error.class, FailureClass::Evaluation, "{}", error.message);
            assert!(error.message.contains(words), "{}", error.message);
        };
        refusal(&format!("it holds {other}, and the Worlds started from {base}"));
        fs::write(file.path(), "no bundle").unwrap();
        refusal("cannot be used");
    }
}
