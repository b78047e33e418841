//! A repository over ssh, on a real OpenSSH server.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "support/ssh_server.rs"]
mod ssh_server;
mod support;

use manyworlds_api::conditions::Reason;
use manyworlds_api::result::FailureClass;
use serde_json::json;
use ssh_server::SshServer;
use support::{Pod, Repository};

fn repository() -> Repository {
    Repository::new(&[("file", "x")])
}

/// The host of an address with its port, as a Secret lists it.
fn host(url: &str) -> &str {
    url.split('/').nth(2).unwrap().rsplit('@').next().unwrap()
}

fn pod(repository: &Repository, server: &SshServer, keys: &[(&str, &str)]) -> Pod {
    let order = json!({ "source": { "git": { "url": server.url(), "secretRef": { "name": "login" } } } });
    let url = server.url();
    let keys = [&[("host", host(&url))][..], keys].concat();
    let mut pod = Pod::new(repository, &order).with_secret(&keys);
    pod.is_ours = true;
    pod
}

#[test]
fn the_right_key_gets_the_repository() {
    let repository = repository();
    let server = SshServer::start(&repository);
    let known_hosts = server.known_hosts();
    let (key, known) = (server.key(), ("known_hosts", known_hosts.as_str()));
    // People paste keys with and without the line's end; ssh itself would refuse the second.
    for (key, known) in [(key.as_str(), Some(known)), (key.trim_end(), Some(known)), (key.as_str(), None)] {
        let keys: Vec<_> = [Some(("ssh-privatekey", key)), known].into_iter().flatten().collect();
        let pod = pod(&repository, &server, &keys);
        let (code, report) = pod.stage("prepare");
        assert_eq!(code, 0, "{report:?}");
        assert_eq!(std::fs::read_to_string(pod.worktree().join("file")).unwrap(), "x");
        let told = pod.artifact("prepare-log").contains("believed at first sight");
        assert_eq!(told, known.is_none(), "a host that is believed unseen is told of");
    }
}

#[test]
fn who_is_not_let_in_is_told_which_key_of_the_secret_to_set() {
    let repository = repository();
    let server = SshServer::start(&repository);
    let (key, known, outdated) = (server.key(), server.known_hosts(), server.outdated_known_hosts());
    let elsewhere = known.replace("127.0.0.1", "192.0.2.1");
    let stranger = server.strangers_key();
    let unauthorized = Reason::RepositoryUnauthorized;
    for (keys, reason, words) in [
        ([("ssh-privatekey", &key), ("known_hosts", &elsewhere)], unauthorized, "to known_hosts in the Secret"),
        ([("ssh-privatekey", &key), ("known_hosts", &outdated)], unauthorized, "correct known_hosts in the Secret"),
        ([("ssh-privatekey", &stranger), ("known_hosts", &known)], unauthorized, "as ssh-privatekey"),
        ([("ssh-privatekey", &"no key".to_owned()), ("known_hosts", &known)], unauthorized, "as ssh-privatekey"),
        ([("password", &key), ("known_hosts", &known)], Reason::SecretMissing, "has no key ssh-privatekey"),
    ] {
        let keys = keys.map(|(name, value)| (name, value.as_str()));
        let (code, report) = pod(&repository, &server, &keys).stage("prepare");
        let failure = report.failure.unwrap_or_else(|| panic!("{words}: it ended with {code}"));
        assert_eq!((code, failure.class, failure.reason.as_str()), (10, FailureClass::Spec, reason.as_str()));
        assert!(failure.message.contains(words), "{words}: {}", failure.message);
        assert!(!failure.message.contains("PRIVATE KEY"), "{}", failure.message);
    }
}

#[test]
fn a_repository_that_the_server_does_not_have_is_named() {
    let repository = repository();
    let server = SshServer::start(&repository);
    let url = server.url().replace("repository.git", "nowhere.git");
    let order = json!({ "source": { "git": { "url": url, "secretRef": { "name": "login" } } } });
    let (key, known_hosts) = (server.key(), server.known_hosts());
    let keys = [("host", host(&url)), ("ssh-privatekey", key.as_str()), ("known_hosts", known_hosts.as_str())];
    let mut pod = Pod::new(&repository, &order).with_secret(&keys);
    pod.is_ours = true;
    let (code, report) = pod.stage("prepare");
    let failure = report.failure.unwrap();
    assert_eq!((code, failure.reason.as_str()), (10, Reason::RepositoryUnreachable.as_str()), "{}", failure.message);
    assert!(failure.message.contains("there is no repository"), "{}", failure.message);
}
