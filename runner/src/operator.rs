//! The client of the operator's API: pins the base, stores artifacts. Files go to and fro by [`transfer`].

mod transfer;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use manyworlds_api::artifacts::{
    ApiError, ArtifactDigest, ArtifactName, BaseCommit, base_path, hexadecimal, upload_path,
};
use manyworlds_api::conditions::Reason;
use manyworlds_api::errors::error_chain;
use manyworlds_api::labels;
use manyworlds_api::result::FailureClass;
use reqwest::StatusCode;
use reqwest::blocking::{Client, Response};
use reqwest::redirect::Policy;
use sha2::{Digest, Sha256};

use crate::layout::Layout;
use crate::order::Identity;
use crate::stage::StageError;
use crate::text::print_line;

/// The longest time that pinning the base is retried. Nothing is lost yet when it fails.
const RETRY_TIME_OF_BASE: Duration = Duration::from_secs(90);
/// The longest time that storing an artifact is retried. The work is done by then, so much is lost when it fails.
const RETRY_TIME_OF_ARTIFACT: Duration = Duration::from_mins(5);
/// The longest time that storing the log of a failed attempt is retried.
const RETRY_TIME_OF_FAILED_ATTEMPT: Duration = Duration::from_secs(20);
/// The time-out of a request that nothing depends on.
const TRY_TIMEOUT: Duration = Duration::from_secs(5);
/// The time-out of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
/// The first and the longest wait between tries.
const RETRY_INTERVALS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// A client of the operator for one World.
pub(crate) struct OperatorClient {
    client: Client,
    identity: Identity,
    world: String,
    token: PathBuf,
}

impl OperatorClient {
    pub(crate) fn new(layout: &Layout, identity: &Identity) -> Result<Self, StageError> {
        let client = Client::builder().timeout(REQUEST_TIMEOUT).no_proxy().redirect(Policy::none()).build();
        let client = client.map_err(|error| {
            StageError::new(FailureClass::Infrastructure, Reason::Unexpected, format!("no HTTP client: {error}"))
        })?;
        let world = labels::world_name(&identity.work_order, &identity.world);
        Ok(Self { client, identity: identity.clone(), world, token: layout.token() })
    }

    /// Returns the commit that all Worlds of the order start from: ours, if we are the first.
    pub(crate) fn base_pin(&self, commit: &str) -> Result<String, StageError> {
        let path = base_path(&self.identity.namespace, &self.world, self.identity.attempt);
        let body = BaseCommit { commit: commit.to_owned() };
        let response = self.retry(RETRY_TIME_OF_BASE, |token| {
            let sent = self.client.post(self.url(&path)).bearer_auth(token).json(&body).send();
            accepted(sent, Reason::OperatorUnreachable)
        })?;
        let pinned: BaseCommit = response.json().map_err(|error| unreachable(&error.to_string()))?;
        Ok(pinned.commit)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.identity.service_url)
    }

    /// Stores an artifact.
    pub(crate) fn artifact_put(&self, name: ArtifactName, bytes: &[u8]) -> Result<ArtifactDigest, StageError> {
        self.put(name, bytes, RETRY_TIME_OF_ARTIFACT)
    }

    fn put(&self, name: ArtifactName, bytes: &[u8], retry_time: Duration) -> Result<ArtifactDigest, StageError> {
        let path = upload_path(&self.identity.namespace, &self.world, self.identity.attempt, name);
        self.retry(retry_time, |token| {
            let sent = self.client.put(self.url(&path)).bearer_auth(token).body(bytes.to_vec()).send();
            accepted(sent, Reason::ArtifactsNotStored)
        })?;
        Ok(digest(name, bytes))
    }

    /// Stores an artifact if the operator takes it at once: a log that can be read elsewhere is worth no wait.
    ///
    /// Returns nothing where it was not taken.
    pub(crate) fn artifact_try_put(&self, name: ArtifactName, bytes: &[u8]) -> Option<ArtifactDigest> {
        let path = upload_path(&self.identity.namespace, &self.world, self.identity.attempt, name);
        let token = fs::read_to_string(&self.token).ok()?;
        let sent =
            self.client.put(self.url(&path)).timeout(TRY_TIMEOUT).bearer_auth(token.trim()).body(bytes.to_vec()).send();
        if let Err(error) = sent.and_then(Response::error_for_status) {
            print_line(&format!("the operator did not take the artifact {name}: {}", error_chain(&error)));
            return None;
        }
        Some(digest(name, bytes))
    }

    /// Stores an artifact of an attempt that has failed. The failure is what counts, so the wait is short and what was
    /// not stored is no other failure.
    pub(crate) fn artifact_put_or_lose(&self, name: ArtifactName, bytes: &[u8]) {
        if let Err(error) = self.put(name, bytes, RETRY_TIME_OF_FAILED_ATTEMPT) {
            print_line(&format!("the artifact {name} is lost: {}", error.message));
        }
    }

    /// Tries until it succeeds, no other try would help, or the time is up.
    fn retry<T>(&self, retry_time: Duration, attempt: impl Fn(&str) -> Result<T, Setback>) -> Result<T, StageError> {
        let deadline = Instant::now() + retry_time;
        let (mut wait, longest) = RETRY_INTERVALS;
        loop {
            // Read anew each time: the kubelet renews the token.
            let token = fs::read_to_string(&self.token).map_err(|error| StageError::file(&self.token, &error))?;
            let error = match attempt(token.trim()) {
                Ok(done) => return Ok(done),
                Err(Setback::Final(error)) => return Err(error),
                Err(Setback::Passing(error)) => error,
            };
            if Instant::now() + wait > deadline {
                return Err(error);
            }
            print_line(&format!("{}; trying again", error.message));
            std::thread::sleep(wait);
            wait = (wait * 2).min(longest);
        }
    }
}

/// The failure of one try.
#[derive(Debug)]
enum Setback {
    /// Another try may succeed.
    Passing(StageError),
    /// No other try would help.
    Final(StageError),
}

/// Returns the operator's answer, where it did what it was asked for.
fn accepted(sent: reqwest::Result<Response>, refusal: Reason) -> Result<Response, Setback> {
    let response = sent.map_err(|error| Setback::Passing(unreachable(&error_chain(&error))))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let said = response.json::<ApiError>().map_or_else(|_| status.to_string(), |body| body.error.message);
    if status == StatusCode::INSUFFICIENT_STORAGE {
        let message = format!("the operator has no room for what the World sent: {said}");
        return Err(Setback::Passing(StageError::new(FailureClass::Infrastructure, refusal, message)));
    }
    // The operator may not have seen this pod yet, so even a refusal is worth another try for a while.
    if !status.is_client_error() || matches!(status.as_u16(), 401 | 403 | 408 | 429) {
        return Err(Setback::Passing(unreachable(&said)));
    }
    let message = format!("the operator refused what the World asked for: {said}");
    // What is too large, or is not there, is so in every attempt: such an attempt counts.
    let class = match status {
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::NOT_FOUND => FailureClass::Evaluation,
        _ => FailureClass::Infrastructure,
    };
    Err(Setback::Final(StageError::new(class, refusal, message)))
}

fn digest(name: ArtifactName, bytes: &[u8]) -> ArtifactDigest {
    let sha256 = hexadecimal(&Sha256::digest(bytes));
    ArtifactDigest { name, sha256, bytes: i64::try_from(bytes.len()).unwrap_or(i64::MAX) }
}

fn unreachable(why: &str) -> StageError {
    let message =
        format!("the operator could not be reached from the pod: {why}; check its Service and the NetworkPolicies");
    StageError::new(FailureClass::Infrastructure, Reason::OperatorUnreachable, message)
}
