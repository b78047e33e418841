//! Fetches one revision into a bare mirror, and tells people what went wrong in their own terms.

use std::fs;
use std::path::PathBuf;

use manyworlds_api::conditions::Reason;
use manyworlds_api::result::FailureClass;
use manyworlds_api::work_order::GitSource;

use super::credential::Credential;
use crate::git::{Git, GitError};
use crate::layout::Layout;
use crate::stage::StageError;

/// Name under which the fetched commit is kept.
const FETCHED: &str = "refs/manyworlds/base";

/// A repository that is being fetched.
pub(super) struct Repository<'a> {
    mirror: PathBuf,
    url: &'a str,
    credential: &'a Credential,
}

impl<'a> Repository<'a> {
    /// Makes an empty mirror.
    pub(super) fn new(layout: &Layout, source: &'a GitSource, credential: &'a Credential) -> Result<Self, StageError> {
        let mirror = layout.mirror();
        fs::create_dir_all(&mirror).map_err(|error| StageError::file(&mirror, &error))?;
        Git::new(&mirror, ["init", "--quiet", "--bare", "--template=", "."]).run()?;
        Ok(Self { mirror, url: &source.url, credential })
    }

    /// Fetches a revision and returns the commit that it names.
    ///
    /// Its history comes along: many tools ask for it, and a server may refuse to give a part of it.
    pub(super) fn fetch(&self, revision: &str) -> Result<String, StageError> {
        let fetched = self.fetch_refspec(&format!("+{revision}:{FETCHED}"));
        if let Err(error) = fetched {
            return Err(self.explain(&error, revision));
        }
        let name = format!("{FETCHED}^{{commit}}");
        Git::new(&self.mirror, ["rev-parse", "--verify", "--end-of-options", &name])
            .line()
            .map_err(|_| self.not_found(revision))
    }

    /// Fetches a commit that another World has found.
    pub(super) fn fetch_commit(&self, commit: &str) -> Result<(), StageError> {
        let object = format!("{commit}^{{commit}}");
        if Git::new(&self.mirror, ["cat-file", "-e", &object]).run().is_ok() {
            return Git::new(&self.mirror, ["update-ref", FETCHED, commit]).run().map(drop).map_err(Into::into);
        }
        // A server that gives out named revisions only has it among its branches.
        self.fetch_refspec(&format!("+{commit}:{FETCHED}"))
            .or_else(|_| {
                self.fetch_refspec("+refs/heads/*:refs/heads/*")
                    .and_then(|_| Git::new(&self.mirror, ["update-ref", FETCHED, commit]).run())
            })
            .map(drop)
            .map_err(|error| self.explain(&error, commit))
    }

    fn fetch_refspec(&self, refspec: &str) -> Result<Vec<u8>, GitError> {
        let git = Git::new(
            &self.mirror,
            ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--end-of-options", self.url, refspec],
        );
        self.credential.give(git).run()
    }

    fn not_found(&self, revision: &str) -> StageError {
        let message =
            format!("the repository {} has no branch, tag or commit {revision}; correct source.git.revision", self.url);
        StageError::new(FailureClass::Spec, Reason::RevisionNotFound, message)
    }

    fn explain(&self, error: &GitError, revision: &str) -> StageError {
        let said = self.credential.secrets.masked(error.said());
        match classified(&said) {
            Reason::RevisionNotFound => self.not_found(revision),
            Reason::RepositoryUnauthorized => {
                let advice = "name a Secret that may read it in source.git.secretRef, or correct the one that is named";
                let message = format!("the repository {} does not let us in; {advice} ({said})", self.url);
                StageError::new(FailureClass::Spec, Reason::RepositoryUnauthorized, message)
            }
            _ => {
                let advice = "check the address, the network and worlds.networkPolicy.repositoryEgress";
                let message = format!("the repository {} cannot be reached; {advice} ({said})", self.url);
                StageError::new(FailureClass::Infrastructure, Reason::RepositoryUnreachable, message)
            }
        }
    }
}

/// Returns what git's own words mean.
fn classified(said: &str) -> Reason {
    let lower = said.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if has(&["couldn't find remote ref", "not our ref", "no such ref", "did not send all necessary objects"]) {
        Reason::RevisionNotFound
    } else if has(&[
        "authentication failed",
        "could not read username",
        "could not read password",
        "permission denied",
        "access denied",
        "403",
        "401",
        "host key verification failed",
        "terminal prompts disabled",
    ]) {
        Reason::RepositoryUnauthorized
    } else {
        Reason::RepositoryUnreachable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gits_words_are_understood() {
        for (said, expected) in [
            ("fatal: couldn't find remote ref nope", Reason::RevisionNotFound),
            ("fatal: remote error: upload-pack: not our ref aaaa", Reason::RevisionNotFound),
            ("fatal: Authentication failed for 'https://host/'", Reason::RepositoryUnauthorized),
            ("git@host: Permission denied (publickey).", Reason::RepositoryUnauthorized),
            ("fatal: unable to access 'https://host/': Could not resolve host: host", Reason::RepositoryUnreachable),
            ("fatal: repository '/nope' does not exist", Reason::RepositoryUnreachable),
        ] {
            assert_eq!(classified(said), expected, "{said}");
        }
    }
}
