//! One conversation in two wire forms: OpenAI's chat completions and Anthropic's messages.

mod anthropic;
mod message;
mod openai;

use reqwest::blocking::RequestBuilder;
use serde_json::{Value, json};

pub(super) use message::{Completeness, ModelAnswer, ModelMessage, Request, Tool, ToolCall, ToolResult, Turn};

/// The wire form that a model speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    OpenAi,
    Anthropic,
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
    pub(super) fn authenticate(self, call: RequestBuilder, token: &str) -> RequestBuilder {
        match self {
            Self::OpenAi => call.bearer_auth(token),
            Self::Anthropic => call.header("x-api-key", token).header("anthropic-version", "2023-06-01"),
        }
    }

    /// Returns the body of a request.
    pub(super) fn body(self, request: &Request<'_>, turns: &[Turn]) -> Value {
        let mut body = match self {
            Self::OpenAi => openai::body(request, turns),
            Self::Anthropic => anthropic::body(request, turns),
        };
        if let Some(temperature) = request.temperature {
            body["temperature"] = json!(temperature);
        }
        body
    }

    /// Reads an answer.
    pub(super) fn answer(self, body: &Value) -> Result<ModelAnswer, String> {
        match self {
            Self::OpenAi => openai::answer(body),
            Self::Anthropic => anthropic::answer(body),
        }
    }
}

#[cfg(test)]
mod tests {
    use manyworlds_metering::price::Tokens;

    use super::*;

    /// Returns a conversation in which a model has answered in its own form.
    fn turns(protocol: Protocol, answer: &Value) -> Vec<Turn> {
        vec![
            Turn::User("task".into()),
            Turn::Model(protocol.answer(answer).unwrap().message),
            Turn::ToolResults(vec![ToolResult { id: "c1".into(), text: "1: x".into() }]),
        ]
    }

    /// Returns how a model's answer is sent back to it.
    fn sent_back(protocol: Protocol, answer: &Value) -> Value {
        let body = protocol.body(&request(), &turns(protocol, answer));
        let mut messages = body["messages"].as_array().unwrap().iter();
        messages.find(|message| message["role"] == "assistant").unwrap().clone()
    }

    fn openai(message: &Value) -> Value {
        json!({"choices": [{"message": message}]})
    }

    fn request() -> Request<'static> {
        Request { model: "m", temperature: Some(0.5), system: "s", tools: &[], max_output_tokens: 100 }
    }

    #[test]
    fn both_forms_pair_each_call_with_its_result() {
        let function = json!({"name": "read_file", "arguments": "{\"path\":\"a\"}"});
        let answer = openai(&json!({"tool_calls": [{"id": "c1", "type": "function", "function": function}]}));
        let openai = Protocol::OpenAi.body(&request(), &turns(Protocol::OpenAi, &answer));
        assert_eq!(openai["messages"][2]["tool_calls"][0]["function"]["arguments"], "{\"path\":\"a\"}");
        assert_eq!(openai["messages"][3]["tool_call_id"], "c1");
        assert_eq!(openai["temperature"], 0.5);
        let used = json!({"type": "tool_use", "id": "c1", "name": "read_file", "input": {"path": "a"}});
        let answer = json!({"content": [{"type": "text", "text": ""}, used]});
        let anthropic = Protocol::Anthropic.body(&request(), &turns(Protocol::Anthropic, &answer));
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
        let arguments = json!({"path": "a"});
        let call =
            ToolCall { id: "c".into(), name: "read_file".into(), arguments, completeness: Completeness::Complete };
        for (protocol, body) in [(Protocol::OpenAi, &openai), (Protocol::Anthropic, &anthropic)] {
            let ModelAnswer { message, completeness, tokens, charged } = protocol.answer(body).unwrap();
            assert_eq!(completeness, Completeness::Complete);
            assert_eq!((message.text.as_str(), message.calls), ("hm", vec![call.clone()]));
            assert_eq!((tokens, charged), (15, Tokens { input: 4, cached: 6, output: 5, ..Tokens::default() }));
        }
        assert!(Protocol::OpenAi.answer(&anthropic).is_err() && Protocol::Anthropic.answer(&openai).is_err());
    }

    #[test]
    fn an_openai_message_goes_back_as_it_came() {
        let signature = json!({"google": {"thought_signature": "c2lnbmF0dXJl"}});
        let call = json!({
            "index": 0, "id": "c1", "type": "function", "extra_content": signature,
            "function": {"name": "run", "arguments": "{ \"command\": \"ls\" }"},
        });
        let sent = sent_back(
            Protocol::OpenAi,
            &openai(&json!({
                "role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [call],
                "refusal": null, "annotations": [], "audio": null, "function_call": null,
            })),
        );
        let call = json!({
            "id": "c1", "type": "function", "extra_content": signature,
            "function": {"name": "run", "arguments": "{ \"command\": \"ls\" }"},
        });
        let expected = json!({"role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [call]});
        assert_eq!(sent, expected);
        let sent = sent_back(Protocol::OpenAi, &openai(&json!({"reasoning_content": "hm", "tool_calls": []})));
        assert_eq!(sent, json!({"role": "assistant", "content": "", "reasoning_content": "hm"}));
    }

    #[test]
    fn anthropic_blocks_go_back_as_they_came_without_empty_texts() {
        let thinking = json!({"type": "thinking", "thinking": "hm", "signature": "c2lnbmF0dXJl"});
        let redacted = json!({"type": "redacted_thinking", "data": "ZGF0YQ=="});
        let used = json!({"type": "tool_use", "id": "c1", "name": "run", "input": {}, "caller": {"type": "direct"}});
        let (empty, dash) = (json!({"type": "text", "text": " \n"}), json!({"type": "text", "text": "-"}));
        for (blocks, expected) in [
            (vec![&thinking, &redacted, &empty, &used], vec![&thinking, &redacted, &used]),
            (vec![&empty], vec![&dash]),
            (vec![], vec![&dash]),
            (vec![&thinking, &empty], vec![&thinking, &dash]),
        ] {
            let sent = sent_back(Protocol::Anthropic, &json!({"content": blocks}));
            assert_eq!(sent, json!({"role": "assistant", "content": expected}));
        }
    }

    #[test]
    fn the_call_in_which_an_answer_was_cut_is_told_from_those_before() {
        let call = |arguments: &str| json!({"id": "c", "function": {"name": "run", "arguments": arguments}});
        let message = json!({"tool_calls": [call("{}"), call("{\"command\": \"l")]});
        let openai = json!({"choices": [{"message": message, "finish_reason": "length"}]});
        let used = json!({"type": "tool_use", "id": "c", "name": "run", "input": {"command": "l"}});
        let anthropic = json!({"content": [used, used], "stop_reason": "max_tokens"});
        for (protocol, body) in [(Protocol::OpenAi, openai), (Protocol::Anthropic, anthropic)] {
            let answer = protocol.answer(&body).unwrap();
            let states: Vec<_> = answer.message.calls.iter().map(|call| call.completeness).collect();
            assert_eq!(
                (answer.completeness, states),
                (Completeness::Truncated, vec![Completeness::Complete, Completeness::Truncated])
            );
        }
        let said = json!({"type": "text", "text": "hm"});
        let anthropic = json!({"content": [used, said], "stop_reason": "max_tokens"});
        assert_eq!(
            Protocol::Anthropic.answer(&anthropic).unwrap().message.calls[0].completeness,
            Completeness::Complete
        );
    }

    #[test]
    fn arguments_that_are_no_json_are_none() {
        for arguments in [json!("{"), json!(""), Value::Null] {
            let call = json!({"id": "c1", "function": {"name": "run", "arguments": arguments}});
            let answer = openai(&json!({"tool_calls": [call, "no call"]}));
            assert_eq!(Protocol::OpenAi.answer(&answer).unwrap().message.calls[0].arguments, json!({}));
            let sent = sent_back(Protocol::OpenAi, &answer);
            assert_eq!(sent["tool_calls"][0]["function"]["arguments"], "{}", "a server may refuse broken ones");
        }
    }
}
