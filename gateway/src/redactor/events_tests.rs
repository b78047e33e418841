use serde_json::json;

use super::*;

const KEY: &str = "sk-proj-abcdefghijklmnopqrstuvwx";
const VALUE: &str = "canary of the provider";

fn filter() -> Filter {
    Filter::by_pattern().with_values([VALUE], 8)
}

fn pass<'a>(protocol: Protocol, parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut events = EventRedactor::new(protocol, filter());
    let mut passed = Vec::new();
    for part in parts {
        passed.extend_from_slice(&events.feed(part).unwrap());
    }
    passed.extend_from_slice(&events.finish());
    String::from_utf8(passed).unwrap()
}

fn event(value: &Value) -> String {
    match value["type"].as_str() {
        Some(kind) => format!("event: {kind}\ndata: {value}\n\n"),
        None => format!("data: {value}\n\n"),
    }
}

/// A stream of a protocol, its text divided into pieces of so many bytes.
fn stream(protocol: Protocol, text: &str, size: usize) -> String {
    let pieces: Vec<&str> = text.as_bytes().chunks(size).map(|piece| std::str::from_utf8(piece).unwrap()).collect();
    let (mut first, mut last) = (Vec::new(), Vec::new());
    let part: fn(&str) -> Vec<Value> = match protocol {
        Protocol::OpenAi => {
            first.push(
                json!({"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": null}]}),
            );
            last.push(json!({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}));
            last.push(json!({"id": "c", "choices": [], "usage": {"prompt_tokens": 1}}));
            |piece| {
                let call = json!({"index": 1, "function": {"arguments": piece}});
                vec![
                    json!({"id": "c", "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": null}]}),
                    json!({"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": null}]}),
                ]
            }
        }
        Protocol::Anthropic => {
            first.push(json!({"type": "message_start", "message": {"usage": {"input_tokens": 1}}}));
            last.push(json!({"type": "content_block_stop", "index": 0}));
            last.push(json!({"type": "content_block_stop", "index": 1}));
            last.push(json!({"type": "message_stop"}));
            |piece| {
                vec![
                    json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}),
                    json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": piece}}),
                    json!({"type": "ping"}),
                ]
            }
        }
        Protocol::Gemini => {
            last.push(json!({"candidates": [{"content": {"parts": []}, "finishReason": "STOP"}], "usageMetadata": {}}));
            |piece| {
                vec![
                    json!({"candidates": [{"content": {"role": "model", "parts": [{"text": piece}]}}]}),
                    json!({"candidates": [{"content": {"role": "model", "parts": [{"text": piece, "thought": true}]}}]}),
                ]
            }
        }
    };
    let all = first.into_iter().chain(pieces.into_iter().flat_map(part)).chain(last);
    let done = if protocol == Protocol::OpenAi { "data: [DONE]\n\n" } else { "" };
    all.map(|value| event(&value)).chain([done.to_owned()]).collect()
}

/// Returns each text of a stream put together, as a client does it.
fn texts(stream: &str) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::<String, String>::new();
    for line in stream.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]") {
        let value: Value = serde_json::from_str(line).unwrap();
        let mut add = |name: &str, text: &Value| {
            if let Some(text) = text.as_str() {
                texts.entry(name.to_owned()).or_default().push_str(text);
            }
        };
        let delta = &value["choices"][0]["delta"];
        add("content", &delta["content"]);
        add("role", &delta["role"]);
        add("tool", &delta["tool_calls"][0]["function"]["arguments"]);
        add(&format!("{}", value["index"]), &value["delta"]["text"]);
        add(&format!("{}", value["index"]), &value["delta"]["partial_json"]);
        let part = &value["candidates"][0]["content"]["parts"][0];
        add(&format!("{}", part["thought"]), &part["text"]);
        add("responses", &value["delta"]);
    }
    texts
}

#[test]
fn a_secret_does_not_pass_however_it_is_divided_and_nothing_else_is_lost() {
    let text = format!("first {KEY} then {VALUE}, and {KEY}");
    for protocol in [Protocol::OpenAi, Protocol::Anthropic, Protocol::Gemini] {
        for size in [1, 2, 5, 11, 1000] {
            let given = stream(protocol, &text, size);
            let passed = pass(protocol, [given.as_bytes()]);
            for bytes in [1, 7] {
                assert_eq!(pass(protocol, given.as_bytes().chunks(bytes)), passed, "the network divides it too");
            }
            let (before, after) = (texts(&given), texts(&passed));
            assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
            for (name, masked) in after {
                assert_eq!(
                    masked,
                    before[&name].replace(KEY, "***").replace(VALUE, "***"),
                    "{protocol:?} {size} {name}"
                );
            }
        }
    }
}

#[test]
fn a_stream_without_secrets_passes_byte_for_byte() {
    let text = "Nothing of this is a secret. See: {\"a\": 1}";
    for protocol in [Protocol::OpenAi, Protocol::Anthropic, Protocol::Gemini] {
        let given =
            format!(": a comment\r\n\r\nretry: 5\n\n{}", stream(protocol, text, 1000)).replace("\n\n", "\r\n\r\n");
        assert_eq!(pass(protocol, given.as_bytes().chunks(3)), given);
    }
}

#[test]
fn a_secret_does_not_pass_where_lines_end_with_cr_alone() {
    for protocol in [Protocol::OpenAi, Protocol::Anthropic, Protocol::Gemini] {
        let given = stream(protocol, &format!("first {KEY} then"), 5).replace('\n', "\r");
        for bytes in [1, 7, 1000] {
            let passed = pass(protocol, given.as_bytes().chunks(bytes));
            assert!(!passed.contains("abcde"), "{passed}");
            assert!(texts(&passed.replace('\r', "\n")).values().any(|text| text == "first *** then"), "{passed}");
        }
    }
}

#[test]
fn the_order_of_events_stays_and_a_held_text_comes_before_the_end() {
    for protocol in [Protocol::OpenAi, Protocol::Anthropic, Protocol::Gemini] {
        let given = stream(protocol, "it ends with a beginning: sk-", 4);
        let passed = pass(protocol, [given.as_bytes()]);
        assert_eq!(texts(&given), texts(&passed));
        // Every event is still there, at its place; what was held comes in events more.
        let skeleton = |stream: &str| -> Vec<String> {
            let end = |line: &&str| {
                ["stop", "STOP", "usage\"", "[DONE]", "message_start"].iter().any(|word| line.contains(word))
            };
            stream.lines().filter(|line| line.starts_with("data:")).filter(end).map(str::to_owned).collect()
        };
        assert_eq!(skeleton(&given), skeleton(&passed), "{protocol:?}");
        let last_text = passed.rfind("sk-").unwrap();
        let end =
            passed.find("finish_reason\":\"stop").or(passed.find("message_stop")).or(passed.find("STOP")).unwrap();
        assert!(last_text < end, "{passed}");
    }
}

#[test]
fn a_text_that_responses_repeat_as_a_whole_is_masked_there_too() {
    let mut given = String::new();
    for piece in ["key: sk-proj-abcde", "fghijklmnopqrstuvwx", " done s"] {
        let value = json!({"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0, "delta": piece});
        given.push_str(&event(&value));
    }
    let whole = format!("key: {KEY} done s");
    given.push_str(&event(
        &json!({"type": "response.output_text.done", "item_id": "m", "output_index": 0, "text": whole}),
    ));
    given.push_str(&event(
        &json!({"type": "response.completed", "response": {"output": [{"content": [{"text": whole}]}]}}),
    ));
    let passed = pass(Protocol::OpenAi, given.as_bytes().chunks(10));
    assert_eq!(texts(&passed)["responses"], "key: *** done s");
    assert_eq!(passed.matches("key: *** done s").count(), 2, "{passed}");
    assert!(passed.rfind("\"delta\":\"s\"").unwrap() < passed.find("response.output_text.done").unwrap(), "{passed}");
    assert!(!passed.contains("abcde"));
}

#[test]
fn a_text_that_is_no_event_of_the_protocol_is_masked_as_a_text() {
    let given = format!(
        "data: not json {KEY}\n\ndata: {{\"error\":{{\"message\":\"{KEY}\"}}}}\n\ndata: {{\"choices\":[{{\"delta\":{{\"content\":\"{KEY}"
    );
    let passed = pass(Protocol::OpenAi, [given.as_bytes()]);
    assert_eq!(passed, given.replace(KEY, "***"));
}

#[test]
fn an_event_that_does_not_end_is_an_error() {
    let mut events = EventRedactor::new(Protocol::OpenAi, filter());
    let part = vec![b'a'; LARGEST_EVENT];
    assert!(events.feed(&part).is_ok());
    assert!(events.feed(b"a").is_err());
    assert!(events.feed(b"\n\ndata: 1\n\n").is_err(), "nor does anything behind it pass");
}

#[test]
fn a_secret_beside_the_data_of_an_event_is_masked_too() {
    let data = json!({"choices": [{"index": 0, "delta": {"content": "fine"}}]});
    let given = format!(": {VALUE}\nevent: {VALUE}\nid: {KEY}\ndata: {data}\n\n");
    assert_eq!(pass(Protocol::OpenAi, [given.as_bytes()]), given.replace(VALUE, "***").replace(KEY, "***"));
    // Its name comes back with what was held.
    let held = json!({"choices": [{"index": 0, "delta": {"content": "sk-proj-abc"}}]});
    let passed = pass(Protocol::OpenAi, [format!("event: {VALUE}\ndata: {held}\n\n").as_bytes()]);
    assert!(passed.contains("event: ***") && !passed.contains(VALUE), "{passed}");
}

#[test]
fn the_events_that_wait_for_the_rest_of_their_texts_are_bounded_together() {
    let mut events = EventRedactor::new(Protocol::OpenAi, filter());
    let filling = "x".repeat(LARGEST_EVENT / 3);
    let mut most = 0;
    for index in 0..5 {
        let value = json!({"filling": filling, "choices": [{"index": index, "delta": {"content": "sk-proj-abc"}}]});
        events.feed(event(&value).as_bytes()).unwrap();
        let kept: usize = events.channels.values().map(|channel| channel.size).sum();
        assert!(kept <= LARGEST_EVENT, "{kept} bytes");
        most = most.max(kept);
    }
    assert!(most > LARGEST_EVENT / 2, "two of them wait at once");
}

/// `make fuzz` runs these for longer.
mod fuzzed {
    use manyworlds_test_support::fuzz::{divided, fuzz};

    use super::*;

    /// S5: whatever bytes come, and however they are divided.
    #[test]
    fn no_stream_shows_a_known_secret() {
        let text = format!("first {KEY} then {VALUE}, {VALUE}");
        let streams =
            [Protocol::OpenAi, Protocol::Anthropic, Protocol::Gemini].map(|protocol| stream(protocol, &text, 9));
        let responses =
            json!({"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "delta": VALUE});
        let beside = format!(": {VALUE}\nevent: {VALUE}\ndata: {responses}\n\ndata: {VALUE}\ndata: [DONE]\n\n");
        let escaped = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"\\u0063{}\"}}}}]}}\n\n", &VALUE[1..]);
        let mut seeds: Vec<&[u8]> = streams.iter().map(String::as_bytes).collect();
        seeds.extend([beside.as_bytes(), escaped.as_bytes()]);
        fuzz(&seeds, |input| {
            for protocol in [Protocol::OpenAi, Protocol::Anthropic, Protocol::Gemini] {
                let passed = pass(protocol, divided(input));
                assert!(!passed.contains(VALUE), "{protocol:?}: {passed}");
                assert_eq!(passed, pass(protocol, [input]), "{protocol:?}: it depends on how the stream was divided");
            }
        });
    }
}
