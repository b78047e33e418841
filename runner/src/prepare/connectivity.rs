//! Tries whether the repository's host answers at all, so that a wrong name or a closed network is known in seconds and
//! not when git gives up after minutes.

use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use manyworlds_api::conditions::Reason;
use manyworlds_api::result::FailureClass;
use url::{Host, Url};

use crate::stage::StageError;

/// The longest time for one address of the host to accept a connection.
const TIMEOUT: Duration = Duration::from_secs(8);
/// The port of SSH, which the URL standard does not know.
const SSH_PORT: u16 = 22;

/// Tries to connect to the host of an address.
///
/// # Errors
///
/// [`StageError`] with class `Infrastructure` when its name is unknown or nobody answers.
pub(super) fn check(url: &str) -> Result<(), StageError> {
    let Some((host, port)) = endpoint(url) else { return Ok(()) };
    let unreachable = |what: &str, error: &std::io::Error| {
        let message = format!(
            "the repository {url} cannot be reached: {what} ({error}); check source.git.url, the network and worlds.networkPolicy.repositoryEgress"
        );
        StageError::new(FailureClass::Infrastructure, Reason::RepositoryUnreachable, message)
    };
    let addresses = (host.as_str(), port)
        .to_socket_addrs()
        .map_err(|error| unreachable(&format!("its host {host} has no address"), &error))?;
    let mut failure = std::io::Error::other("no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(_) => return Ok(()),
            Err(error) => failure = error,
        }
    }
    Err(unreachable(&format!("{host} does not answer on port {port}"), &failure))
}

/// Returns the host and port of an address; nothing for a folder.
fn endpoint(url: &str) -> Option<(String, u16)> {
    let url = if url.contains("://") {
        Url::parse(url).ok()?
    } else {
        // The short form of SSH has a colon between host and path.
        Url::parse(&format!("ssh://{}", url.split(':').next()?)).ok()?
    };
    let host = match url.host()? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    Some((host, url.port_or_known_default().unwrap_or(SSH_PORT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_read_from_every_form() {
        for (url, expected) in [
            ("https://host/a.git", Some(("host", 443))),
            ("http://host:8080/a.git", Some(("host", 8080))),
            ("ssh://git@host:2222/a.git", Some(("host", 2222))),
            ("ssh://git@host/a.git", Some(("host", 22))),
            ("git@host:team/a.git", Some(("host", 22))),
            ("https://[::1]:8443/a", Some(("::1", 8443))),
            ("https://[::1]/a", Some(("::1", 443))),
            ("https://host?a=b", Some(("host", 443))),
            ("ssh://git@[::1]:2222/a", Some(("::1", 2222))),
            ("user@name@host:team/a.git", Some(("host", 22))),
            ("file:///a", None),
        ] {
            assert_eq!(endpoint(url), expected.map(|(host, port)| (host.to_owned(), port)), "{url}");
        }
    }
}
