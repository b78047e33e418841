//! The commands, one file each.

mod control;
mod explain;
mod logs;
mod patch;
mod run;
mod watch;

use std::process::ExitCode;

use clap::CommandFactory;
use kube::api::ListParams;

use crate::arguments::{Arguments, Command, Global, List, Output};
use crate::cluster::Cluster;
use crate::errors::Failure;
use crate::terminal::Terminal;
use crate::view;

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
        clap_complete::generate(shell, &mut Arguments::command(), "kubectl-worlds", &mut std::io::stdout());
        return Ok(ExitCode::SUCCESS);
    }
    let cluster = Cluster::connect(&global).await?;
    let terminal = Terminal::new(global.color);
    let mut session = Session { global, cluster, terminal };
    match command {
        Command::Run(which) => run::run(&mut session, &which).await,
        Command::Watch(which) => watch::watch(&mut session, &which).await,
        Command::Explain(which) => explain::explain(&mut session, &which).await,
        Command::List(how) => list(&mut session, &how).await,
        Command::Patch(which) => patch::patch(&mut session, &which).await,
        Command::Logs(which) => logs::logs(&mut session, &which).await,
        Command::Artifacts(which) => patch::artifacts(&mut session, &which).await,
        Command::Cancel(which) => control::cancel(&mut session, &which.order).await,
        Command::Suspend(which) => control::suspend(&mut session, &which.order).await,
        Command::Resume(which) => control::resume(&mut session, &which.order).await,
        Command::Retry(which) => control::retry(&mut session, &which.order).await,
        Command::Completion { .. } => Ok(ExitCode::SUCCESS),
    }
}

async fn list(session: &mut Session, how: &List) -> Result<ExitCode, Failure> {
    let orders = session.cluster.orders().list(&ListParams::default()).await?;
    match how.output {
        Output::Json => print_json(session, &orders.items)?,
        Output::Text => {
            let width = session.terminal.canvas(None).width;
            session.terminal.print(&view::list::list(&orders.items, jiff::Timestamp::now(), width))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a value as JSON.
fn print_json<V: serde::Serialize>(session: &Session, value: &V) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::File(format!("no JSON: {error}")))?;
    session.terminal.print_raw(format!("{text}\n").as_bytes())
}
