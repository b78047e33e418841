//! The script: the rules by which the server answers.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::conversation::{Conversation, Form};

/// The answers of a server.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Script {
    /// The rules of each model, tried in order. Those of `*` hold for all models, after their own.
    pub models: BTreeMap<String, Vec<Rule>>,
    /// The models that are listed to Anthropic's clients. All others are OpenAI's.
    pub anthropic: Vec<String>,
    /// The strength of models, as a gateway lists it, for clients of their own protocol.
    pub strengths: BTreeMap<String, i64>,
    /// Other fields that a gateway lists of models, such as prices.
    pub terms: BTreeMap<String, Map<String, Value>>,
    /// The only key that a call may bring. Without it, any call is let in.
    pub key: Option<String>,
    /// The rate limit. Calls above it are refused with 429.
    pub rate_limit: Option<RateLimit>,
}

impl Script {
    /// Returns the models that are listed to Anthropic's clients, or to the others.
    pub(crate) fn listed(&self, protocol: Form) -> Vec<Value> {
        let anthropic = protocol == Form::Messages;
        let own = |name: &&String| self.anthropic.contains(name) == anthropic;
        let bare = self.anthropic.iter().filter(|name| anthropic && !self.strengths.contains_key(*name));
        let strong = self.strengths.keys().filter(own);
        let entry = |name: &String| {
            let mut entry = self.terms.get(name).cloned().unwrap_or_default();
            entry.insert("id".to_owned(), json!(name));
            entry.extend(self.strengths.get(name).map(|strength| ("strength".to_owned(), json!(strength))));
            Value::Object(entry)
        };
        bare.chain(strong).map(entry).collect()
    }
}

/// One rule.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rule {
    /// The number of answers that the conversation must have already. Without it, any number.
    pub turn: Option<usize>,
    /// A text that the last message must hold.
    pub contains: Option<String>,
    /// The number of times that the rule holds. Without it, always.
    pub times: Option<u32>,
    /// The answer.
    pub reply: Reply,
}

/// One answer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Reply {
    /// Its text.
    pub text: Option<String>,
    /// The tools that the model wants to use.
    pub tool_calls: Vec<ToolCall>,
    /// The usage. Without it, it is estimated from the lengths.
    pub usage: Option<Usage>,
    /// A status other than 200, with the vendor's own error.
    pub status: Option<u16>,
    /// Headers beside the usual ones.
    pub headers: BTreeMap<String, String>,
    /// A body that replaces the vendor's.
    pub body: Option<String>,
    /// The wait before the answer begins, in milliseconds.
    pub delay_ms: u64,
    /// The wait between the parts of a stream, in milliseconds.
    pub pause_ms: u64,
    /// The number of parts of a stream after which the connection is cut.
    pub cut_after: Option<usize>,
    /// The number of parts into which the text of a stream is divided.
    pub parts: Option<usize>,
}

/// A tool that a model wants to be used.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub arguments: Value,
}

/// The tokens that an answer has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Usage {
    /// Input tokens, those of the cache not counted.
    pub input: u64,
    /// Input tokens from the cache.
    pub cached: u64,
    /// Output tokens.
    pub output: u64,
}

/// The limits of any minute.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RateLimit {
    /// Calls.
    pub requests: u64,
    /// Tokens.
    pub tokens: u64,
}

/// Why a script cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the script is not of its form: {0}")]
pub struct ScriptError(#[from] serde_json::Error);

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    ///
    /// [`ScriptError`].
    pub fn read(text: &str) -> Result<Self, ScriptError> {
        Ok(serde_json::from_str(text)?)
    }

    /// Returns the answer to a conversation, and uses up one of the rule's times.
    pub(crate) fn reply(&mut self, conversation: &Conversation) -> Reply {
        for name in [conversation.model.as_str(), "*"] {
            let rules = self.models.get_mut(name).map(Vec::as_mut_slice).unwrap_or_default();
            if let Some(rule) = rules.iter_mut().find(|rule| rule.matches(conversation)) {
                rule.times = rule.times.map(|times| times.saturating_sub(1));
                return rule.reply.clone();
            }
        }
        Reply { text: Some("This is a scripted answer.".to_owned()), ..Reply::default() }
    }
}

impl Rule {
    fn matches(&self, conversation: &Conversation) -> bool {
        self.times != Some(0)
            && self.turn.is_none_or(|turn| turn == conversation.turns)
            && self.contains.as_ref().is_none_or(|text| conversation.last.contains(text.as_str()))
    }
}

impl Reply {
    /// Returns the usage of the answer.
    pub(crate) fn used(&self, conversation: &Conversation) -> Usage {
        let said = self.text.as_deref().unwrap_or_default().len();
        let called: usize = self.tool_calls.iter().map(|call| call.arguments.to_string().len() + 8).sum();
        let tokens = |bytes: usize| u64::try_from(bytes.div_ceil(4)).unwrap_or(u64::MAX).max(1);
        self.usage.unwrap_or(Usage { input: tokens(conversation.bytes), cached: 0, output: tokens(said + called) })
    }

    /// Returns the text in the parts in which it is streamed.
    pub(crate) fn parts(&self) -> Vec<String> {
        let text = self.text.clone().unwrap_or_default();
        let wanted = self.parts.unwrap_or(3).max(1);
        let characters: Vec<_> = text.chars().collect();
        if characters.is_empty() && self.parts.is_none() {
            return Vec::new();
        }
        let size = characters.len().div_ceil(wanted).max(1);
        let mut parts: Vec<String> = characters.chunks(size).map(|part| part.iter().collect()).collect();
        parts.resize(wanted.max(parts.len()), "-".to_owned());
        parts
    }
}
