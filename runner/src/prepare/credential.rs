//! The repository's credential: given to git in files and helpers, never in an address, an argument or a log.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use manyworlds_api::conditions::Reason;
use manyworlds_api::result::FailureClass;
use manyworlds_api::work_order::GitSource;
use manyworlds_masking::{Filter, SHORTEST_VALUE};
use url::{Origin, Url};

use super::host::RepositoryHost;
use crate::git::Git;
use crate::layout::Layout;
use crate::stage::StageError;
use crate::text::StageLog;

/// The key of a Secret that lists the hosts that it may be used for.
const HOST_KEY: &str = "host";

/// The credential of a repository.
#[derive(Debug, Default)]
pub(super) struct Credential {
    /// Values that must not be printed.
    pub(super) secrets: Filter,
    login: Option<Login>,
    ssh: Option<String>,
    authorities: Option<PathBuf>,
}

/// User and password, and the one host that may learn them.
#[derive(Debug)]
struct Login {
    user: String,
    password: String,
    origin: String,
}

/// The helper that git runs to get user and password. They come from the environment of this one call.
const HELPER: &str = "!f() { test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' \"$MANYWORLDS_GIT_USER\" \"$MANYWORLDS_GIT_PASSWORD\"; }; f";

impl Credential {
    /// Reads the credential that the order names.
    ///
    /// - **Guarantees:** a Secret is used for no host but those that it lists itself: who writes an order names Secrets and
    ///   addresses freely, and must not have one sent to the other.
    pub(super) fn read(layout: &Layout, source: &GitSource, log: &mut StageLog) -> Result<Self, StageError> {
        let is_ssh = is_ssh(&source.url);
        let Some(reference) = &source.secret_ref else {
            if is_ssh {
                return Err(missing(
                    "the repository's address is an SSH one, so source.git.secretRef must name a Secret with ssh-privatekey",
                ));
            }
            return Ok(Self::default());
        };
        let folder = layout.credential_directory();
        let field = |name: &str| fs::read_to_string(folder.join(name)).ok().filter(|value| !value.trim().is_empty());
        if let Some(host) = RepositoryHost::of(&source.url)? {
            let hosts = field(HOST_KEY).ok_or_else(|| missing_host(&reference.name, &host))?;
            if !host.is_in(&hosts) {
                return Err(not_for_host(&reference.name, &host));
            }
        }
        let mut credential = Self::default();
        if let Some(authorities) = field("ca.crt") {
            let path = layout.temporary().join("ca.crt");
            write_private(&path, &authorities)?;
            credential.authorities = Some(path);
        }
        if is_ssh {
            let key = field("ssh-privatekey").ok_or_else(|| missing_key(&reference.name, "ssh-privatekey"))?;
            credential.secrets = credential.secrets.with_values([key.as_str()], SHORTEST_VALUE);
            credential.ssh = Some(ssh_command(layout, &key, field("known_hosts").as_deref(), log)?);
            return Ok(credential);
        }
        match (field("username"), field("password")) {
            (user, Some(password)) => {
                let (user, password) = (user.unwrap_or_else(|| "git".to_owned()), password.trim().to_owned());
                credential.secrets = credential.secrets.with_values([password.as_str()], SHORTEST_VALUE);
                // Without a host nobody asks for a password.
                credential.login =
                    origin(&source.url).map(|origin| Login { user: user.trim().to_owned(), password, origin });
            }
            // A Secret may hold nothing but the authority that the server's certificate comes from.
            (None, None) if credential.authorities.is_some() => {}
            (_, None) => return Err(missing_key(&reference.name, "password")),
        }
        Ok(credential)
    }

    /// Gives the credential to one call of git.
    pub(super) fn apply(&self, git: Git) -> Git {
        let mut git = git;
        if let Some(Login { user, password, origin }) = &self.login {
            // For this host alone: a redirect elsewhere must not learn the password.
            git = git
                .env("MANYWORLDS_GIT_USER", user)
                .env("MANYWORLDS_GIT_PASSWORD", password)
                .env("GIT_CONFIG_COUNT", "1")
                .env("GIT_CONFIG_KEY_0", format!("credential.{origin}.helper"))
                .env("GIT_CONFIG_VALUE_0", HELPER);
        }
        if let Some(command) = &self.ssh {
            git = git.env("GIT_SSH_COMMAND", command);
        }
        if let Some(authorities) = &self.authorities {
            git = git.env("GIT_SSL_CAINFO", authorities);
        }
        git
    }
}

/// Returns whether an address is one of SSH; the short form has no scheme.
pub(super) fn is_ssh(url: &str) -> bool {
    url.starts_with("ssh://") || !url.contains("://")
}

/// Returns the scheme, host and port of an address; nothing where it is no URL.
fn origin(url: &str) -> Option<String> {
    Some(Url::parse(url).ok()?.origin()).filter(Origin::is_tuple).map(|origin| origin.ascii_serialization())
}

fn ssh_command(
    layout: &Layout,
    key: &str,
    known_hosts: Option<&str>,
    log: &mut StageLog,
) -> Result<String, StageError> {
    let key_file = layout.temporary().join("ssh-key");
    // A key without a line's end at its end is refused by ssh without a useful word.
    write_private(&key_file, &format!("{}\n", key.trim_end()))?;
    let hosts_file = layout.temporary().join("known-hosts");
    write_private(&hosts_file, known_hosts.unwrap_or_default())?;
    let checking = if known_hosts.is_some() {
        "yes"
    } else {
        log.print_line("the Secret has no known_hosts, so the repository's host key is believed at first sight");
        "accept-new"
    };
    Ok(format!(
        "ssh -F /dev/null -o BatchMode=yes -o IdentitiesOnly=yes -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=4 -o StrictHostKeyChecking={checking} -o UserKnownHostsFile={} -i {}",
        hosts_file.display(),
        key_file.display()
    ))
}

fn write_private(path: &Path, content: &str) -> Result<(), StageError> {
    let opened = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    opened.and_then(|mut file| file.write_all(content.as_bytes())).map_err(|error| StageError::file(path, &error))
}

fn missing_key(secret: &str, key: &str) -> StageError {
    missing(&format!(
        "Secret {secret} does not exist in the order's namespace or has no key {key}; create it, then run the order again"
    ))
}

fn missing_host(secret: &str, host: &RepositoryHost) -> StageError {
    missing(&format!(
        "Secret {secret} does not exist in the order's namespace or has no key {HOST_KEY}, which lists the hosts that it may be used for; if it is for {host}, add that as {HOST_KEY}, then run the order again"
    ))
}

/// Returns the refusal of a Secret for another host. It does not repeat what the Secret lists: who writes an order may not be
/// allowed to read that.
fn not_for_host(secret: &str, host: &RepositoryHost) -> StageError {
    let message = format!(
        "Secret {secret} is not for {host}; name one whose key {HOST_KEY} lists {host} in source.git.secretRef, or add {host} to that key"
    );
    StageError::new(FailureClass::Spec, Reason::SecretNotForHost, message)
}

fn missing(message: &str) -> StageError {
    StageError::new(FailureClass::Spec, Reason::SecretMissing, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_is_what_a_password_is_for() {
        for (url, expected) in [
            ("https://host:8443/a/b.git", Some("https://host:8443")),
            ("https://host", Some("https://host")),
            ("HTTPS://Host:443/a", Some("https://host")),
            ("https://host?a=/b", Some("https://host")),
            ("file:///a", None),
        ] {
            assert_eq!(origin(url).as_deref(), expected, "{url}");
        }
    }
}
