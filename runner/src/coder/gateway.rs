//! The client of the gateway: calls the model, and waits where it is told to (W9).

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use manyworlds_metering::price::Tokens;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::complexity::{self, Model};
use super::context::Compaction;
use super::model_limits::ModelLimits;
use super::pricing::Pricing;
use super::protocol::{ModelAnswer, Protocol, Request, Turn};
use crate::text::print_line;

/// The time-out of an answer: the gateway waits for its turn and for a slow model.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(20);
/// The longest wait between two attempts.
const LONGEST_WAIT: u64 = 120;
/// The most attempts while the gateway or the model is away. The supervisor's time-out ends them in any case.
const ATTEMPTS: u32 = 30;
/// The most attempts in a row whose answers cannot be read. Each may cost something.
const UNREADABLE: u32 = 3;

/// The header that is `false` where asking again is pointless. Official clients obey it, too.
const SHOULD_RETRY: &str = "x-should-retry";
/// The number of the try, from the second on: the gateway counts it among its own.
const RETRY_COUNT: &str = "x-stainless-retry-count";

/// The header that tells the gateway how a conversation was compacted.
const COMPACTED: &str = "x-manyworlds-context-reduced";
/// The headers of an answer that the list's prices do not fit: it came from the cache, which is free, or from another model, whose
/// prices are not known here.
const PRICED_OTHERWISE: [&str; 2] = ["x-manyworlds-cache", "x-manyworlds-model"];

/// An error of a call.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The World may not call any more: its money is used up, or it was stopped.
    #[error("the gateway refuses: {0}")]
    Refused(String),
    /// The request is wrong.
    #[error("the model does not take the request ({status}): {said}")]
    Request { status: u16, said: String },
    /// The gateway or the model does not answer.
    #[error("the model cannot be reached: {0}")]
    Unreachable(String),
    /// The answers cannot be read.
    #[error("{tries} answers in a row could not be read; the last: {said}")]
    Unreadable { tries: u32, said: String },
}

/// The result of one attempt.
enum Attempt<T> {
    Answered(T, HeaderMap),
    /// An answer that broke off, or is not of its form.
    Unreadable(String),
    /// A failure that may pass, and in how many seconds, where it says so.
    Retryable {
        said: String,
        after: Option<u64>,
    },
    /// A failure that will not pass.
    Final(CallError),
}

/// Calls the model.
pub(super) struct Gateway {
    client: Client,
    url: String,
    token_file: PathBuf,
    protocol: Protocol,
}

impl Gateway {
    /// Finds the protocol of the World's model, and its prices.
    pub(super) fn connect(url: &str, token_file: PathBuf, model: &str) -> Result<(Self, Model), CallError> {
        let mut found = Self::new(url, token_file)?;
        // The gateway lists the World's model to clients of its own protocol only.
        let mut listed = found.list_models(Protocol::Anthropic)?;
        if listed.is_empty() {
            listed = found.list_models(Protocol::OpenAi)?;
        } else {
            found.protocol = Protocol::Anthropic;
        }
        let own = listed.into_iter().find(|listed| listed.name == model);
        let unknown = || Model { name: model.to_owned(), strength: 0, pricing: None, limits: ModelLimits::default() };
        Ok((found, own.unwrap_or_else(unknown)))
    }

    /// Chooses among the models that the World may call.
    ///
    /// - **Shape:** `required` is the strength that the task asks for.
    pub(super) fn choose(url: &str, token_file: PathBuf, required: i64) -> Result<(Self, Model), CallError> {
        let mut found = Self::new(url, token_file)?;
        let (openai, anthropic) = (found.list_models(Protocol::OpenAi)?, found.list_models(Protocol::Anthropic)?);
        let all: Vec<_> = openai.iter().chain(&anthropic).cloned().collect();
        let chosen = complexity::choose(&all, required)
            .ok_or_else(|| CallError::Refused("no model that the World may call has a strength".to_owned()))?;
        found.protocol = if anthropic.contains(chosen) { Protocol::Anthropic } else { Protocol::OpenAi };
        Ok((found, chosen.clone()))
    }

    fn new(url: &str, token_file: PathBuf) -> Result<Self, CallError> {
        let client = Client::builder().timeout(ANSWER_TIMEOUT).no_proxy().build();
        let client = client.map_err(|error| CallError::Unreachable(error.to_string()))?;
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { client, url, token_file, protocol: Protocol::OpenAi })
    }

    /// Returns the models that the World may call in a protocol.
    fn list_models(&self, protocol: Protocol) -> Result<Vec<Model>, CallError> {
        let list = |client: &Client, url: &str, token: &str| {
            protocol.authenticate(client.get(format!("{url}/v1/models")), token)
        };
        let (listed, _) = self.send(list, |listed| Ok(listed.clone()))?;
        let read = |model: &Value| Model {
            name: model["id"].as_str().unwrap_or_default().to_owned(),
            strength: model["strength"].as_i64().unwrap_or_default(),
            pricing: Pricing::read(model),
            limits: ModelLimits::read(model),
        };
        Ok(listed["data"].as_array().into_iter().flatten().map(read).collect())
    }

    /// Asks for the next turn.
    ///
    /// - **Shape:** `compaction` says how the turns were made smaller, where they were.
    pub(super) fn ask(
        &self,
        request: &Request<'_>,
        turns: &[Turn],
        compaction: Option<&Compaction>,
    ) -> Result<ModelAnswer, CallError> {
        let body = self.protocol.body(request, turns).to_string();
        let path = self.protocol.path();
        let post = |client: &Client, url: &str, token: &str| {
            let call =
                client.post(format!("{url}{path}")).header("content-type", "application/json").body(body.clone());
            let call = match compaction {
                Some(compaction) => call.header(COMPACTED, compaction.header()),
                None => call,
            };
            self.protocol.authenticate(call, token)
        };
        let (mut answer, headers) = self.send(post, |body| self.protocol.answer(body))?;
        if PRICED_OTHERWISE.iter().any(|name| headers.contains_key(*name)) {
            answer.charged = Tokens::default();
        }
        Ok(answer)
    }

    /// Makes a call until an answer can be read, or asking again is pointless.
    fn send<T>(
        &self,
        call: impl Fn(&Client, &str, &str) -> RequestBuilder,
        read: impl Fn(&Value) -> Result<T, String>,
    ) -> Result<(T, HeaderMap), CallError> {
        let (mut last, mut unreadable) = (String::new(), 0);
        for attempt in 0..ATTEMPTS {
            // The kubelet writes the token anew before it ends.
            let token = fs::read_to_string(&self.token_file)
                .map_err(|error| CallError::Refused(format!("{}: {error}", self.token_file.display())))?;
            let mut request = call(&self.client, &self.url, token.trim());
            if attempt > 0 {
                request = request.header(RETRY_COUNT, attempt);
            }
            let after = match read_response(request.send(), &read) {
                Attempt::Answered(answer, headers) => return Ok((answer, headers)),
                Attempt::Final(error) => return Err(error),
                Attempt::Unreadable(said) => {
                    unreadable += 1;
                    if unreadable >= UNREADABLE {
                        return Err(CallError::Unreadable { tries: unreadable, said });
                    }
                    last = said;
                    None
                }
                Attempt::Retryable { said, after } => {
                    (last, unreadable) = (said, 0);
                    after
                }
            };
            let wait = after.unwrap_or_else(|| 2_u64.saturating_pow(attempt.min(6))).clamp(1, LONGEST_WAIT);
            print_line(&format!("coder: {last}; asking again in {wait} s"));
            sleep(Duration::from_secs(wait));
        }
        Err(CallError::Unreachable(last))
    }
}

fn read_response<T>(response: reqwest::Result<Response>, read: impl Fn(&Value) -> Result<T, String>) -> Attempt<T> {
    let response = match response {
        Ok(response) => response,
        Err(error) => return Attempt::Retryable { said: error.without_url().to_string(), after: None },
    };
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().map_err(|error| format!("the answer broke off: {}", error.without_url()));
    if (200..=299).contains(&status) {
        let value = text
            .and_then(|text| serde_json::from_str(&text).map_err(|error| format!("the answer is no JSON: {error}")));
        return match value.and_then(|value| read(&value)) {
            Ok(answer) => Attempt::Answered(answer, headers),
            Err(said) => Attempt::Unreadable(said),
        };
    }
    let said = message(&text.unwrap_or_default());
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let after = header("retry-after").and_then(|value| value.parse().ok());
    // With a time it is this call's tries that are used up, or the model is left alone until then: another call may be made.
    let pointless = header(SHOULD_RETRY) == Some("false") && after.is_none();
    match status {
        402 | 403 => Attempt::Final(CallError::Refused(said)),
        408 | 409 | 429 if pointless => Attempt::Final(CallError::Refused(said)),
        408 | 409 | 429 | 500.. => Attempt::Retryable { said: format!("{status}: {said}"), after },
        _ => Attempt::Final(CallError::Request { status, said }),
    }
}

/// Returns what an error's body says, whatever its form.
fn message(text: &str) -> String {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let said = value["error"]["message"].as_str().map_or_else(|| text.to_owned(), str::to_owned);
    said.chars().take(500).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread::{self, JoinHandle};

    use super::*;

    /// Asks for the list of models where each answer is given to one connection, and returns what was asked for it.
    fn listed(answers: Vec<&'static str>) -> (Result<Vec<Model>, CallError>, Vec<String>) {
        crate::tls::install_provider();
        let (url, asked) = serve(answers);
        let token_file = tempfile::NamedTempFile::new().unwrap();
        let gateway = Gateway::new(&url, token_file.path().to_owned()).unwrap();
        (gateway.list_models(Protocol::OpenAi), asked.join().unwrap())
    }

    fn serve(answers: Vec<&'static str>) -> (String, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = move |answer: &str| {
            let (mut connection, _) = listener.accept().unwrap();
            let (mut head, mut part) = (Vec::new(), [0; 4096]);
            while !head.ends_with(b"\r\n\r\n") {
                let read = connection.read(&mut part).unwrap();
                head.extend_from_slice(&part[..read]);
            }
            connection.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(head).unwrap()
        };
        (url, thread::spawn(move || answers.into_iter().map(asked).collect()))
    }

    #[test]
    fn a_429_that_names_a_time_is_asked_again_then_and_one_without_is_not() {
        let later = "HTTP/1.1 429 Too Many Requests\r\nx-should-retry: false\r\nretry-after: 1\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
        let never = "HTTP/1.1 429 Too Many Requests\r\nx-should-retry: false\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
        let (listed, asked) = listed(vec![later, never]);
        assert!(matches!(listed, Err(CallError::Refused(_))) && asked.len() == 2);
    }

    #[test]
    fn an_answer_that_breaks_off_is_asked_for_again_with_the_number_of_the_try() {
        let broken = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\nconnection: close\r\n\r\n{\"data\":";
        let whole = "HTTP/1.1 200 OK\r\ncontent-length: 22\r\nconnection: close\r\n\r\n{\"data\":[{\"id\":\"m1\"}]}";
        let (listed, asked) = listed(vec![broken, whole]);
        assert_eq!(listed.unwrap()[0].name, "m1");
        assert!(!asked[0].contains(RETRY_COUNT), "{}", asked[0]);
        assert!(asked[1].contains("x-stainless-retry-count: 1"), "{}", asked[1]);
    }
}
