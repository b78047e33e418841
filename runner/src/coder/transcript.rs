//! The transcript of a session as JSON Lines. The supervisor masks it again before it is kept.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::protocol::{ModelAnswer, ModelMessage, ToolResult};

/// The longest text that one line holds.
const LONGEST: usize = 20_000;

/// Writes the transcript. One that cannot be written is no reason to stop.
pub(super) struct Transcript(Option<File>);

impl Transcript {
    pub(super) fn create(path: &Path) -> Self {
        Self(File::create(path).ok())
    }

    pub(super) fn start(&mut self, model: &str, system: &str, task: &str) {
        self.line(&json!({"event": "began", "model": model, "system": system, "task": task}));
    }

    pub(super) fn answer(&mut self, turn: u32, answer: &ModelAnswer) {
        let ModelMessage { text, calls, .. } = &answer.message;
        let calls: Vec<_> =
            calls.iter().map(|call| json!({"id": call.id, "name": call.name, "arguments": call.arguments})).collect();
        self.line(&json!({"event": "answer", "turn": turn, "text": text, "calls": calls, "tokens": answer.tokens}));
    }

    pub(super) fn tool_result(&mut self, result: &ToolResult) {
        let text: String = result.text.chars().take(LONGEST).collect();
        self.line(&json!({"event": "result", "id": result.id, "text": text}));
    }

    pub(super) fn note(&mut self, event: &str, text: &str) {
        self.line(&json!({"event": event, "text": text}));
    }

    fn line(&mut self, value: &Value) {
        if let Some(file) = &mut self.0
            && writeln!(file, "{value}").is_err()
        {
            self.0 = None;
        }
    }
}
