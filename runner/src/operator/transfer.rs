//! Brings files to the operator and from it. A base may be as large as a repository is, so none of it waits in memory.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::time::Duration;

use manyworlds_api::artifacts::{
    ArtifactName, DIGEST_HEADER, baseline_path, bundle_path, hexadecimal, order_baseline_path, order_bundle_path,
    upload_path,
};
use manyworlds_api::conditions::Reason;
use manyworlds_api::errors::error_chain;
use reqwest::StatusCode;
use reqwest::blocking::{Body, Response};
use sha2::{Digest, Sha256};

use super::{OperatorClient, RETRY_TIME_OF_ARTIFACT, RETRY_TIME_OF_BASE, Setback, accepted, unreachable};
use crate::stage::StageError;

/// The time-out of a request that carries a file: for two gigabytes at seven megabytes a second.
const TRANSFER_TIMEOUT: Duration = Duration::from_mins(5);
/// The longest time that storing the base is retried: that of one transfer, for it may have to wait for those of other orders.
const RETRY_TIME_OF_BUNDLE: Duration = TRANSFER_TIMEOUT;
/// How long the operator has to answer to the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(2);
/// The most bytes of a file that are held at once.
const PART_BYTES: usize = 64 * 1024;

impl OperatorClient {
    /// Returns whether the base of the order is stored.
    pub(crate) fn bundle_is_stored(&self) -> Result<bool, StageError> {
        self.retry(RETRY_TIME_OF_BASE, |token| self.has_bundle(token))
    }

    /// Stores the base of the order, unless another World has been faster.
    pub(crate) fn bundle_put(&self, file: &Path) -> Result<(), StageError> {
        self.retry(
            RETRY_TIME_OF_BUNDLE,
            |token| {
                if self.has_bundle(token)? { Ok(()) } else { self.send_bundle(token, file) }
            },
        )
    }

    /// Fetches the base of the order into a file.
    pub(crate) fn bundle_fetch(&self, file: &Path) -> Result<(), StageError> {
        self.fetch(&self.bundle_path(), file)
    }

    /// Fetches the World's change into a file.
    pub(crate) fn change_fetch(&self, file: &Path) -> Result<(), StageError> {
        let change = ArtifactName::Change;
        self.fetch(&upload_path(&self.identity.namespace, &self.world, self.identity.attempt, change), file)
    }

    /// Fetches the base of the order into a file, in the pod that judges that base.
    pub(crate) fn order_bundle_fetch(&self, file: &Path) -> Result<(), StageError> {
        self.fetch(&order_bundle_path(&self.identity.namespace, &self.identity.work_order), file)
    }

    /// Fetches what the gates give at the base into a file, and returns whether there is such a thing. An order without one was
    /// made by an older operator, or has no gate that runs a program.
    pub(crate) fn baseline_fetch(&self, file: &Path) -> Result<bool, StageError> {
        let path = baseline_path(&self.identity.namespace, &self.world, self.identity.attempt);
        self.retry(RETRY_TIME_OF_ARTIFACT, |token| {
            let sent = self.client.get(self.url(&path)).timeout(TRANSFER_TIMEOUT).bearer_auth(token).send();
            match sent {
                Ok(response) if response.status() == StatusCode::NOT_FOUND => Ok(false),
                sent => save(accepted(sent, Reason::EvaluationFailed)?, file).map(|()| true),
            }
        })
    }

    /// Stores what the gates give at the base. One that is there already stays.
    pub(crate) fn baseline_put(&self, bytes: &[u8]) -> Result<(), StageError> {
        let path = order_baseline_path(&self.identity.namespace, &self.identity.work_order);
        self.retry(RETRY_TIME_OF_ARTIFACT, |token| {
            let sent = self.client.put(self.url(&path)).bearer_auth(token).body(bytes.to_vec()).send();
            accepted(sent, Reason::ArtifactsNotStored).map(drop)
        })
    }

    fn bundle_path(&self) -> String {
        bundle_path(&self.identity.namespace, &self.world, self.identity.attempt)
    }

    fn has_bundle(&self, token: &str) -> Result<bool, Setback> {
        let sent = self.client.head(self.url(&self.bundle_path())).bearer_auth(token).send();
        match sent {
            Ok(response) if response.status() == StatusCode::NOT_FOUND => Ok(false),
            sent => accepted(sent, Reason::OperatorUnreachable).map(|_| true),
        }
    }

    fn send_bundle(&self, token: &str, file: &Path) -> Result<(), Setback> {
        let unreadable = |error: std::io::Error| Setback::Final(StageError::file(file, &error));
        let opened = File::open(file).map_err(unreadable)?;
        let bytes = opened.metadata().map_err(unreadable)?.len();
        let put = |body: Body| {
            let request = self.client.put(self.url(&self.bundle_path())).timeout(TRANSFER_TIMEOUT);
            request.bearer_auth(token).body(body).send()
        };
        let sent = match put(Body::sized(opened, bytes)) {
            // Who refuses a body for its length reads none of it, and then the client learns no more than that it broke off.
            Err(error) if error.is_body() => put(Body::sized(Withheld, bytes)),
            sent => sent,
        };
        accepted(sent, Reason::ArtifactsNotStored).map(drop)
    }

    fn fetch(&self, path: &str, file: &Path) -> Result<(), StageError> {
        self.retry(RETRY_TIME_OF_ARTIFACT, |token| {
            let sent = self.client.get(self.url(path)).timeout(TRANSFER_TIMEOUT).bearer_auth(token).send();
            save(accepted(sent, Reason::EvaluationFailed)?, file)
        })
    }
}

/// A body that does not come: what is answered to it is answered to the head of the request.
struct Withheld;

impl Read for Withheld {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        std::thread::sleep(HEAD_TIME);
        Ok(0)
    }
}

/// Writes what an answer brings into a file.
///
/// - **Guarantees:** the bytes are those whose digest the answer names.
fn save(mut response: Response, file: &Path) -> Result<(), Setback> {
    let broken = |why: &str| Setback::Passing(unreachable(why));
    let unwritable = |error: std::io::Error| Setback::Final(StageError::file(file, &error));
    let expected = response.headers().get(DIGEST_HEADER).and_then(|digest| digest.to_str().ok()).map(str::to_owned);
    let expected = expected.ok_or_else(|| broken("its answer names no digest"))?;
    let mut kept = File::create(file).map_err(unwritable)?;
    let (mut digest, mut part) = (Sha256::new(), vec![0; PART_BYTES]);
    loop {
        let read = match response.read(&mut part) {
            Ok(0) => break,
            Ok(read) => &part[..read],
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(broken(&error_chain(&error))),
        };
        digest.update(read);
        kept.write_all(read).map_err(unwritable)?;
    }
    let found = hexadecimal(&digest.finalize());
    if found == expected { Ok(()) } else { Err(broken("its answer is not what its digest says")) }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;

    use manyworlds_api::result::FailureClass;
    use tempfile::TempDir;

    use super::*;
    use crate::layout::Layout;
    use crate::order::Identity;

    /// Answers every request as soon as its head is there, and reads no body.
    fn answering(answer: String) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let head = BufReader::new(stream.try_clone().unwrap());
                let lines = head.lines().map_while(Result::ok).take_while(|line| !line.is_empty());
                lines.for_each(drop);
                // A client that has gone away does not mind.
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        url
    }

    fn client(service_url: String) -> (TempDir, OperatorClient) {
        crate::tls::install_provider();
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        std::fs::create_dir_all(layout.token_directory()).unwrap();
        std::fs::write(layout.token(), "token").unwrap();
        let text = |text: &str| text.to_owned();
        let (namespace, work_order, world) = (text("team"), text("fix"), text("alpha"));
        let identity = Identity { namespace, work_order, world, attempt: 1, service_url };
        (root, OperatorClient::new(&layout, &identity).unwrap())
    }

    fn answer(status: &str, headers: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
    }

    #[test]
    fn a_base_that_is_refused_for_its_length_is_known_to_be() {
        let body = r#"{"error": {"code": "too_large", "message": "a base has at most 1 GiB", "hint": "store less"}}"#;
        let (root, client) = client(answering(answer("413 Payload Too Large", "", body)));
        let file = root.path().join("bundle");
        std::fs::write(&file, vec![0; 32 << 20]).unwrap();
        let Err(Setback::Final(error)) = client.send_bundle("token", &file) else { panic!("it was not refused") };
        let found = (error.class, error.reason);
        assert_eq!(found, (FailureClass::Evaluation, Reason::ArtifactsNotStored), "{}", error.message);
        assert!(error.message.contains("at most 1 GiB"), "{}", error.message);
    }

    #[test]
    fn an_operator_without_room_may_have_some_later() {
        let body = r#"{"error": {"code": "full", "message": "the volume is full", "hint": "make it larger"}}"#;
        let (root, client) = client(answering(answer("507 Insufficient Storage", "", body)));
        let file = root.path().join("bundle");
        std::fs::write(&file, "").unwrap();
        let Err(Setback::Passing(error)) = client.send_bundle("token", &file) else { panic!("it is over") };
        let found = (error.class, error.reason);
        assert_eq!(found, (FailureClass::Infrastructure, Reason::ArtifactsNotStored), "{}", error.message);
        assert!(error.message.contains("no room"), "{}", error.message);
    }

    #[test]
    fn what_is_fetched_is_what_its_digest_says() {
        let digest = hexadecimal(&Sha256::digest(b"change"));
        for (headers, body, kept) in [
            (format!("{DIGEST_HEADER}: {digest}\r\n"), "change", true),
            (format!("{DIGEST_HEADER}: {digest}\r\n"), "forged", false),
            (String::new(), "change", false),
        ] {
            let (root, client) = client(answering(answer("200 OK", &headers, body)));
            let response = client.client.get(client.url("/")).send().unwrap();
            let file = root.path().join("change");
            let saved = save(response, &file);
            assert_eq!(saved.is_ok(), kept, "{headers:?} {body}");
            assert!(!kept || std::fs::read(&file).unwrap() == b"change");
        }
    }

    #[test]
    fn an_order_without_a_baseline_is_no_failure() {
        let body = r#"{"error": {"code": "not_found", "message": "there is none", "hint": "wait"}}"#;
        let (root, client) = client(answering(answer("404 Not Found", "", body)));
        let file = root.path().join("baseline");
        assert!(!client.baseline_fetch(&file).unwrap() && !file.exists());
        let digest = format!("{DIGEST_HEADER}: {}\r\n", hexadecimal(&Sha256::digest(b"{}")));
        let (_root, client) = self::client(answering(answer("200 OK", &digest, "{}")));
        assert!(client.baseline_fetch(&file).unwrap());
        assert_eq!(std::fs::read(&file).unwrap(), b"{}");
    }
}
