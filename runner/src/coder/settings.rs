//! The settings of a session, from the environment.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use manyworlds_api::labels;
use manyworlds_api::order_document::OrderDocument;
use manyworlds_api::work_order::GateKind;

use super::prompt;
use crate::work::ENV_GATEWAY_TOKEN_FILE;

/// The most turns of a session.
const TURNS: u32 = 60;
/// The most tokens of a session.
const TOKENS: u64 = 2_000_000;
/// The most bytes of a conversation that are sent: some 60,000 tokens.
const CONTEXT_BYTES: usize = 240_000;

/// The variable that names a folder with more prompts.
///
/// Like those below it is set in `worker.env`, where the API takes no name that starts with `MANYWORLDS_`.
const PROMPTS: &str = "CODER_PROMPTS_DIR";
/// The variables that set other limits.
const MAX_TURNS: &str = "CODER_MAX_TURNS";
const MAX_TOKENS: &str = "CODER_MAX_TOKENS";
const MAX_CONTEXT_BYTES: &str = "CODER_CONTEXT_BYTES";

/// A command that the change has to pass.
#[derive(Clone, Debug)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) command: Vec<String>,
    pub(super) timeout: Duration,
}

/// The settings of a session.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) worktree: PathBuf,
    pub(super) result_file: PathBuf,
    pub(super) transcript_file: PathBuf,
    pub(super) gateway: String,
    pub(super) token_file: PathBuf,
    pub(super) model: String,
    pub(super) temperature: Option<f64>,
    pub(super) prompt: String,
    pub(super) task: String,
    pub(super) checks: Vec<Check>,
    pub(super) turns: u32,
    pub(super) tokens: u64,
    pub(super) context_bytes: usize,
}

impl Settings {
    pub(super) fn from_environment() -> Result<Self, String> {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let needed = |name: &str| text(name).ok_or_else(|| format!("the environment variable {name} is missing"));
        let order_file = needed("MANYWORLDS_ORDER_FILE")?;
        let order = fs::read_to_string(&order_file).map_err(|error| format!("{order_file}: {error}"))?;
        let order: OrderDocument = serde_json::from_str(&order).map_err(|error| format!("{order_file}: {error}"))?;
        let model = needed("MANYWORLDS_MODEL")
            .map_err(|_| "the World has no model; set worker.model or the variant's".to_owned())?;
        let number = |name: &str| text(name).and_then(|value| value.parse().ok());
        Ok(Self {
            worktree: needed("MANYWORLDS_WORKTREE")?.into(),
            result_file: needed("MANYWORLDS_RESULT_FILE")?.into(),
            transcript_file: needed("MANYWORLDS_TRANSCRIPT_FILE")?.into(),
            gateway: needed(labels::ENV_GATEWAY_URL)
                .map_err(|_| "the operator runs no gateway, so no model can be called".to_owned())?,
            token_file: needed(ENV_GATEWAY_TOKEN_FILE)?.into(),
            model,
            temperature: text("MANYWORLDS_TEMPERATURE").and_then(|value| value.parse().ok()),
            prompt: prompt::find(text("MANYWORLDS_PROMPT").as_deref(), text(PROMPTS).as_deref())?,
            task: task(&order),
            checks: checks(&order),
            turns: number(MAX_TURNS).and_then(|turns| u32::try_from(turns).ok()).unwrap_or(TURNS),
            tokens: number(MAX_TOKENS).unwrap_or(TOKENS),
            context_bytes: number(MAX_CONTEXT_BYTES)
                .and_then(|bytes| usize::try_from(bytes).ok())
                .unwrap_or(CONTEXT_BYTES),
        })
    }
}

fn task(order: &OrderDocument) -> String {
    let issue = order.task.issue.as_ref().map_or_else(String::new, |issue| format!("\nIssue: {}", issue.url));
    let protected = &order.evaluation.protected_paths;
    let protected = if protected.is_empty() {
        String::new()
    } else {
        format!(
            "\n\nFiles that match these patterns are put back as they were before anything is judged: {}",
            protected.join(", ")
        )
    };
    format!("# {}\n\n{}{issue}{protected}", order.task.title.trim(), order.task.body.trim())
}

/// Returns the gates that build, test and lint: the model's own checks are those that it will be judged by.
fn checks(order: &OrderDocument) -> Vec<Check> {
    let gates = order.evaluation.gates.iter();
    let runs = gates.filter(|gate| matches!(gate.kind, GateKind::Build | GateKind::Test | GateKind::Lint));
    runs.filter(|gate| !gate.command.is_empty())
        .map(|gate| Check {
            name: gate.name.clone(),
            command: gate.command.clone(),
            timeout: Duration::from(gate.timeout),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_set_in_an_order_is_documented_under_names_that_the_api_takes() {
        let document = include_str!("../../../docs/coder.md");
        for name in [PROMPTS, MAX_TURNS, MAX_TOKENS, MAX_CONTEXT_BYTES] {
            assert!(document.contains(&format!("{{name: {name}, value: ")), "{name} is missing in docs/coder.md");
            assert!(!name.starts_with("MANYWORLDS_"), "{name} is reserved");
        }
    }
}
