//! The commands, one file each.

mod complete;
mod control;
mod explain;
mod list;
mod logs;
mod patch;
mod run;
mod watch;

use std::process::ExitCode;

use clap::CommandFactory;
use serde_json::Value;

use crate::arguments::{Arguments, Command, Global, Output};
use crate::cluster::Cluster;
use crate::errors::Failure;
use crate::terminal::Terminal;

/// Name under which the API server keeps what this program wrote.
const FIELD_MANAGER: &str = "kubectl-worlds";

/// What every command works with.
pub struct Session {
    /// The options of every command.
    pub global: Global,
    /// The cluster.
    pub cluster: Cluster,
    /// The standard output.
    pub terminal: Terminal,
}

/// Runs a command.
///
/// # Errors
///
/// [`Failure`] when it could not do what it was asked.
pub async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments { command, global } = arguments;
    if let Command::Completion { shell } = command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Arguments::command(), "kubectl-worlds", &mut script);
        Terminal::new(global.color).print_raw(&script)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::Complete { words } = &command {
        return complete::complete(&global, words).await;
    }
    let cluster = Cluster::connect(&global).await?;
    let terminal = Terminal::new(global.color);
    let mut session = Session { global, cluster, terminal };
    match command {
        Command::Run(which) => run::run(&mut session, &which).await,
        Command::Watch(which) => watch::watch(&mut session, &which).await,
        Command::Explain(which) => explain::explain(&mut session, &which).await,
        Command::List(which) => list::list(&mut session, &which).await,
        Command::Patch(which) => patch::patch(&mut session, &which).await,
        Command::Logs(which) => logs::logs(&mut session, &which).await,
        Command::Artifacts(which) => patch::artifacts(&mut session, &which).await,
        Command::Cancel(which) => control::set(&mut session, control::Change::Cancel, &which.orders).await,
        Command::Suspend(which) => control::set(&mut session, control::Change::Suspend, &which.orders).await,
        Command::Resume(which) => control::set(&mut session, control::Change::Resume, &which.orders).await,
        Command::Retry(which) => control::retry(&mut session, &which).await,
        Command::Completion { .. } | Command::Complete { .. } => Ok(ExitCode::SUCCESS),
    }
}

/// Writes a value for programs.
fn print_as<V: serde::Serialize>(session: &Session, output: Output, value: &V) -> Result<(), Failure> {
    let unwritable = |error: &dyn std::fmt::Display| Failure::File(format!("the answer cannot be written: {error}"));
    // What wrote which field is of use to the API server alone.
    let mut value = serde_json::to_value(value).map_err(|error| unwritable(&error))?;
    without_managed_fields(&mut value);
    let text = match output {
        Output::Yaml => serde_saphyr::to_string(&value).map_err(|error| unwritable(&error))?,
        Output::Json | Output::Text | Output::Wide => {
            serde_json::to_string_pretty(&value).map_err(|error| unwritable(&error))?
        }
    };
    session.terminal.print_raw(format!("{}\n", text.trim_end()).as_bytes())
}

fn without_managed_fields(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
                metadata.remove("managedFields");
            }
            fields.values_mut().for_each(without_managed_fields);
        }
        Value::Array(items) => items.iter_mut().for_each(without_managed_fields),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn managed_fields_are_left_out_at_any_depth() {
        let mut value = json!([{ "order": { "metadata": { "name": "a", "managedFields": [1] } } }]);
        without_managed_fields(&mut value);
        assert_eq!(value, json!([{ "order": { "metadata": { "name": "a" } } }]));
    }
}
