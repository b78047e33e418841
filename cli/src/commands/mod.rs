//! Picks the command and runs it; each command is a file.

mod complete;
mod control;
mod explain;
mod list;
mod logs;
mod patch;
mod reevaluate;
mod run;
mod watch;

use std::process::ExitCode;

use clap::CommandFactory;

use crate::arguments::{Arguments, Command};
use crate::cluster::Cluster;
use crate::errors::Failure;
use crate::session::Session;
use crate::terminal::Terminal;

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
        Terminal::new(global.color).print_content(&script)?;
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
        Command::Reevaluate(which) => reevaluate::reevaluate(&mut session, &which).await,
        Command::Completion { .. } | Command::Complete { .. } => Ok(ExitCode::SUCCESS),
    }
}
