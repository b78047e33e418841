//! The mock of the APIs of models that tests/aimock installs.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::client;

/// A way to ask a model.
#[derive(Debug)]
pub struct Shape {
    pub path: &'static str,
    body: &'static str,
    pub streamed: bool,
    /// The client asks for the usage, or is told anyway.
    pub says_usage: bool,
    /// The field of an error that says its kind, and the kind of one that may pass by waiting.
    pub field: &'static str,
    pub unavailable: &'static str,
}

impl Shape {
    pub fn body(&self, text: &str) -> String {
        self.body.replace("TEXT", text)
    }
}

const OPENAI: Shape =
    Shape { path: "", body: "", streamed: false, says_usage: true, field: "code", unavailable: "server_error" };
const ANTHROPIC: Shape = Shape { field: "type", unavailable: "overloaded_error", ..OPENAI };
const GEMINI: Shape = Shape { field: "status", unavailable: "UNAVAILABLE", ..OPENAI };
const CONTENTS: &str =
    r#"{"contents":[{"role":"user","parts":[{"text":"TEXT"}]}],"generationConfig":{"maxOutputTokens":500}}"#;

pub const SHAPES: [Shape; 9] = [
    Shape {
        path: "/v1/chat/completions",
        body: r#"{"model":"scripted","max_tokens":500,"messages":[{"role":"user","content":"TEXT"}]}"#,
        ..OPENAI
    },
    Shape {
        path: "/v1/chat/completions",
        body: r#"{"model":"scripted","max_tokens":500,"stream":true,"messages":[{"role":"user","content":"TEXT"}]}"#,
        streamed: true,
        says_usage: false,
        ..OPENAI
    },
    Shape {
        path: "/v1/chat/completions",
        body: r#"{"model":"scripted","max_tokens":500,"stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"TEXT"}]}"#,
        streamed: true,
        ..OPENAI
    },
    Shape { path: "/v1/responses", body: r#"{"model":"scripted","max_output_tokens":500,"input":"TEXT"}"#, ..OPENAI },
    Shape {
        path: "/v1/responses",
        body: r#"{"model":"scripted","max_output_tokens":500,"stream":true,"input":"TEXT"}"#,
        streamed: true,
        ..OPENAI
    },
    Shape {
        path: "/v1/messages",
        body: r#"{"model":"scripted","max_tokens":500,"messages":[{"role":"user","content":"TEXT"}]}"#,
        ..ANTHROPIC
    },
    Shape {
        path: "/v1/messages?beta=true",
        body: r#"{"model":"scripted","max_tokens":500,"stream":true,"messages":[{"role":"user","content":"TEXT"}]}"#,
        streamed: true,
        ..ANTHROPIC
    },
    Shape { path: "/v1beta/models/scripted:generateContent", body: CONTENTS, ..GEMINI },
    Shape { path: "/v1beta/models/scripted:streamGenerateContent?alt=sse", body: CONTENTS, streamed: true, ..GEMINI },
];

/// The mock's record of a call.
#[derive(Debug)]
pub struct Seen {
    /// The failure that it gave instead of an answer.
    pub chaos: Option<String>,
}

pub struct Mock {
    pub url: String,
    _process: Child,
}

impl Mock {
    pub async fn start() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/aimock");
        let installed = Command::new(folder.join("install")).output().await.unwrap();
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
        let installed = String::from_utf8(installed.stdout).unwrap();
        let (node, program) = installed.trim().split_once('\n').unwrap();
        let mut command = Command::new(node);
        command.arg(program).args(["--port", "0", "--fixtures"]).arg(folder.join("fixtures.json")).env_clear();
        let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let url = loop {
            let Some(line) = lines.next_line().await.unwrap() else { panic!("the mock ended before it listened") };
            if let Some((_, url)) = line.split_once("listening on ") {
                break url.to_owned();
            }
        };
        // Or it would wait for somebody to read.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { url, _process: process }
    }

    /// Returns the calls of a case, in order.
    pub async fn calls(&self, case: &str) -> Vec<Seen> {
        let query = [("testId", case), ("limit", "1000")];
        let journal = reqwest::Url::parse_with_params(&format!("{}/__aimock/journal", self.url), query).unwrap();
        let entries: Vec<Value> = client().get(journal).send().await.unwrap().json().await.unwrap();
        let chaos = |entry: &Value| entry["response"]["chaosAction"].as_str().map(str::to_owned);
        entries.iter().map(|entry| Seen { chaos: chaos(entry) }).collect()
    }

    /// Sets how often what goes wrong, from now on.
    pub async fn chaos(&self, rates: &[(&str, f64)]) {
        let rates: serde_json::Map<_, _> = rates.iter().map(|(name, rate)| ((*name).to_owned(), json!(rate))).collect();
        let set = client().post(format!("{}/__aimock/chaos", self.url)).json(&rates).send().await.unwrap();
        assert_eq!(set.status(), 200, "{:?}", set.text().await);
    }
}
