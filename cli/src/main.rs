//! `kubectl worlds`: runs, watches and explains WorkOrders.

mod arguments;
mod cluster;
mod commands;
mod completion;
mod errors;
mod names;
mod operator;
mod picture;
mod stage;
mod terminal;
mod view;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;
use errors::Failure;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match commands::run(arguments).await {
        Ok(code) => code,
        // Whoever read the output has seen enough: 'kubectl worlds logs ... | head' is no failure.
        Err(Failure::Closed) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal::complain(&failure);
            ExitCode::from(Failure::EXIT_CODE)
        }
    }
}
