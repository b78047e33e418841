//! Repositories that ask who is there, and the credential that never gets further than it must.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "support/git_server.rs"]
mod git_server;
mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use git_server::{Door, GitServer};
use manyworlds_api::conditions::Reason;
use manyworlds_api::result::FailureClass;
use serde_json::{Value, json};
use support::{Pod, Repository};

const PASSWORD: &str = "s3cr3t-password";
/// `reader` and the password, as HTTP puts them.
const AUTHORIZATION: &str = "Basic cmVhZGVyOnMzY3IzdC1wYXNzd29yZA==";

fn repository() -> Repository {
    Repository::new(&[("file", "x")])
}

/// The host of an address with its port, as a Secret lists it.
fn host(url: &str) -> &str {
    url.split('/').nth(2).unwrap().rsplit('@').next().unwrap()
}

fn order(url: &str) -> Value {
    json!({ "source": { "git": { "url": url, "secretRef": { "name": "login" } } } })
}

fn fails(pod: &Pod) -> (FailureClass, String, String) {
    let (code, report) = pod.stage("prepare");
    let failure = report.failure.unwrap_or_else(|| panic!("it ended with {code}"));
    (failure.class, failure.reason, failure.message)
}

/// Looks for a text in everything that a World leaves, and in what `prepare` printed.
fn leaks(pod: &Pod, secret: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![pod.path("/manyworlds"), pod.path("/dev")];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if String::from_utf8_lossy(&fs::read(&path).unwrap()).contains(secret) && !path.ends_with("runner") {
            found.push(path.display().to_string());
        }
    }
    let artifacts = pod.received.artifacts.lock().unwrap();
    found.extend(
        artifacts
            .iter()
            .filter(|(_, bytes)| String::from_utf8_lossy(bytes).contains(secret))
            .map(|(name, _)| name.clone()),
    );
    found
}

#[test]
fn a_private_repository_is_fetched_with_user_and_password_and_they_stay_nowhere() {
    let repository = repository();
    let server = GitServer::start(&repository, Door::Login(AUTHORIZATION));
    let keys = [("host", host(&server.url)), ("username", "reader"), ("password", PASSWORD)];
    let pod = Pod::new(&repository, &order(&server.url)).with_secret(&keys);
    let output = pod.run("prepare");
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{printed}");
    assert!(pod.worktree().join("file").exists());
    assert!(!printed.contains(PASSWORD), "{printed}");
    assert_eq!(leaks(&pod, PASSWORD), Vec::<String>::new());
}

#[test]
fn a_repository_that_does_not_let_us_in_is_the_orders_fault() {
    let repository = repository();
    let server = GitServer::start(&repository, Door::Login(AUTHORIZATION));
    let keys = [("host", host(&server.url)), ("username", "reader"), ("password", "wrong-one")];
    let wrong = Pod::new(&repository, &order(&server.url)).with_secret(&keys);
    let nobody = Pod::new(&repository, &json!({ "source": { "git": { "url": server.url } } }));
    let closed = GitServer::start(&repository, Door::Refuses(403));
    let closed = Pod::new(&repository, &json!({ "source": { "git": { "url": closed.url } } }));
    for pod in [wrong, nobody, closed] {
        let (class, reason, message) = fails(&pod);
        assert_eq!(
            (class, reason.as_str()),
            (FailureClass::Spec, Reason::RepositoryUnauthorized.as_str()),
            "{message}"
        );
        assert!(message.contains("secretRef") && !message.contains("wrong-one"), "{message}");
    }
}

#[test]
fn a_repository_that_is_not_there_is_told_from_a_server_that_is_ill() {
    let repository = repository();
    for (status, class, words) in
        [(404, FailureClass::Spec, "there is no repository"), (503, FailureClass::Infrastructure, "cannot be reached")]
    {
        let server = GitServer::start(&repository, Door::Refuses(status));
        let (found, reason, message) =
            fails(&Pod::new(&repository, &json!({ "source": { "git": { "url": server.url } } })));
        assert_eq!((found, reason.as_str()), (class, Reason::RepositoryUnreachable.as_str()), "{message}");
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn another_host_never_learns_the_password() {
    let repository = repository();
    let thief = GitServer::start(&repository, Door::Login("nobody knows these words"));
    // Another name of the same machine is another host.
    let server = GitServer::start(&repository, Door::LeadsTo(thief.url.replace("127.0.0.1", "localhost")));
    let keys = [("host", host(&server.url)), ("username", "reader"), ("password", PASSWORD)];
    let pod = Pod::new(&repository, &order(&server.url)).with_secret(&keys);
    assert_eq!(fails(&pod).1, Reason::RepositoryUnauthorized.as_str());
    assert_eq!(*thief.authorizations.lock().unwrap(), Vec::<String>::new());
}

#[test]
fn a_secret_that_lacks_what_the_address_needs_is_named() {
    for (url, keys, missing) in [
        ("https://127.0.0.1/r.git", vec![("host", "127.0.0.1"), ("username", "reader")], "password"),
        ("ssh://git@127.0.0.1/r.git", vec![("host", "127.0.0.1"), ("password", PASSWORD)], "ssh-privatekey"),
        ("https://127.0.0.1/r.git", vec![("username", "reader"), ("password", PASSWORD)], "host"),
        ("git@127.0.0.1:r.git", vec![("ssh-privatekey", "private words")], "host"),
    ] {
        let (class, reason, message) = fails(&Pod::new(&repository(), &order(url)).with_secret(&keys));
        assert_eq!((class, reason.as_str()), (FailureClass::Spec, Reason::SecretMissing.as_str()));
        assert!(message.contains("Secret login") && message.contains(missing), "{message}");
    }
}

/// Who writes an order names any Secret of the namespace and any address: the Secret itself has to say that the two belong
/// together.
#[test]
fn a_secret_goes_to_no_host_that_it_does_not_list() {
    let repository = repository();
    let thief = GitServer::start(&repository, Door::Login(AUTHORIZATION));
    let port = host(&thief.url).rsplit(':').next().unwrap();
    let other_name = format!("localhost:{port}");
    for hosts in ["127.0.0.1", "git.example.com, github.com", other_name.as_str()] {
        let keys = [("host", hosts), ("username", "reader"), ("password", PASSWORD)];
        let (class, reason, message) = fails(&Pod::new(&repository, &order(&thief.url)).with_secret(&keys));
        assert_eq!((class, reason.as_str()), (FailureClass::Spec, Reason::SecretNotForHost.as_str()), "{message}");
        assert!(message.contains("Secret login") && message.contains(host(&thief.url)), "{message}");
        assert!(!message.contains("git.example.com"), "what a Secret holds is told to nobody: {message}");
    }
    assert_eq!(*thief.authorizations.lock().unwrap(), Vec::<String>::new());
}

/// A program in the place of ssh shows what it is given, and then serves the repository.
#[test]
fn ssh_gets_the_key_in_a_file_and_believes_known_hosts_alone() {
    let repository = repository();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ssh://git@{}{}", listener.local_addr().unwrap(), repository.folder().display());
    let programs = tempfile::tempdir().unwrap();
    fs::set_permissions(programs.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let ssh = programs.path().join("ssh");
    let script = "#!/bin/sh\nprintf '%s\\n' \"$*\" > \"$(dirname \"$0\")/arguments\"\nwhile [ \"$1\" != -i ]; do shift; done\n\
                  cp \"$2\" \"$(dirname \"$0\")/key\"; for last; do :; done; eval \"exec $last\"\n";
    fs::write(&ssh, script).unwrap();
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
    let key = [("host", host(&url)), ("ssh-privatekey", "private words")];
    for (keys, checking) in [
        ([&key[..], &[("known_hosts", "host key")]].concat(), "StrictHostKeyChecking=yes"),
        (key.to_vec(), "StrictHostKeyChecking=accept-new"),
    ] {
        let pod = Pod::new(&repository, &order(&url)).with_secret(&keys).with_programs(programs.path());
        let (code, report) = pod.stage("prepare");
        assert_eq!(code, 0, "{report:?}");
        let arguments = fs::read_to_string(programs.path().join("arguments")).unwrap();
        assert!(arguments.contains(checking) && arguments.contains("BatchMode=yes"), "{arguments}");
        assert!(!arguments.contains("private words"), "{arguments}");
        assert_eq!(fs::read_to_string(programs.path().join("key")).unwrap(), "private words\n");
        assert_eq!(leaks(&pod, "private words"), Vec::<String>::new());
    }
}

/// A server with a certificate that its own key signed, which asks everybody for a password.
const TLS_SERVER: &str = "
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(401)
        self.send_header('WWW-Authenticate', 'Basic realm=git')
        self.send_header('Content-Length', '0')
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.HTTPServer(('127.0.0.1', 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
";

#[test]
fn a_certificate_of_an_unknown_authority_is_told_and_a_secret_with_the_authority_alone_cures_it() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("ca.crt"), folder.path().join("key"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]);
    openssl.args(["-addext", "subjectAltName=IP:127.0.0.1"]).arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    assert!(openssl.output().unwrap().status.success());
    let mut server = Command::new("python3")
        .args(["-c", TLS_SERVER])
        .args([&certificate, &key])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut port = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let url = format!("https://127.0.0.1:{}/r.git", port.trim());
    let unknown = fails(&Pod::new(&repository(), &json!({ "source": { "git": { "url": url } } })));
    let authority = fs::read_to_string(&certificate).unwrap();
    let known =
        fails(&Pod::new(&repository(), &order(&url)).with_secret(&[("host", host(&url)), ("ca.crt", &authority)]));
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!((unknown.0, unknown.1.as_str()), (FailureClass::Spec, Reason::RepositoryUnreachable.as_str()));
    assert!(unknown.2.contains("put its authority as ca.crt"), "{}", unknown.2);
    assert_eq!(known.1, Reason::RepositoryUnauthorized.as_str(), "{}", known.2);
}
