//! Worker plugins (Worker SDK 1.0): what turns an order into changed files.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use manyworlds_api::conditions::{Reason, shortened};
use manyworlds_api::labels;
use manyworlds_api::order_document::OrderDocument;
use manyworlds_api::result::FailureClass;
use serde::Deserialize;

use crate::files;
use crate::stage::StageError;
use crate::text::clean;

/// Version of the SDK that this runner speaks.
pub(crate) const SDK_VERSION: &str = "1.0";
/// Prefix of the programs of third parties.
const PROGRAM_PREFIX: &str = "manyworlds-worker-";
/// Names the file with the gateway's token.
pub(crate) const ENV_GATEWAY_TOKEN_FILE: &str = "MANYWORLDS_GATEWAY_TOKEN_FILE";
/// The most bytes of a result file that are read.
const RESULT_BYTES: u64 = 65_536;

/// The place and the World that a plugin works for.
#[derive(Clone, Debug)]
pub struct WorkContext {
    /// The worktree: the only place that counts.
    pub worktree: PathBuf,
    /// The order as a file.
    pub order_file: PathBuf,
    /// The file for the worker's result, which is optional.
    pub result_file: PathBuf,
    /// The file for the worker's transcript, which is optional.
    pub transcript_file: PathBuf,
    /// Name of the World.
    pub world: String,
    /// Number of the attempt, from 1.
    pub attempt: i32,
    /// The worker's access to models, if it has any.
    pub models: Option<ModelAccess>,
}

/// Access to models through the gateway. The World's token stands where clients put a key.
#[derive(Clone)]
pub struct ModelAccess {
    /// Address of the gateway.
    pub url: String,
    /// The file with the token. It is written anew before the token ends.
    pub token_file: PathBuf,
    /// The token as it is now.
    pub token: String,
}

impl fmt::Debug for ModelAccess {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ModelAccess").field("url", &self.url).finish_non_exhaustive()
    }
}

impl ModelAccess {
    /// Returns the variables by which clients of models find the gateway: its own, and those that usual programs read.
    fn variables(&self) -> Vec<(&'static str, String)> {
        let Self { url, token_file, token } = self;
        let openai = format!("{}/v1", url.trim_end_matches('/'));
        vec![
            (labels::ENV_GATEWAY_URL, url.clone()),
            (ENV_GATEWAY_TOKEN_FILE, token_file.display().to_string()),
            ("OPENAI_BASE_URL", openai.clone()),
            ("OPENAI_API_BASE", openai),
            ("OPENAI_API_KEY", token.clone()),
            ("ANTHROPIC_BASE_URL", url.clone()),
            ("ANTHROPIC_API_KEY", token.clone()),
            ("GOOGLE_GEMINI_BASE_URL", url.clone()),
            ("GEMINI_API_KEY", token.clone()),
        ]
    }
}

/// The answer of a plugin.
#[derive(Debug)]
pub enum Handled {
    /// The work, with a summary.
    Done(String),
    /// The program that does the work. The runner runs it under the coding time-out.
    Run(Box<Command>),
}

/// An error of a plugin.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The order asks for something that this plugin cannot do (class: spec).
    #[error("{0}")]
    Order(String),
    /// A file of the worktree could not be written (class: infrastructure).
    #[error("{} could not be written", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error.
        source: std::io::Error,
    },
}

impl From<WorkerError> for StageError {
    fn from(error: WorkerError) -> Self {
        match error {
            WorkerError::Order(message) => Self::new(FailureClass::Spec, Reason::InvalidSpecification, message),
            WorkerError::File { path, source } => Self::file(&path, &source),
        }
    }
}

/// A worker plugin that is built in (Worker SDK 1.0). Third parties write a program instead; see docs/worker-sdk.md.
pub trait Plugin {
    /// Works on an order, or names the program that does.
    ///
    /// - **Shape:** `order.agents` has one entry: this World.
    /// - **Guarantees:** called once for each attempt, in a fresh worktree at the base commit.
    ///
    /// # Errors
    ///
    /// [`WorkerError`] when the order is none for this plugin, or the worktree cannot be written.
    fn handle(&self, order: &OrderDocument, context: &WorkContext) -> Result<Handled, WorkerError>;
}

/// Returns the plugin with a name.
pub(super) fn find(name: &str, command: &[String]) -> Result<Box<dyn Plugin>, WorkerError> {
    match name {
        "echo" => Ok(Box::new(Echo)),
        "coder" => Ok(Box::new(Program { program: own_program(), arguments: vec!["coder".to_owned()] })),
        "command" => match command.split_first() {
            Some((program, arguments)) => {
                Ok(Box::new(Program { program: program.clone(), arguments: arguments.to_vec() }))
            }
            None => Err(WorkerError::Order("the plugin command needs worker.command".to_owned())),
        },
        _ => Ok(Box::new(Program { program: format!("{PROGRAM_PREFIX}{name}"), arguments: command.to_vec() })),
    }
}

/// Returns this program: the coder runs as a worker does, not as the supervisor.
fn own_program() -> String {
    std::env::current_exe().map_or_else(|_| labels::RUNNER_FILE.to_owned(), |path| path.display().to_string())
}

/// The template of a plugin: makes one small change.
struct Echo;

impl Plugin for Echo {
    fn handle(&self, order: &OrderDocument, context: &WorkContext) -> Result<Handled, WorkerError> {
        let path = context.worktree.join("ECHO.md");
        let text = format!("# {}\n\n{}\n\nWorld: {}\n", order.task.title, order.task.body, context.world);
        // The base may have a link of that name, and what it leads to is not ours to write.
        files::remove(&path)
            .and_then(|()| fs::write(&path, text))
            .map_err(|source| WorkerError::File { path, source })?;
        Ok(Handled::Done("wrote the task into ECHO.md".to_owned()))
    }
}

/// A program in the image.
struct Program {
    program: String,
    arguments: Vec<String>,
}

impl Plugin for Program {
    fn handle(&self, order: &OrderDocument, context: &WorkContext) -> Result<Handled, WorkerError> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(&context.worktree).env_clear();
        for name in ["PATH", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let agent = order.agents.first().cloned().unwrap_or_default();
        let temperature = agent.temperature.map(|temperature| temperature.to_string());
        for (name, value) in [
            ("HOME", "/tmp".to_owned()),
            ("MANYWORLDS_SDK", SDK_VERSION.to_owned()),
            (labels::ENV_NAMESPACE, order.identity.namespace.clone()),
            (labels::ENV_WORK_ORDER, order.identity.name.clone()),
            (labels::ENV_WORLD, context.world.clone()),
            (labels::ENV_ATTEMPT, context.attempt.to_string()),
            ("MANYWORLDS_ORDER_FILE", context.order_file.display().to_string()),
            ("MANYWORLDS_RESULT_FILE", context.result_file.display().to_string()),
            ("MANYWORLDS_WORKTREE", context.worktree.display().to_string()),
            ("MANYWORLDS_TRANSCRIPT_FILE", context.transcript_file.display().to_string()),
            ("MANYWORLDS_MODEL", text(&agent.model)),
            ("MANYWORLDS_TEMPERATURE", text(&temperature)),
            ("MANYWORLDS_PROMPT", text(&agent.prompt)),
        ] {
            command.env(name, value);
        }
        for (name, value) in context.models.iter().flat_map(ModelAccess::variables) {
            command.env(name, value);
        }
        for variable in &order.worker.env {
            command.env(&variable.name, &variable.value);
        }
        Ok(Handled::Run(Box::new(command)))
    }
}

/// The result file of a worker.
#[derive(Deserialize)]
struct WorkerResult {
    #[serde(default)]
    summary: String,
}

/// Returns what the worker says about its work; nothing where it says nothing that can be read.
pub(super) fn summary(path: &Path, most: usize) -> String {
    let text = files::read_ordinary(path, RESULT_BYTES).unwrap_or_default();
    match serde_json::from_slice::<WorkerResult>(&text) {
        Ok(result) => shortened(&clean(&result.summary), most),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_plugin_without_a_command_is_refused() {
        assert!(find("command", &[]).is_err());
        assert!(find("command", &["true".to_owned()]).is_ok());
    }

    #[test]
    fn a_result_file_that_cannot_be_read_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.json");
        assert_eq!(summary(&path, 10), "");
        fs::write(&path, "not json").unwrap();
        assert_eq!(summary(&path, 10), "");
        fs::write(&path, r#"{"summary": "changed \u001b[31mtwo files"}"#).unwrap();
        assert_eq!(summary(&path, 11), "changed ...");
    }
}
