//! The way to the model: through the gateway, waiting where it is told to (W9).

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use manyworlds_planner::policy::price::Tokens;
use reqwest::blocking::Client;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::complexity::{self, Choice};
use super::context::Reduction;
use super::protocol::{Answer, Protocol, Request, Turn};
use super::terms::Terms;
use crate::text::say;

/// How long an answer may take: the gateway waits for a turn and for a slow model.
const PATIENCE: Duration = Duration::from_mins(20);
/// The longest wait between two attempts.
const LONGEST_WAIT: u64 = 120;
/// How often the gateway is asked again that is away, or a model that is. The supervisor's time-out ends it in any case.
const ATTEMPTS: u32 = 30;

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
        Ok((found, own.unwrap_or_else(|| Choice { name: model.to_owned(), strength: 0, terms: None })))
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
        let (listed, _) =
            self.send(|client, url, token| protocol.identify(client.get(format!("{url}/v1/models")), token))?;
        let choice = |model: &Value| Choice {
            name: model["id"].as_str().unwrap_or_default().to_owned(),
            strength: model["strength"].as_i64().unwrap_or_default(),
            terms: Terms::read(model),
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
        let (value, headers) = self.send(|client, url, token| {
            let call =
                client.post(format!("{url}{path}")).header("content-type", "application/json").body(body.clone());
            let call = match reduction {
                Some(reduction) => call.header(REDUCED, reduction.header()),
                None => call,
            };
            self.protocol.identify(call, token)
        })?;
        let mut answer = self.protocol.answer(&value).map_err(|said| CallError::Request { status: 200, said })?;
        if NOT_AS_LISTED.iter().any(|name| headers.contains_key(*name)) {
            answer.charged = Tokens::default();
        }
        Ok(answer)
    }

    fn send(
        &self,
        call: impl Fn(&Client, &str, &str) -> reqwest::blocking::RequestBuilder,
    ) -> Result<(Value, HeaderMap), CallError> {
        let mut last = String::new();
        for attempt in 0..ATTEMPTS {
            // The kubelet writes the token anew before it ends.
            let token = fs::read_to_string(&self.token_file)
                .map_err(|error| CallError::Refused(format!("{}: {error}", self.token_file.display())))?;
            let wait = match call(&self.client, &self.url, token.trim()).send() {
                Ok(response) => {
                    let status = response.status().as_u16();
                    let after =
                        response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
                    let headers = response.headers().clone();
                    let text = response.text().unwrap_or_default();
                    match status {
                        200..=299 => {
                            return serde_json::from_str(&text)
                                .map(|value| (value, headers))
                                .map_err(|error| CallError::Request { status, said: error.to_string() });
                        }
                        402 | 403 => return Err(CallError::Refused(message(&text))),
                        408 | 409 | 429 | 500.. => {
                            last = format!("{status}: {}", message(&text));
                            after
                        }
                        _ => return Err(CallError::Request { status, said: message(&text) }),
                    }
                }
                Err(error) => {
                    last = error.without_url().to_string();
                    None
                }
            };
            let wait = wait.unwrap_or_else(|| 2_u64.saturating_pow(attempt.min(6))).clamp(1, LONGEST_WAIT);
            say(&format!("coder: {last}; asking again in {wait} s"));
            sleep(Duration::from_secs(wait));
        }
        Err(CallError::Away(last))
    }
}

/// Returns what an error's body says, whatever its form.
fn message(text: &str) -> String {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let said = value["error"]["message"].as_str().map_or_else(|| text.to_owned(), str::to_owned);
    said.chars().take(500).collect()
}
