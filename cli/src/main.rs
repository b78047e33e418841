//! `kubectl worlds`: runs, watches and explains WorkOrders.

mod arguments;
mod cluster;
mod commands;
mod errors;
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
        Err(failure) => {
            terminal::complain(&failure);
            ExitCode::from(Failure::EXIT_CODE)
        }
    }
}
