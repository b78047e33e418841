//! Fetches one revision into a bare mirror, and explains what went wrong in plain words.

use std::path::PathBuf;

use manyworlds_api::conditions::Reason;
use manyworlds_api::result::FailureClass;
use manyworlds_api::work_order::GitSource;

use super::credential::{Credential, is_ssh};
use crate::git::{Git, GitError, make_repository};
use crate::history::BASE;
use crate::layout::Layout;
use crate::stage::StageError;

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
        make_repository(&mirror, &mirror, &mirror, ["--bare", "."])?;
        Ok(Self { mirror, url: &source.url, credential })
    }

    /// Fetches a revision and returns the commit that it names.
    ///
    /// Its history comes along: many tools ask for it, and a server may refuse to give a part of it.
    pub(super) fn fetch(&self, revision: &str) -> Result<String, StageError> {
        let fetched = self.fetch_refspec(&format!("+{revision}:{BASE}"));
        if let Err(error) = fetched {
            return Err(self.explain(&error, revision));
        }
        let name = format!("{BASE}^{{commit}}");
        Git::new(&self.mirror, ["rev-parse", "--verify", "--end-of-options", &name])
            .line()
            .map_err(|_| self.not_found(revision))
    }

    /// Fetches a commit that another World has found.
    pub(super) fn fetch_commit(&self, commit: &str) -> Result<(), StageError> {
        let object = format!("{commit}^{{commit}}");
        if Git::new(&self.mirror, ["cat-file", "-e", &object]).run().is_ok() {
            return Git::new(&self.mirror, ["update-ref", BASE, commit]).run().map(drop).map_err(Into::into);
        }
        // A server that gives out named revisions only has it among its branches.
        self.fetch_refspec(&format!("+{commit}:{BASE}"))
            .or_else(|_| {
                self.fetch_refspec("+refs/heads/*:refs/heads/*")
                    .and_then(|_| Git::new(&self.mirror, ["update-ref", BASE, commit]).run())
            })
            .map(drop)
            .map_err(|error| self.explain(&error, commit))
    }

    /// Fetches a revision, and the tags that point into its history: git asks for no others by itself. A server that has a
    /// part of the history gives that part.
    fn fetch_refspec(&self, refspec: &str) -> Result<Vec<u8>, GitError> {
        let git = Git::new(
            &self.mirror,
            ["fetch", "--quiet", "--update-shallow", "--no-recurse-submodules", "--end-of-options", self.url, refspec],
        );
        self.credential.apply(git.with_whole_path()).run()
    }

    fn not_found(&self, revision: &str) -> StageError {
        let advice = "correct source.git.revision; a commit needs its full id";
        let message = format!("the repository {} has no branch, tag or commit {revision}; {advice}", self.url);
        StageError::new(FailureClass::Spec, Reason::RevisionNotFound, message)
    }

    fn explain(&self, error: &GitError, revision: &str) -> StageError {
        let said = self.credential.secrets.masked(error.said());
        let url = self.url;
        let failure = |class, reason, words: &str| StageError::new(class, reason, format!("{words} ({said})"));
        match classified(&said) {
            Fault::Revision => self.not_found(revision),
            Fault::Credential if is_ssh(url) => failure(
                FailureClass::Spec,
                Reason::RepositoryUnauthorized,
                &format!(
                    "the host of {url} does not accept the key; put one that may read the repository as ssh-privatekey, without a passphrase, into the Secret that source.git.secretRef names"
                ),
            ),
            Fault::HostUnknown => failure(
                FailureClass::Spec,
                Reason::RepositoryUnauthorized,
                &format!(
                    "known_hosts has no key of the host of {url}; add the line that ssh-keyscan prints for it to known_hosts in the Secret that source.git.secretRef names"
                ),
            ),
            Fault::Credential => failure(
                FailureClass::Spec,
                Reason::RepositoryUnauthorized,
                &format!(
                    "the repository {url} does not let us in; name a Secret that may read it in source.git.secretRef, or correct the one that is named"
                ),
            ),
            Fault::HostKey => failure(
                FailureClass::Spec,
                Reason::RepositoryUnauthorized,
                &format!(
                    "the host of {url} has another key than known_hosts says; if that is right, correct known_hosts in the Secret that source.git.secretRef names"
                ),
            ),
            Fault::Certificate => failure(
                FailureClass::Spec,
                Reason::RepositoryUnreachable,
                &format!(
                    "the certificate of {url} is not one that we trust; put its authority as ca.crt into the Secret that source.git.secretRef names"
                ),
            ),
            Fault::Repository => failure(
                FailureClass::Spec,
                Reason::RepositoryUnreachable,
                &format!(
                    "there is no repository {url}, or we may not see it; correct source.git.url, or name a Secret that may read it in source.git.secretRef"
                ),
            ),
            Fault::Network => failure(
                FailureClass::Infrastructure,
                Reason::RepositoryUnreachable,
                &format!(
                    "the repository {url} cannot be reached; check the address, the network and worlds.networkPolicy.repositoryEgress"
                ),
            ),
        }
    }
}

/// The fault that a fetch failed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Revision,
    Credential,
    HostKey,
    HostUnknown,
    Certificate,
    Repository,
    Network,
}

/// Words of git, curl and ssh, and the fault that they mean. The first match counts.
const MEANINGS: &[(&str, Fault)] = &[
    ("couldn't find remote ref", Fault::Revision),
    ("not our ref", Fault::Revision),
    ("no such ref", Fault::Revision),
    ("unadvertised object", Fault::Revision),
    ("did not send all necessary objects", Fault::Revision),
    ("host key is known for", Fault::HostUnknown),
    ("host key verification failed", Fault::HostKey),
    ("certificate", Fault::Certificate),
    ("authentication failed", Fault::Credential),
    ("could not read username", Fault::Credential),
    ("could not read password", Fault::Credential),
    ("permission denied", Fault::Credential),
    ("access denied", Fault::Credential),
    ("returned error: 403", Fault::Credential),
    ("returned error: 401", Fault::Credential),
    ("terminal prompts disabled", Fault::Credential),
    ("repository not found", Fault::Repository),
    ("does not exist", Fault::Repository),
    ("does not appear to be a git repository", Fault::Repository),
    ("' not found", Fault::Repository),
];

/// Returns what git's own words mean.
fn classified(said: &str) -> Fault {
    let lower = said.to_lowercase();
    MEANINGS.iter().find(|(words, _)| lower.contains(words)).map_or(Fault::Network, |(_, fault)| *fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gits_words_are_understood() {
        for (said, expected) in [
            ("fatal: couldn't find remote ref nope", Fault::Revision),
            ("fatal: remote error: upload-pack: not our ref aaaa", Fault::Revision),
            ("fatal: Authentication failed for 'https://host/'", Fault::Credential),
            ("fatal: unable to access 'https://host/': The requested URL returned error: 403", Fault::Credential),
            ("git@host: Permission denied (publickey).", Fault::Credential),
            (
                "No ED25519 host key is known for host and you have requested strict checking.\r\nHost key verification failed.",
                Fault::HostUnknown,
            ),
            ("Host key verification failed.\nfatal: Could not read from remote repository.", Fault::HostKey),
            ("fatal: unable to access 'https://host/': server certificate verification failed", Fault::Certificate),
            ("fatal: repository 'https://host/x.git/' not found", Fault::Repository),
            ("ERROR: Repository not found.\nfatal: Could not read from remote repository.", Fault::Repository),
            ("fatal: repository '/nope' does not exist", Fault::Repository),
            ("fatal: unable to access 'https://host/': Could not resolve host: host", Fault::Network),
            ("fatal: unable to access 'http://host:4013/': Connection timed out", Fault::Network),
        ] {
            assert_eq!(classified(said), expected, "{said}");
        }
    }
}
