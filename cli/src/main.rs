//! `kubectl worlds`: runs, watches and explains WorkOrders.

mod arguments;
mod cluster;
mod commands;
mod completion;
mod errors;
mod operator;
mod order_view;
mod render;
mod session;
mod stage;
mod suggestion;
mod terminal;
mod visible;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;
use errors::Failure;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match commands::run(arguments).await {
        Ok(code) => code,
        // The reader of the output has seen enough: `kubectl worlds logs ... | head` is not a failure.
        Err(Failure::Closed) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal::print_error(&failure);
            ExitCode::from(Failure::EXIT_CODE)
        }
    }
}
