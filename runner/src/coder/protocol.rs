//! One conversation in two wire forms: OpenAI's chat completions and Anthropic's messages.

use manyworlds_planner::policy::price::Tokens;
use reqwest::blocking::RequestBuilder;
use serde_json::{Map, Value, json};

/// Which form a model speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    OpenAi,
    Anthropic,
}

/// One step of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Turn {
    /// What we say.
    User(String),
    /// What the model says and wants to be done.
    Model { text: String, calls: Vec<Call> },
    /// What came of it, in the order of the calls.
    Results(Vec<Outcome>),
}

/// A tool that the model wants to be used.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: Value,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) id: String,
    pub(super) text: String,
}

/// An answer of the model.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) calls: Vec<Call>,
    /// Tokens of input and output.
    pub(super) tokens: u64,
    /// Those of them that cost what the list says.
    pub(super) charged: Tokens,
}

impl Answer {
    fn new(text: String, calls: Vec<Call>, used: Tokens) -> Self {
        Self { text, calls, tokens: used.all_input().saturating_add(used.output), charged: used }
    }
}

/// What a tool is called and takes.
#[derive(Clone, Debug)]
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    /// JSON Schema of its arguments.
    pub(super) parameters: Value,
}

/// What is asked of the model beside the conversation.
pub(super) struct Request<'a> {
    pub(super) model: &'a str,
    pub(super) temperature: Option<f64>,
    pub(super) system: &'a str,
    pub(super) tools: &'a [Tool],
    pub(super) most_output: u64,
}

impl Protocol {
    /// Returns the path behind the gateway's address.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::OpenAi => "/v1/chat/completions",
            Self::Anthropic => "/v1/messages",
        }
    }

    /// Puts the World's token where the protocol has it.
    pub(super) fn identify(self, call: RequestBuilder, token: &str) -> RequestBuilder {
        match self {
            Self::OpenAi => call.bearer_auth(token),
            Self::Anthropic => call.header("x-api-key", token).header("anthropic-version", "2023-06-01"),
        }
    }

    /// Returns the body of a request.
    pub(super) fn body(self, request: &Request<'_>, turns: &[Turn]) -> Value {
        let mut body = match self {
            Self::OpenAi => openai_body(request, turns),
            Self::Anthropic => anthropic_body(request, turns),
        };
        if let Some(temperature) = request.temperature {
            body["temperature"] = json!(temperature);
        }
        body
    }

    /// Reads an answer.
    pub(super) fn answer(self, body: &Value) -> Result<Answer, String> {
        match self {
            Self::OpenAi => openai_answer(body),
            Self::Anthropic => anthropic_answer(body),
        }
    }
}

fn openai_body(request: &Request<'_>, turns: &[Turn]) -> Value {
    let mut messages = vec![json!({"role": "system", "content": request.system})];
    for turn in turns {
        match turn {
            Turn::User(text) => messages.push(json!({"role": "user", "content": text})),
            Turn::Model { text, calls } => {
                let mut message = json!({"role": "assistant", "content": text});
                if !calls.is_empty() {
                    let calls = calls.iter().map(|call| {
                        let function = json!({"name": call.name, "arguments": call.arguments.to_string()});
                        json!({"id": call.id, "type": "function", "function": function})
                    });
                    message["tool_calls"] = calls.collect();
                }
                messages.push(message);
            }
            Turn::Results(results) => {
                let all = results.iter();
                messages.extend(
                    all.map(|result| json!({"role": "tool", "tool_call_id": result.id, "content": result.text})),
                );
            }
        }
    }
    let tools = request.tools.iter().map(|tool| {
        let function = json!({"name": tool.name, "description": tool.description, "parameters": tool.parameters});
        json!({"type": "function", "function": function})
    });
    json!({
        "model": request.model,
        "messages": messages,
        "tools": tools.collect::<Vec<_>>(),
        "max_completion_tokens": request.most_output,
    })
}

fn anthropic_body(request: &Request<'_>, turns: &[Turn]) -> Value {
    let mut messages = Vec::new();
    for turn in turns {
        match turn {
            Turn::User(text) => messages.push(json!({"role": "user", "content": text})),
            Turn::Model { text, calls } => {
                // An empty text is none, and a message without content is refused.
                let said = (!text.is_empty() || calls.is_empty())
                    .then(|| json!({"type": "text", "text": if text.is_empty() { "-" } else { text }}));
                let used = calls
                    .iter()
                    .map(|call| json!({"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}));
                messages
                    .push(json!({"role": "assistant", "content": said.into_iter().chain(used).collect::<Vec<_>>()}));
            }
            Turn::Results(results) => {
                let all = results
                    .iter()
                    .map(|result| json!({"type": "tool_result", "tool_use_id": result.id, "content": result.text}));
                messages.push(json!({"role": "user", "content": all.collect::<Vec<_>>()}));
            }
        }
    }
    let tools = request
        .tools
        .iter()
        .map(|tool| json!({"name": tool.name, "description": tool.description, "input_schema": tool.parameters}));
    // What stays the same from call to call is read from the cache: the tools, and the system's text behind them.
    let system = json!([{"type": "text", "text": request.system, "cache_control": {"type": "ephemeral"}}]);
    json!({
        "model": request.model,
        "system": system,
        "messages": messages,
        "tools": tools.collect::<Vec<_>>(),
        "max_tokens": request.most_output,
    })
}

fn openai_answer(body: &Value) -> Result<Answer, String> {
    let message = &body["choices"][0]["message"];
    if !message.is_object() {
        return Err(format!("the answer has no message: {}", shortened(body)));
    }
    let calls = message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    let calls = calls.iter().map(|call| Call {
        id: text(&call["id"]),
        name: text(&call["function"]["name"]),
        // What is no JSON is shown to the model as a call without arguments, which the tool refuses.
        arguments: serde_json::from_str(call["function"]["arguments"].as_str().unwrap_or_default())
            .unwrap_or_else(|_| Value::Object(Map::new())),
    });
    let usage = &body["usage"];
    // The prompt counts what was read from the cache and what was written to it, too.
    let (all, output) = (number(&usage["prompt_tokens"]), number(&usage["completion_tokens"]));
    let cached = number(&usage["prompt_tokens_details"]["cached_tokens"]).min(all);
    let written = number(&usage["prompt_tokens_details"]["cache_write_tokens"]).min(all - cached);
    let reasoning = number(&usage["completion_tokens_details"]["reasoning_tokens"]).min(output);
    let input = all - cached - written;
    let used = Tokens { input, cached, cache_write_5m: written, cache_write_1h: 0, output, reasoning };
    Ok(Answer::new(text(&message["content"]), calls.collect(), used))
}

fn anthropic_answer(body: &Value) -> Result<Answer, String> {
    let Some(blocks) = body["content"].as_array() else {
        return Err(format!("the answer has no content: {}", shortened(body)));
    };
    let said: Vec<_> =
        blocks.iter().filter(|block| block["type"] == "text").map(|block| text(&block["text"])).collect();
    let calls = blocks.iter().filter(|block| block["type"] == "tool_use").map(|block| Call {
        id: text(&block["id"]),
        name: text(&block["name"]),
        arguments: block["input"].clone(),
    });
    let usage = &body["usage"];
    let used = Tokens {
        input: number(&usage["input_tokens"]),
        cached: number(&usage["cache_read_input_tokens"]),
        // What is asked for is kept for five minutes.
        cache_write_5m: number(&usage["cache_creation_input_tokens"]),
        output: number(&usage["output_tokens"]),
        ..Tokens::default()
    };
    Ok(Answer::new(said.join("\n"), calls.collect(), used))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn shortened(body: &Value) -> String {
    body.to_string().chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns() -> Vec<Turn> {
        let call = Call { id: "c1".into(), name: "read_file".into(), arguments: json!({"path": "a"}) };
        vec![
            Turn::User("task".into()),
            Turn::Model { text: String::new(), calls: vec![call] },
            Turn::Results(vec![Outcome { id: "c1".into(), text: "1: x".into() }]),
        ]
    }

    fn request() -> Request<'static> {
        Request { model: "m", temperature: Some(0.5), system: "s", tools: &[], most_output: 100 }
    }

    #[test]
    fn both_forms_pair_each_call_with_its_result() {
        let openai = Protocol::OpenAi.body(&request(), &turns());
        assert_eq!(openai["messages"][2]["tool_calls"][0]["function"]["arguments"], "{\"path\":\"a\"}");
        assert_eq!(openai["messages"][3]["tool_call_id"], "c1");
        assert_eq!(openai["temperature"], 0.5);
        let anthropic = Protocol::Anthropic.body(&request(), &turns());
        assert_eq!(anthropic["messages"][1]["content"][0]["type"], "tool_use", "an empty text is left out");
        assert_eq!(anthropic["messages"][2]["content"][0]["tool_use_id"], "c1");
        assert_eq!(anthropic["max_tokens"], 100);
    }

    #[test]
    fn both_forms_are_read() {
        let arguments = "{\"path\":\"a\"}";
        let openai = json!({
            "choices": [{"message": {"content": "hm", "tool_calls": [
                {"id": "c", "function": {"name": "read_file", "arguments": arguments}}]}}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 6}},
        });
        let anthropic = json!({
            "content": [{"type": "text", "text": "hm"},
                {"type": "tool_use", "id": "c", "name": "read_file", "input": {"path": "a"}}],
            "usage": {"input_tokens": 4, "cache_read_input_tokens": 6, "output_tokens": 5},
        });
        let expected = Answer {
            text: "hm".into(),
            calls: vec![Call { id: "c".into(), name: "read_file".into(), arguments: json!({"path": "a"}) }],
            tokens: 15,
            charged: Tokens { input: 4, cached: 6, output: 5, ..Tokens::default() },
        };
        assert_eq!(Protocol::OpenAi.answer(&openai).unwrap(), expected);
        assert_eq!(Protocol::Anthropic.answer(&anthropic).unwrap(), expected);
        assert!(Protocol::OpenAi.answer(&anthropic).is_err() && Protocol::Anthropic.answer(&openai).is_err());
    }

    #[test]
    fn arguments_that_are_no_json_are_none() {
        let answer = json!({"choices": [{"message": {"tool_calls": [{"id": "c", "function": {"name": "run", "arguments": "{"}}]}}]});
        assert_eq!(Protocol::OpenAi.answer(&answer).unwrap().calls[0].arguments, json!({}));
    }
}
