//! The host of a repository, and whether a Secret is for it: pure.
//!
//! An address is read here as git and ssh read it, not by the rules of a browser. What they could read otherwise is refused: a
//! credential would go to another host than the one that was compared.

use std::fmt;

use manyworlds_api::conditions::Reason;
use manyworlds_api::result::FailureClass;

use crate::stage::StageError;

/// The schemes of addresses with a host, and the port that each has where none is written.
const DEFAULT_PORTS: [(&str, &str); 3] = [("https", ":443"), ("http", ":80"), ("ssh", ":22")];

/// A host, with its port where that is not the usual one of the address's scheme; in small letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RepositoryHost(String);

impl RepositoryHost {
    /// Returns the host of an address; none for one of files.
    ///
    /// # Errors
    ///
    /// [`StageError`] with class `Spec` where programs could read different hosts from the address.
    pub(super) fn of(url: &str) -> Result<Option<Self>, StageError> {
        let (authority, default_port) = match url.split_once("://") {
            Some(("file", _)) => return Ok(None),
            Some((scheme, rest)) => {
                let usual = DEFAULT_PORTS.iter().find(|(name, _)| scheme.eq_ignore_ascii_case(name));
                let (_, port) = usual.ok_or_else(|| ambiguous(url))?;
                (rest.split('/').next().unwrap_or_default(), *port)
            }
            // The short form of ssh: user@host:path.
            None => (url.split(':').next().unwrap_or_default(), ":22"),
        };
        // What some programs take for the end of the host, before or behind the user.
        if authority.contains(['?', '#', '\\']) {
            return Err(ambiguous(url));
        }
        let host = authority.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || ".-_:[]".contains(letter);
        if host.is_empty() || !host.chars().all(is_plain) {
            return Err(ambiguous(url));
        }
        Ok(Some(Self(host.strip_suffix(default_port).unwrap_or(&host).to_owned())))
    }

    /// Returns whether a list of hosts, as a Secret has it, names this one.
    ///
    /// - **Shape:** the hosts are apart by commas or white space.
    pub(super) fn is_in(&self, hosts: &str) -> bool {
        hosts
            .split(|letter: char| letter == ',' || letter.is_whitespace())
            .any(|host| host.eq_ignore_ascii_case(&self.0))
    }
}

impl fmt::Display for RepositoryHost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn ambiguous(url: &str) -> StageError {
    let message = format!(
        "the host of {url} cannot be told for certain, so no Secret is used for it; write source.git.url as https://host/path or ssh://user@host/path"
    );
    StageError::new(FailureClass::Spec, Reason::InvalidSpecification, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_the_one_that_git_and_ssh_would_go_to() {
        for (url, expected) in [
            ("https://github.com/a/b.git", Some("github.com")),
            ("https://GitHub.com:443/a/b.git", Some("github.com")),
            ("https://github.com:8443/a", Some("github.com:8443")),
            ("http://127.0.0.1:3000/a", Some("127.0.0.1:3000")),
            ("http://host:443/a", Some("host:443")),
            ("ssh://git@github.com/a", Some("github.com")),
            ("ssh://git@github.com:22/a", Some("github.com")),
            ("ssh://a@b@host:2222/a@github.com", Some("host:2222")),
            ("git@github.com:a/b.git", Some("github.com")),
            ("ssh://git@[fe80::22]/a", Some("[fe80::22]")),
            ("file:///srv/git/a", None),
        ] {
            let found = RepositoryHost::of(url).unwrap_or_else(|error| panic!("{url}: {}", error.message));
            assert_eq!(found, expected.map(|host| RepositoryHost(host.to_owned())), "{url}");
        }
    }

    #[test]
    fn an_address_that_programs_could_read_otherwise_has_no_host() {
        for url in [
            "ssh://git@github.com?@other.example/a",
            "ssh://git@other.example#github.com/a",
            "https://github.com\\.other.example/a",
            "https://github.com%2eother.example/a",
            "git@github.com:a://b",
            "https:///a",
        ] {
            assert_eq!(RepositoryHost::of(url).map_err(|error| error.class), Err(FailureClass::Spec), "{url}");
        }
    }

    #[test]
    fn a_secret_is_for_the_hosts_that_it_lists_and_for_no_other_port() {
        let host = RepositoryHost("git.example.com".to_owned());
        for (hosts, expected) in [
            ("git.example.com", true),
            (" Git.Example.com\n", true),
            ("github.com, git.example.com", true),
            ("github.com\ngit.example.com\n", true),
            ("example.com", false),
            ("git.example.com:8443", false),
            ("git.example.com.other.example", false),
            ("", false),
            (",", false),
        ] {
            assert_eq!(host.is_in(hosts), expected, "{hosts:?}");
        }
    }
}
