//! Worker plugins (Worker SDK 1.0): what turns an order into changed files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use manyworlds_api::conditions::{Reason, shortened};
use manyworlds_api::labels;
use manyworlds_api::order_document::OrderDocument;
use manyworlds_api::result::FailureClass;
use serde::Deserialize;

use crate::stage::StageError;
use crate::text::clean;

/// Version of the SDK that this runner speaks.
pub(crate) const SDK_VERSION: &str = "1.0";
/// Prefix of the programs of third parties.
const PROGRAM_PREFIX: &str = "manyworlds-worker-";
/// The most bytes of a result file that are read.
const RESULT_BYTES: u64 = 65_536;

/// What a plugin is to work on.
#[derive(Clone, Debug)]
pub struct Task<'a> {
    /// The order, with this World as its only agent.
    pub order: &'a OrderDocument,
    /// The worktree: the only place that counts.
    pub worktree: PathBuf,
    /// The order as a file.
    pub order_file: PathBuf,
    /// Where the worker may say something about its work.
    pub result_file: PathBuf,
    /// Name of the World.
    pub world: String,
    /// Number of the attempt, from 1.
    pub attempt: i32,
}

/// What a plugin has done.
pub enum Handled {
    /// The work, with a summary.
    Done(String),
    /// It names the program that does the work.
    Run(Box<Command>),
}

/// A worker plugin that is built in. Third parties write a program instead; see docs/worker-sdk.md.
pub trait Plugin {
    /// Works on a task, or names the program that does.
    ///
    /// - **Guarantees:** called once for each attempt, in a fresh worktree at the base commit.
    ///
    /// # Errors
    ///
    /// [`StageError`] with class `Spec` when the order cannot be worked on by this plugin.
    fn handle(&self, task: &Task<'_>) -> Result<Handled, StageError>;
}

/// Returns the plugin with a name.
pub(super) fn find(name: &str, command: &[String]) -> Result<Box<dyn Plugin>, StageError> {
    match name {
        "echo" => Ok(Box::new(Echo)),
        "command" => match command.split_first() {
            Some((program, arguments)) => {
                Ok(Box::new(Program { program: program.clone(), arguments: arguments.to_vec() }))
            }
            None => Err(StageError::new(
                FailureClass::Spec,
                Reason::InvalidSpecification,
                "the plugin command needs worker.command",
            )),
        },
        _ => Ok(Box::new(Program { program: format!("{PROGRAM_PREFIX}{name}"), arguments: command.to_vec() })),
    }
}

/// The template of a plugin: makes one small change.
struct Echo;

impl Plugin for Echo {
    fn handle(&self, task: &Task<'_>) -> Result<Handled, StageError> {
        let path = task.worktree.join("ECHO.md");
        let text = format!("# {}\n\n{}\n\nWorld: {}\n", task.order.task.title, task.order.task.body, task.world);
        fs::write(&path, text).map_err(|error| StageError::file(&path, &error))?;
        Ok(Handled::Done("wrote the task into ECHO.md".to_owned()))
    }
}

/// A program in the image.
struct Program {
    program: String,
    arguments: Vec<String>,
}

impl Plugin for Program {
    fn handle(&self, task: &Task<'_>) -> Result<Handled, StageError> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(&task.worktree).env_clear();
        for name in ["PATH", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let agent = task.order.agents.first().cloned().unwrap_or_default();
        let temperature = agent.temperature.map(|temperature| temperature.to_string());
        for (name, value) in [
            ("HOME", "/tmp".to_owned()),
            ("MANYWORLDS_SDK", SDK_VERSION.to_owned()),
            (labels::ENV_NAMESPACE, task.order.identity.namespace.clone()),
            (labels::ENV_WORK_ORDER, task.order.identity.name.clone()),
            (labels::ENV_WORLD, task.world.clone()),
            (labels::ENV_ATTEMPT, task.attempt.to_string()),
            ("MANYWORLDS_ORDER_FILE", task.order_file.display().to_string()),
            ("MANYWORLDS_RESULT_FILE", task.result_file.display().to_string()),
            ("MANYWORLDS_WORKTREE", task.worktree.display().to_string()),
            ("MANYWORLDS_MODEL", text(&agent.model)),
            ("MANYWORLDS_TEMPERATURE", text(&temperature)),
            ("MANYWORLDS_PROMPT", text(&agent.prompt)),
        ] {
            command.env(name, value);
        }
        for variable in &task.order.worker.env {
            command.env(&variable.name, &variable.value);
        }
        Ok(Handled::Run(Box::new(command)))
    }
}

/// What a worker may leave in its result file.
#[derive(Deserialize)]
struct WorkerResult {
    #[serde(default)]
    summary: String,
}

/// Returns what the worker says about its work; nothing where it says nothing that can be read.
pub(super) fn summary(path: &Path, most: usize) -> String {
    use std::io::Read;
    let mut text = String::new();
    // Its own file in its own folder: a link elsewhere shows the worker no more than it can read anyway.
    let read = fs::File::open(path).and_then(|file| file.take(RESULT_BYTES).read_to_string(&mut text));
    match read.ok().and_then(|_| serde_json::from_str::<WorkerResult>(&text).ok()) {
        Some(result) => shortened(&clean(&result.summary), most),
        None => String::new(),
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
