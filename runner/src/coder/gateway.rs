//! The way to the model: through the gateway, waiting where it is told to (W9).

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use manyworlds_metering::price::Tokens;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::complexity::{self, Choice};
use super::context::Reduction;
use super::limits::Limits;
use super::protocol::{Answer, Protocol, Request, Turn};
use super::terms::Terms;
use crate::text::say;

/// How long an answer may take: the gateway waits for a turn and for a slow model.
const PATIENCE: Duration = Duration::from_mins(20);
/// The longest wait between two attempts.
const LONGEST_WAIT: u64 = 120;
/// How often the gateway is asked again that is away, or a model that is. The supervisor's time-out ends it in any case.
const ATTEMPTS: u32 = 30;
/// How often in a row a call is made whose answer cannot be read. Each may cost something.
const UNREADABLE: u32 = 3;

/// Says `false` where asking again is pointless, as the official clients obey it.
const SHOULD_RETRY: &str = "x-should-retry";
/// The number of the try, from the second on: the gateway counts it among its own.
const RETRY_COUNT: &str = "x-stainless-retry-count";

/// Tells the gateway how a conversation was made smaller.
const REDUCED: &str = "x-manyworlds-context-reduced";
/// The gateway says with these that it had the answer from before, which costs nothing, or that another model gave it, whose
/// prices are not known here.
const NOT_AS_LISTED: [&str; 2] = ["x-manyworlds-cache", "x-manyworlds-model"];

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The World may not call any more: its money is used up, or it was stopped.
    #[error("the gateway refuses: {0}")]
    Refused(String),
    /// The request is wrong.
    #[error("the model does not take the request ({status}): {said}")]
    Request { status: u16, said: String },
    /// Nobody answers.
    #[error("the model cannot be reached: {0}")]
    Away(String),
    /// It answers, and nobody can read it.
    #[error("{tries} answers in a row could not be read; the last: {said}")]
    Unreadable { tries: u32, said: String },
}

/// What came of one try.
enum Heard<T> {
    Answer(T, HeaderMap),
    /// An answer that broke off, or is not of its form.
    Unreadable(String),
    /// A failure that may pass, and in how many seconds, where it says so.
    Passing {
        said: String,
        after: Option<u64>,
    },
    /// A failure that does not.
    Lasting(CallError),
}

/// Calls the model.
pub(super) struct Gateway {
    client: Client,
    url: String,
    token_file: PathBuf,
    protocol: Protocol,
}

impl Gateway {
    /// Finds out which protocol the World's model speaks, and what its calls cost.
    pub(super) fn connect(url: &str, token_file: PathBuf, model: &str) -> Result<(Self, Choice), CallError> {
        let mut found = Self::new(url, token_file)?;
        // The gateway lists the World's model to clients of its own protocol only.
        let mut listed = found.listed(Protocol::Anthropic)?;
        if listed.is_empty() {
            listed = found.listed(Protocol::OpenAi)?;
        } else {
            found.protocol = Protocol::Anthropic;
        }
        let own = listed.into_iter().find(|listed| listed.name == model);
        let unknown = || Choice { name: model.to_owned(), strength: 0, terms: None, limits: Limits::default() };
        Ok((found, own.unwrap_or_else(unknown)))
    }

    /// Chooses among the models that the World may call.
    ///
    /// - **Shape:** `needed` is the strength that the task asks for.
    pub(super) fn choose(url: &str, token_file: PathBuf, needed: i64) -> Result<(Self, Choice), CallError> {
        let mut found = Self::new(url, token_file)?;
        let (openai, anthropic) = (found.listed(Protocol::OpenAi)?, found.listed(Protocol::Anthropic)?);
        let all: Vec<_> = openai.iter().chain(&anthropic).cloned().collect();
        let chosen = complexity::choose(&all, needed)
            .ok_or_else(|| CallError::Refused("no model that the World may call has a strength".to_owned()))?;
        found.protocol = if anthropic.contains(chosen) { Protocol::Anthropic } else { Protocol::OpenAi };
        Ok((found, chosen.clone()))
    }

    fn new(url: &str, token_file: PathBuf) -> Result<Self, CallError> {
        let client = Client::builder().timeout(PATIENCE).no_proxy().build();
        let client = client.map_err(|error| CallError::Away(error.to_string()))?;
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { client, url, token_file, protocol: Protocol::OpenAi })
    }

    /// Returns the models that the World may call in a protocol.
    fn listed(&self, protocol: Protocol) -> Result<Vec<Choice>, CallError> {
        let list =
            |client: &Client, url: &str, token: &str| protocol.identify(client.get(format!("{url}/v1/models")), token);
        let (listed, _) = self.send(list, |listed| Ok(listed.clone()))?;
        let choice = |model: &Value| Choice {
            name: model["id"].as_str().unwrap_or_default().to_owned(),
            strength: model["strength"].as_i64().unwrap_or_default(),
            terms: Terms::read(model),
            limits: Limits::read(model),
        };
        Ok(listed["data"].as_array().into_iter().flatten().map(choice).collect())
    }

    /// Asks for the next turn.
    ///
    /// - **Shape:** `reduction` says how the turns were made smaller, where they were.
    pub(super) fn ask(
        &self,
        request: &Request<'_>,
        turns: &[Turn],
        reduction: Option<&Reduction>,
    ) -> Result<Answer, CallError> {
        let body = self.protocol.body(request, turns).to_string();
        let path = self.protocol.path();
        let post = |client: &Client, url: &str, token: &str| {
            let call =
                client.post(format!("{url}{path}")).header("content-type", "application/json").body(body.clone());
            let call = match reduction {
                Some(reduction) => call.header(REDUCED, reduction.header()),
                None => call,
            };
            self.protocol.identify(call, token)
        };
        let (mut answer, headers) = self.send(post, |body| self.protocol.answer(body))?;
        if NOT_AS_LISTED.iter().any(|name| headers.contains_key(*name)) {
            answer.charged = Tokens::default();
        }
        Ok(answer)
    }

    /// Makes a call until there is an answer that can be read, or asking again is pointless.
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
            let after = match heard(request.send(), &read) {
                Heard::Answer(answer, headers) => return Ok((answer, headers)),
                Heard::Lasting(error) => return Err(error),
                Heard::Unreadable(said) => {
                    unreadable += 1;
                    if unreadable >= UNREADABLE {
                        return Err(CallError::Unreadable { tries: unreadable, said });
                    }
                    last = said;
                    None
                }
                Heard::Passing { said, after } => {
                    (last, unreadable) = (said, 0);
                    after
                }
            };
            let wait = after.unwrap_or_else(|| 2_u64.saturating_pow(attempt.min(6))).clamp(1, LONGEST_WAIT);
            say(&format!("coder: {last}; asking again in {wait} s"));
            sleep(Duration::from_secs(wait));
        }
        Err(CallError::Away(last))
    }
}

fn heard<T>(response: reqwest::Result<Response>, read: impl Fn(&Value) -> Result<T, String>) -> Heard<T> {
    let response = match response {
        Ok(response) => response,
        Err(error) => return Heard::Passing { said: error.without_url().to_string(), after: None },
    };
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().map_err(|error| format!("the answer broke off: {}", error.without_url()));
    if (200..=299).contains(&status) {
        let value = text
            .and_then(|text| serde_json::from_str(&text).map_err(|error| format!("the answer is no JSON: {error}")));
        return match value.and_then(|value| read(&value)) {
            Ok(answer) => Heard::Answer(answer, headers),
            Err(said) => Heard::Unreadable(said),
        };
    }
    let said = message(&text.unwrap_or_default());
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let after = header("retry-after").and_then(|value| value.parse().ok());
    // With a time it is this call's tries that are used up, or the model is left alone until then: another call may be made.
    let pointless = header(SHOULD_RETRY) == Some("false") && after.is_none();
    match status {
        402 | 403 => Heard::Lasting(CallError::Refused(said)),
        408 | 409 | 429 if pointless => Heard::Lasting(CallError::Refused(said)),
        408 | 409 | 429 | 500.. => Heard::Passing { said: format!("{status}: {said}"), after },
        _ => Heard::Lasting(CallError::Request { status, said }),
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
    fn listed(answers: Vec<&'static str>) -> (Result<Vec<Choice>, CallError>, Vec<String>) {
        crate::install_cryptography();
        let (url, asked) = serve(answers);
        let token_file = tempfile::NamedTempFile::new().unwrap();
        let gateway = Gateway::new(&url, token_file.path().to_owned()).unwrap();
        (gateway.listed(Protocol::OpenAi), asked.join().unwrap())
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
