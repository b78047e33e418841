//! The request policy: a request may ask for tokens of its one model, and for nothing else. Nobody knows what the rest costs,
//! and some of it happens where no limit of the World holds.

use manyworlds_api::provider::Protocol;
use serde_json::Value;

use crate::endpoint::Endpoint;
use crate::fields::{Fields, FieldsError};
use crate::modalities::Modalities;
use crate::refusal::Refusal;

// Why a field is refused.
const PRICES: &str = "has prices that are not known";
const MODELS: &str = "would have other models answer than the World's";
const REACH: &str = "has the Provider reach elsewhere and charge by use, which no price is known of";
const LATER: &str = "would have the call go on where nothing stops it";
const PAYER: &str = "says who is to pay";
const UNCOUNTED: &str = "has tokens that no answer counts";
const KEPT: &str = "stands for what only the Provider knows, tools included";

/// Fields that a request may leave out, switch off or set to one of these values, with the reason against others. A name means
/// the same to every server that knows it: OpenAI's, Anthropic's, Gemini's and those like them.
const FIELDS: [(&str, &[&str], &str); 27] = [
    ("service_tier", &["auto", "default", "standard", "standard_only"], PRICES),
    ("serviceTier", &["standard"], PRICES),
    ("speed", &["standard"], PRICES),
    ("inference_geo", &[], PRICES),
    ("provider", &[], PRICES),
    ("modalities", &["text"], PRICES),
    ("audio", &[], PRICES),
    ("multi_agent", &[], UNCOUNTED),
    ("compaction", &[], UNCOUNTED),
    ("billing_policy", &[], PAYER),
    ("access_programs", &[], PAYER),
    ("fallbacks", &[], MODELS),
    ("context_window_fallbacks", &[], MODELS),
    ("content_policy_fallbacks", &[], MODELS),
    ("models", &[], MODELS),
    ("preset", &[], MODELS),
    ("route", &[], MODELS),
    ("providerOptions", &[], MODELS),
    ("background", &[], LATER),
    ("deferred", &[], LATER),
    ("mcp_servers", &[], REACH),
    ("web_search_options", &[], REACH),
    ("search_parameters", &[], REACH),
    ("enable_search", &[], REACH),
    ("data_sources", &[], REACH),
    ("plugins", &[], REACH),
    ("web_search", &[], REACH),
];
/// The same for fields within fields.
const WITHIN: [(&str, &str, &[&str], &str); 5] = [
    ("reasoning", "mode", &["standard"], MODELS),
    ("generationConfig", "responseModalities", &["text"], PRICES),
    ("generationConfig", "response_modalities", &["text"], PRICES),
    ("generation_config", "responseModalities", &["text"], PRICES),
    ("generation_config", "response_modalities", &["text"], PRICES),
];
/// OpenAI's tools that the client runs, or that only search the others.
const OPENAI: [&str; 7] =
    ["function", "custom", "tool_search", "apply_patch", "local_shell", "computer", "computer_use_preview"];
/// Anthropic's tools that the client runs, or that only search the others. A date may follow.
const ANTHROPIC: [&str; 8] = [
    "bash",
    "text_editor",
    "memory",
    "computer",
    "computer_toolset",
    "browser_toolset",
    "tool_search_tool_regex",
    "tool_search_tool_bm25",
];
/// The fields of Gemini's tools that the client runs.
const GEMINI: [&str; 4] = ["functionDeclarations", "function_declarations", "computerUse", "computer_use"];

/// The most of a tool's name that a refusal repeats, in characters.
const LONGEST_NAME: usize = 64;

/// Refuses a request that could cost more than its tokens, or be answered by another model.
///
/// # Errors
///
/// [`Refusal::Policy`] with what to leave out; [`Refusal::Request`] where a field that decides cannot be read.
pub(crate) fn enforce(endpoint: &Endpoint, fields: &Fields<'_>, modalities: Modalities) -> Result<(), Refusal> {
    for (name, values, why) in FIELDS {
        if !is_harmless(&fields.get(name)?.unwrap_or_default(), values) {
            return Err(refused(name, why));
        }
    }
    for (outer, name, values, why) in WITHIN {
        if let Some(inner) = fields.object(outer)?
            && !is_harmless(&inner.get(name)?.unwrap_or_default(), values)
        {
            return Err(refused(&format!("{outer}.{name}"), why));
        }
    }
    if matches!(endpoint, Endpoint::Responses) && fields.says("prompt") {
        return Err(refused("prompt", KEPT));
    }
    if sums_up(fields)? {
        return Err(refused("context_management", UNCOUNTED));
    }
    let protocol = endpoint.protocol().unwrap_or(Protocol::OpenAi);
    fields.each_of("tools", |tool| check_tool(protocol, tool))?;
    if modalities.brings_tools {
        // A conversation may bring further ones: OpenAI's items have them as a list, Anthropic's blocks one at a time.
        for name in ["input", "messages"] {
            fields.each_of(name, |item| check_item(protocol, item))?;
        }
    }
    Ok(())
}

fn refused(name: &str, why: &str) -> Refusal {
    Refusal::Policy(format!("{name} {why}; leave it out"))
}

/// Returns whether a conversation is to be summed up, which is a call of its own. Leaving parts out is none.
fn sums_up(fields: &Fields<'_>) -> Result<bool, FieldsError> {
    let mut sums_up = false;
    let look = |edit: &Fields<'_>| {
        sums_up |= !kind(edit)?.is_some_and(|kind| kind.starts_with("clear_"));
        Ok(())
    };
    // OpenAI has a list in its place, Anthropic one in it.
    if fields.raw("context_management").is_some_and(|text| text.starts_with('[')) {
        fields.each_of::<FieldsError>("context_management", look)?;
    } else if let Some(context) = fields.object("context_management")? {
        context.each_of::<FieldsError>("edits", look)?;
    }
    Ok(sums_up)
}

/// Returns whether a field is off, or has a value whose cost is known.
fn is_harmless(value: &Value, values: &[&str]) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(all) => all.iter().all(|value| is_harmless(value, values)),
        Value::String(text) => values.iter().any(|value| value.eq_ignore_ascii_case(text)),
        _ => false,
    }
}

/// Refuses an item of a conversation that brings a tool which the client does not run.
fn check_item(protocol: Protocol, item: &Fields<'_>) -> Result<(), Refusal> {
    item.each_of("tools", |tool| check_tool(protocol, tool))?;
    item.each_of("content", |block| {
        let defined = block.object("tool")?.map(|tool| tool.object("definition")).transpose()?.flatten();
        defined.map_or(Ok(()), |tool| check_tool(protocol, &tool))
    })
}

/// Refuses a tool that the client does not run.
fn check_tool(protocol: Protocol, tool: &Fields<'_>) -> Result<(), Refusal> {
    let hosted = match protocol {
        Protocol::OpenAi => hosted_by_openai(tool)?,
        Protocol::Anthropic => kind(tool)?.filter(|kind| kind != "custom" && !is_anthropics_own(kind)),
        Protocol::Gemini => tool.names().find(|name| !GEMINI.contains(name)).map(str::to_owned),
    };
    match hosted {
        None => Ok(()),
        Some(name) => {
            let name: String = name.chars().take(LONGEST_NAME).collect();
            Err(refused(&format!("the tool {name:?} is not run by the World: it"), REACH))
        }
    }
}

fn is_anthropics_own(kind: &str) -> bool {
    let (name, date) = kind.rsplit_once('_').unwrap_or((kind, ""));
    let is_date = date.len() == 8 && date.bytes().all(|letter| letter.is_ascii_digit());
    ANTHROPIC.contains(if is_date { &name } else { &kind })
}

fn hosted_by_openai(tool: &Fields<'_>) -> Result<Option<String>, Refusal> {
    let named = known_kind(tool)?;
    let is_own = match named.as_str() {
        "namespace" => return hosted_in_namespace(tool),
        // Without a place to run, the shell is the client's.
        "shell" => match tool.object("environment")? {
            None => true,
            Some(place) => kind(&place)?.as_deref() == Some("local"),
        },
        other => OPENAI.contains(&other),
    };
    Ok((!is_own).then_some(named))
}

/// Returns the hosted tool of a namespace. It may hold functions, and no further namespace.
fn hosted_in_namespace(namespace: &Fields<'_>) -> Result<Option<String>, Refusal> {
    let mut hosted = None;
    namespace.each_of::<Refusal>("tools", |tool| {
        let kind = known_kind(tool)?;
        if !matches!(kind.as_str(), "function" | "custom") {
            hosted = Some(kind);
        }
        Ok(())
    })?;
    Ok(hosted)
}

/// Returns the type of an OpenAI tool. Without one it may be a function, or a tool that another server names by a field.
fn known_kind(tool: &Fields<'_>) -> Result<String, FieldsError> {
    Ok(kind(tool)?.unwrap_or_else(|| tool.names().find(|name| *name != "type").unwrap_or("function").to_owned()))
}

/// Returns the type of an object.
fn kind(object: &Fields<'_>) -> Result<Option<String>, FieldsError> {
    Ok(match object.get("type")?.unwrap_or_default() {
        Value::Null => None,
        Value::String(kind) => Some(kind),
        other => Some(other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(endpoint: &Endpoint, body: &str) -> Option<String> {
        match enforce(endpoint, &Fields::read(body.as_bytes()).unwrap(), Modalities::of(body)) {
            Ok(()) => None,
            Err(reason @ (Refusal::Policy(_) | Refusal::Request(_))) => Some(reason.to_string()),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn fields_that_choose_other_prices_models_or_places_are_refused() {
        for (name, value) in [
            ("service_tier", r#""priority""#),
            ("service_tier", r#""flex""#),
            ("SERVICE_TIER", r#""scale""#),
            ("serviceTier", r#""priority""#),
            ("speed", r#""fast""#),
            ("inference_geo", r#""global""#),
            ("modalities", r#"["text","audio"]"#),
            ("reasoning", r#"{"mode":"pro"}"#),
            ("multi_agent", r#"{"enabled":true}"#),
            ("context_management", r#"{"edits":[{"type":"clear_thinking_20251015"},{"type":"compact_20260112"}]}"#),
            ("generationConfig", r#"{"responseModalities":["TEXT","IMAGE"]}"#),
            ("generation_config", r#"{"response_modalities":["IMAGE"]}"#),
            ("plugins", r#"[{"id":"web","x":1e999}]"#),
            ("reasoning", r#"{"mode":"standard","Mode":"pro"}"#),
            ("generationConfig", r#"{"candidateCount":8,"candidateCount":1}"#),
            ("context_management", r#"[{"type":"compaction","compact_threshold":1000}]"#),
            ("prompt", r#"{"id":"p"}"#),
            ("billing_policy", r#"{"type":"billing_policy","bill_to":"user_profile"}"#),
            ("fallbacks", r#"[{"model":"dearer"}]"#),
            ("fallbacks", r#""default""#),
            ("models", r#"["dearer"]"#),
            ("background", "true"),
            ("mcp_servers", r#"[{"type":"url","url":"https://a","name":"a"}]"#),
            ("web_search_options", "{}"),
            ("plugins", r#"[{"id":"web"}]"#),
        ] {
            let why = refused(&Endpoint::Responses, &format!(r#"{{"model":"m","{name}":{value}}}"#));
            assert!(why.is_some_and(|why| why.contains(&name.to_lowercase()) || why.contains(name)), "{name}: {value}");
        }
        for harmless in [
            r#"{"service_tier":"auto","speed":"standard","inference_geo":null,"fallbacks":[],"background":false}"#,
            r#"{"serviceTier":"STANDARD","mcp_servers":[],"modalities":["text"],"reasoning":{"effort":"high"}}"#,
            r#"{"context_management":{"edits":[{"type":"clear_tool_uses_20250919"}]},"prompt":null}"#,
            r#"{"generationConfig":{"responseModalities":["TEXT"]}}"#,
            r#"{"metadata":{"service_tier":"priority"},"unknown":{"web_search_options":{}}}"#,
        ] {
            assert_eq!(refused(&Endpoint::Responses, harmless), None, "{harmless}");
        }
    }

    #[test]
    fn tools_that_the_world_does_not_run_are_refused() {
        let gemini = Endpoint::GenerateContent("m".into());
        for (endpoint, tool, name) in [
            (Endpoint::Responses, r#"{"type":"web_search"}"#, "web_search"),
            (Endpoint::Responses, r#"{"ty\u0070e":"mcp","server_url":"https://a"}"#, "mcp"),
            (Endpoint::Responses, r#"{"Type":"code_interpreter"}"#, "code_interpreter"),
            (Endpoint::Responses, r#"{"type":["function"]}"#, "function"),
            (Endpoint::Responses, r#"{"type":"shell","environment":{"type":"container_auto"}}"#, "shell"),
            (Endpoint::Responses, r#"{"type":"namespace","name":"a","tools":[{"type":"file_search"}]}"#, "file_search"),
            (Endpoint::Responses, r#"{"type":"namespace","tools":[{"type":"namespace"}]}"#, "namespace"),
            (Endpoint::Responses, r#"{"type":"namespace","tools":[{"googleSearch":{}}]}"#, "googleSearch"),
            (Endpoint::ChatCompletions, r#"{"googleSearch":{}}"#, "googleSearch"),
            (Endpoint::ChatCompletions, r#"{"type":"openrouter:web_search"}"#, "openrouter:web_search"),
            (Endpoint::Messages, r#"{"type":"web_search_20260318","name":"web_search"}"#, "web_search_20260318"),
            (Endpoint::Messages, r#"{"type":"web_fetch_20250910","name":"a"}"#, "web_fetch_20250910"),
            (Endpoint::Messages, r#"{"type":"advisor_20260301","model":"dearer"}"#, "advisor_20260301"),
            (Endpoint::Messages, r#"{"type":"mcp_toolset"}"#, "mcp_toolset"),
            (Endpoint::Messages, r#"{"type":"bash_code_execution_20260101"}"#, "bash_code_execution"),
            (Endpoint::Messages, r#"{"type":"bash_x"}"#, "bash_x"),
            (gemini.clone(), r#"{"functionDeclarations":[],"googleSearch":{}}"#, "googleSearch"),
            (gemini.clone(), r#"{"url_context":{}}"#, "url_context"),
            (gemini.clone(), r#"{"code_execution":{}}"#, "code_execution"),
        ] {
            let body = format!(r#"{{"model":"m","tools":[{tool}]}}"#);
            let why = refused(&endpoint, &body).expect(tool);
            assert!(why.contains(name), "{why}");
        }
        for twice in [r#"{"type":"function","type":"web_search"}"#, r#"{"type":"function","Type":"web_search"}"#] {
            assert!(refused(&Endpoint::Responses, &format!(r#"{{"tools":[{twice}]}}"#)).is_some(), "{twice}");
        }
        assert!(refused(&gemini, r#"{"tools":{"googleSearch":{}}}"#).is_some(), "one instead of a list");
    }

    #[test]
    fn tools_that_the_world_runs_pass() {
        for (endpoint, tools) in [
            (
                Endpoint::Responses,
                r#"[{"type":"function","name":"web_search"},{"type":"custom"},{"type":"local_shell"}]"#,
            ),
            (Endpoint::Responses, r#"[{"type":"shell","environment":{"type":"local"}},{"type":"shell"}]"#),
            (Endpoint::Responses, r#"[{"type":"namespace","tools":[{"type":"function"}]},{"type":"tool_search"}]"#),
            (Endpoint::ChatCompletions, r#"[{"type":"function","function":{"name":"a","parameters":{"type":"mcp"}}}]"#),
            (Endpoint::ChatCompletions, r#"[{"function":{"name":"a"}}]"#),
            (Endpoint::ChatCompletions, "null"),
            (Endpoint::Messages, r#"[{"name":"a","input_schema":{"type":"object"}},{"type":"custom","name":"b"}]"#),
            (Endpoint::Messages, r#"[{"type":"bash_20250124"},{"type":"text_editor_20250728"},{"type":null}]"#),
            (Endpoint::Messages, r#"[{"type":"tool_search_tool_regex","name":"a"}]"#),
            (Endpoint::GenerateContent("m".into()), r#"[{"function_declarations":[{"name":"googleSearch"}]}]"#),
        ] {
            assert_eq!(refused(&endpoint, &format!(r#"{{"tools":{tools}}}"#)), None, "{tools}");
        }
    }

    #[test]
    fn tools_that_a_conversation_brings_follow_the_same_policy() {
        let defined = |tool: &str| {
            format!(
                r#"{{"messages":[{{"role":"user","content":"a"}},{{"role":"system","content":[{{"type":"tool_addition",
                "tool":{{"type":"tool_definition","definition":{tool}}}}}]}}]}}"#
            )
        };
        assert!(refused(&Endpoint::Messages, &defined(r#"{"type":"web_search_20250305"}"#)).is_some());
        assert_eq!(refused(&Endpoint::Messages, &defined(r#"{"name":"a","input_schema":{}}"#)), None);
        for item in ["additional_tools", "tool_search_output"] {
            let body = |tool: &str| format!(r#"{{"input":["a",{{"type":"{item}","tools":[{{"type":"{tool}"}}]}}]}}"#);
            assert!(refused(&Endpoint::Responses, &body("web_search")).is_some(), "{item}");
            assert_eq!(refused(&Endpoint::Responses, &body("function")), None, "{item}");
        }
        let told = r#"{"messages":[{"content":[{"type":"tool_use","input":{"tools":[{"type":"web_search"}]}},
            {"type":"tool_addition","tool":{"type":"tool_definition","definition":{"name":"a"}}}]}]}"#;
        assert_eq!(refused(&Endpoint::Messages, told), None, "what a tool was called with is no tool");
    }
}
