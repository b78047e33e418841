//! The tools of the model: they read and change files of the worktree, and run commands in it.

mod command;
mod files;
mod paths;

use std::time::Duration;

use serde_json::{Value, json};

use super::protocol::Tool;
use super::workplace::Workplace;
pub(super) use command::run_program;
use command::run_shell;
pub(super) use files::files;

/// The time-out of a command that the model asks for.
const COMMAND_TIME: Duration = Duration::from_mins(3);

/// The name of the tool that ends a session.
pub(super) const FINISH: &str = "finish";

/// The effect of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ToolEffect {
    /// It read something.
    Unchanged(String),
    /// It changed a file, or ran a command that may have.
    Changed(String),
    /// It refused, or failed.
    Refused(String),
}

impl ToolEffect {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Unchanged(text) | Self::Changed(text) | Self::Refused(text) => text,
        }
    }
}

/// The tools, in one worktree.
pub(super) struct Tools<'a> {
    workplace: &'a Workplace,
}

impl<'a> Tools<'a> {
    pub(super) fn new(workplace: &'a Workplace) -> Self {
        Self { workplace }
    }

    /// Uses a tool.
    pub(super) fn call(&self, name: &str, arguments: &Value) -> ToolEffect {
        let done = match name {
            "list_files" => files::list(self.workplace, optional(arguments, "path")).map(ToolEffect::Unchanged),
            "search" => text(arguments, "pattern")
                .and_then(|pattern| files::search(self.workplace, pattern, optional(arguments, "path")))
                .map(ToolEffect::Unchanged),
            "read_file" => text(arguments, "path")
                .and_then(|path| {
                    files::read(self.workplace.worktree(), path, line(arguments, "start"), line(arguments, "end"))
                })
                .map(ToolEffect::Unchanged),
            "edit_file" => self.edit(arguments).map(ToolEffect::Changed),
            "write_file" => self.write(arguments).map(ToolEffect::Changed),
            "run" => text(arguments, "command").map(|command| {
                // A command may have changed anything.
                ToolEffect::Changed(run_shell(self.workplace, command, COMMAND_TIME).text())
            }),
            _ => Err(format!("there is no tool {name:?}")),
        };
        done.unwrap_or_else(ToolEffect::Refused)
    }

    fn edit(&self, arguments: &Value) -> Result<String, String> {
        let (path, old, new) = (text(arguments, "path")?, text(arguments, "old")?, text(arguments, "new")?);
        files::edit(self.workplace.worktree(), path, old, new)
    }

    fn write(&self, arguments: &Value) -> Result<String, String> {
        files::write(self.workplace.worktree(), text(arguments, "path")?, text(arguments, "content")?)
    }
}

fn text<'a>(arguments: &'a Value, name: &str) -> Result<&'a str, String> {
    arguments[name].as_str().ok_or_else(|| format!("the argument {name:?} is missing or is not a text"))
}

fn optional<'a>(arguments: &'a Value, name: &str) -> Option<&'a str> {
    arguments[name].as_str().filter(|value| !value.is_empty())
}

fn line(arguments: &Value, name: &str) -> Option<usize> {
    arguments[name].as_u64().and_then(|line| usize::try_from(line).ok())
}

/// Returns the definitions of the tools that the model gets.
pub(super) fn definitions() -> Vec<Tool> {
    let tool = |name, description, properties: Value, required: &[&str]| Tool {
        name,
        description,
        parameters: json!({"type": "object", "properties": properties, "required": required}),
    };
    let path = || json!({"type": "string", "description": "Path within the repository, such as src/main.rs."});
    let say = |text: &str| json!({"type": "string", "description": text});
    let number = |text: &str| json!({"type": "integer", "description": text});
    vec![
        tool("list_files", "Lists the files of the repository, or of a folder.", json!({"path": path()}), &[]),
        tool(
            "search",
            "Finds lines by a regular expression, with path and line number.",
            json!({"pattern": say("Regular expression."), "path": path()}),
            &["pattern"],
        ),
        tool(
            "read_file",
            "Reads a file, or some lines of it, with line numbers.",
            json!({"path": path(), "start": number("First line, from 1."), "end": number("Last line.")}),
            &["path"],
        ),
        tool(
            "edit_file",
            "Replaces a text that is in the file exactly once. Give enough of the lines around it to make it so.",
            json!({"path": path(), "old": say("The text as it is, without line numbers."), "new": say("The text as it is to be.")}),
            &["path", "old", "new"],
        ),
        tool(
            "write_file",
            "Writes a whole file, and makes it where there is none.",
            json!({"path": path(), "content": say("The whole content.")}),
            &["path", "content"],
        ),
        tool(
            "run",
            "Runs a shell command in the repository's root and returns its exit code and output.",
            json!({"command": say("The command.")}),
            &["command"],
        ),
        tool(
            FINISH,
            "Says that the work is done. The checks run then; if one fails you are told how, and go on.",
            json!({"summary": say("What was wrong and what you changed, in one or two sentences.")}),
            &["summary"],
        ),
    ]
}
