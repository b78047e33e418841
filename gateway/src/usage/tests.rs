use proptest::prelude::*;
use serde_json::json;

use super::*;

const CHAT: &str = concat!(
    "data: {\"choices\":[{\"delta\":{\"content\":\"say \\\"usage\\\"\"}}],\"usage\":null}\n\n",
    ": a comment\r\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":20,",
    "\"prompt_tokens_details\":{\"cached_tokens\":60},\"completion_tokens_details\":{\"reasoning_tokens\":5}}}\n\n",
    "data: [DONE]\n\n"
);
const RESPONSES: &str = concat!(
    "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"usage\":null}}\n\n",
    "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":100,",
    "\"input_tokens_details\":{\"cached_tokens\":60},\"output_tokens\":20,\"output_tokens_details\":{\"reasoning_tokens\":5}}}}\n\n"
);
const MESSAGES: &str = concat!(
    "event: message_start\r\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":40,",
    "\"cache_read_input_tokens\":60,\"cache_creation_input_tokens\":30,",
    "\"cache_creation\":{\"ephemeral_5m_input_tokens\":10,\"ephemeral_1h_input_tokens\":20},\"output_tokens\":1}}}\r\n\r\n",
    "event: something_new\r\ndata: {\"type\":\"something_new\"}\r\n\r\n",
    "data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":7}}\r\n\r\n",
    "data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":20,\"cache_creation_input_tokens\":30}}\r\n\r\n",
    "data: {\"type\":\"message_stop\"}\r\n\r\n"
);
const GEMINI: &str = concat!(
    "data: {\"candidates\":[{}],\"usageMetadata\":{\"promptTokenCount\":100,\"candidatesTokenCount\":3}}\n\n",
    "data: {\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":100,",
    "\"cachedContentTokenCount\":60,\"candidatesTokenCount\":15,\"thoughtsTokenCount\":5}}"
);

const OPENAI_USED: Tokens =
    Tokens { input: 40, cached: 60, cache_write_5m: 0, cache_write_1h: 0, output: 20, reasoning: 5 };
const ANTHROPIC_USED: Tokens =
    Tokens { input: 40, cached: 60, cache_write_5m: 10, cache_write_1h: 20, output: 20, reasoning: 0 };

const STREAMS: [(Protocol, &str, Tokens); 4] = [
    (Protocol::OpenAi, CHAT, OPENAI_USED),
    (Protocol::OpenAi, RESPONSES, OPENAI_USED),
    (Protocol::Anthropic, MESSAGES, ANTHROPIC_USED),
    (Protocol::Gemini, GEMINI, OPENAI_USED),
];

fn used<'a>(protocol: Protocol, parts: impl IntoIterator<Item = &'a [u8]>) -> Usage {
    let mut parser = UsageParser::new(protocol);
    parts.into_iter().for_each(|part| parser.feed(part));
    parser.finish()
}

#[test]
fn a_whole_stream_reports_its_usage_wherever_it_is_divided() {
    for (protocol, stream, tokens) in STREAMS {
        assert_eq!(used(protocol, [stream.as_bytes()]), Usage::Reported(tokens));
        assert_eq!(used(protocol, stream.as_bytes().chunks(1)), Usage::Reported(tokens), "byte by byte");
        for at in 0..stream.len() {
            let (one, other) = stream.as_bytes().split_at(at);
            assert_eq!(used(protocol, [one, other]), Usage::Reported(tokens), "divided at {at}");
        }
    }
}

#[test]
fn a_stream_that_was_cut_is_unknown() {
    for (protocol, stream, _) in STREAMS {
        let half = &stream.as_bytes()[..stream.len() / 2];
        assert!(matches!(used(protocol, [half]), Usage::Unknown(_)), "{protocol:?}");
    }
    let (before_stop, _) = MESSAGES.rsplit_once("data:").unwrap();
    assert_eq!(used(Protocol::Anthropic, [before_stop.as_bytes()]), Usage::Unknown(ANTHROPIC_USED));
    assert_eq!(used(Protocol::OpenAi, [&b"data: [DONE]\n\n"[..]]), Usage::Unknown(Tokens::default()));
}

#[test]
fn cumulative_counts_are_not_added_up() {
    let Usage::Reported(tokens) = used(Protocol::Anthropic, [MESSAGES.as_bytes()]) else {
        panic!("the stream was whole")
    };
    assert_eq!(tokens.output, 20, "1, 7 and 20 are totals");
}

#[test]
fn bodies_report_their_usage() {
    let chat = json!({"usage": {"prompt_tokens": 100, "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 60}, "completion_tokens_details": {"reasoning_tokens": 5}}});
    let embeddings = json!({"usage": {"prompt_tokens": 8, "total_tokens": 8}});
    let messages = json!({"usage": {"input_tokens": 40, "cache_read_input_tokens": 60, "output_tokens": 20,
        "cache_creation_input_tokens": 30}});
    assert_eq!(of_body(Protocol::OpenAi, &chat), Some(OPENAI_USED));
    assert_eq!(of_body(Protocol::OpenAi, &embeddings), Some(Tokens { input: 8, ..Tokens::default() }));
    let undivided = Tokens { cache_write_5m: 30, cache_write_1h: 0, ..ANTHROPIC_USED };
    assert_eq!(of_body(Protocol::Anthropic, &messages), Some(undivided));
    let kept = json!({"usage": {"input_tokens": 50, "output_tokens": 1, "input_tokens_details": {
        "cache_write_tokens": 30, "cache_write_tokens_details": {"ttl_12h_tokens": 20}}}});
    let tokens = Tokens { input: 20, cache_write_5m: 10, cache_write_1h: 20, output: 1, ..Tokens::default() };
    assert_eq!(of_body(Protocol::OpenAi, &kept), Some(tokens), "what is kept for longer is dearer");
}

#[test]
fn a_usage_without_its_input_is_none() {
    for (protocol, body) in [
        (Protocol::Gemini, json!({})),
        (Protocol::Gemini, json!({"usageMetadata": {"totalTokenCount": 9, "candidatesTokenCount": 4}})),
        (Protocol::OpenAi, json!({"usage": {"total_tokens": 9}})),
        (Protocol::Anthropic, json!({"usage": {"output_tokens": 9}})),
    ] {
        assert_eq!(of_body(protocol, &body), None, "{body}");
    }
    for (protocol, stream) in [
        (Protocol::Gemini, "data: {\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":{}}\n"),
        (Protocol::OpenAi, "data: {\"usage\":{\"completion_tokens\":1}}\ndata: [DONE]\n"),
        (
            Protocol::Anthropic,
            "data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":1}}\ndata: {\"type\":\"message_stop\"}\n",
        ),
    ] {
        assert!(matches!(used(protocol, [stream.as_bytes()]), Usage::Unknown(_)), "{stream}");
    }
}

#[test]
fn a_gemini_stream_that_comes_as_a_list_reports_its_usage_in_its_last_part() {
    let part = |output| json!({"usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": output}});
    let tokens = of_body(Protocol::Gemini, &json!([part(1), part(7), {"candidates": []}])).unwrap();
    assert_eq!((tokens.input, tokens.output), (5, 7));
    assert_eq!(of_body(Protocol::Gemini, &json!([])), None);
}

#[test]
fn numbers_that_contradict_each_other_do_not_wrap() {
    let odd = json!({"usage": {"prompt_tokens": 1, "completion_tokens": 1,
        "prompt_tokens_details": {"cached_tokens": 9, "cache_write_tokens": 9},
        "completion_tokens_details": {"reasoning_tokens": 9}}});
    let tokens = of_body(Protocol::OpenAi, &odd).unwrap();
    assert_eq!((tokens.all_input(), tokens.reasoning), (1, 1));
}

proptest! {
    #[test]
    fn no_stream_makes_a_meter_fail(bytes in prop::collection::vec(any::<u8>(), 0..2000), at in 0..2000_usize) {
        let (one, other) = bytes.split_at(at.min(bytes.len()));
        for protocol in Protocol::ALL {
            used(*protocol, [one, other]);
        }
    }
}

/// `make fuzz` runs these for longer.
mod fuzzed {
    use manyworlds_test_support::fuzz::{divided, fuzz};

    use super::*;

    #[test]
    fn the_usage_of_a_stream_depends_on_its_bytes_alone_and_never_contradicts_itself() {
        let seeds = STREAMS.map(|(_, stream, _)| stream.as_bytes());
        fuzz(&seeds, |input| {
            for protocol in Protocol::ALL {
                let usage = used(*protocol, [input]);
                assert_eq!(
                    used(*protocol, divided(input)),
                    usage,
                    "{protocol:?}: it depends on how the stream was divided"
                );
                let (Usage::Reported(tokens) | Usage::Unknown(tokens)) = usage;
                assert!(tokens.reasoning <= tokens.output && tokens.input <= tokens.all_input(), "{tokens:?}");
            }
        });
    }

    #[test]
    fn the_usage_of_a_document_never_contradicts_itself() {
        let seeds: [&[u8]; 3] = [
            br#"{"usage":{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":3,"cache_write_tokens_details":{"ttl_12h_tokens":2}},"completion_tokens":5,"completion_tokens_details":{"reasoning_tokens":2}}}"#,
            br#"{"usage":{"input_tokens":9,"cache_read_input_tokens":4,"cache_creation_input_tokens":3,"cache_creation":{"ephemeral_5m_input_tokens":1,"ephemeral_1h_input_tokens":2},"output_tokens":5}}"#,
            br#"[{"usageMetadata":{"promptTokenCount":9,"cachedContentTokenCount":4,"thoughtsTokenCount":2,"toolUsePromptTokenCount":1,"candidatesTokenCount":5}}]"#,
        ];
        fuzz(&seeds, |input| {
            let Ok(document) = serde_json::from_slice::<Value>(input) else { return };
            for tokens in Protocol::ALL.iter().filter_map(|protocol| of_body(*protocol, &document)) {
                assert!(tokens.reasoning <= tokens.output && tokens.cached <= tokens.all_input(), "{tokens:?}");
            }
        });
    }
}
